"""Memory for the states of the compiled LSTM, reused from batch to batch.

The states of a batch take tens of megabytes. Allocating them from the system for each batch would take a sixth of a training step,
because the system clears every page.
"""

import weakref
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

HEADROOM = 1.25
"""Allocated size divided by the requested size, because batches differ in their number of events."""

_free: list[NDArray[Any]] = []


def take(size: int, dtype: torch.dtype) -> Tensor:
    """Return an uninitialised tensor (size,); its memory is reused once no tensor shares it."""
    wanted = size * dtype.itemsize
    block = _free.pop() if _free else np.empty(0, np.uint8)
    if len(block) < wanted:
        block = np.empty(int(wanted * HEADROOM), np.uint8)
    # Only the returned tensor and its views refer to this slice of the block, so its finaliser runs when they are gone.
    part = block[:wanted]
    weakref.finalize(part, _free.append, block).atexit = False
    return torch.from_numpy(part).view(dtype)


def release() -> None:
    """Return the memory that no batch uses to the system."""
    _free.clear()
