"""Memory for the states of the compiled LSTM, used again from batch to batch.

The states of a batch are tens of megabytes. Taken from the system each time they cost a sixth of a training step:
it clears every page before it gives it away.
"""

import weakref
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

HEADROOM = 1.25
"""What is allocated for what is asked for: batches differ in their number of events."""

_free: list[NDArray[Any]] = []


def take(size: int, dtype: torch.dtype) -> Tensor:
    """Return `size` numbers of any value; their memory is free again when no tensor shares it."""
    wanted = size * dtype.itemsize
    block = _free.pop() if _free else np.empty(0, np.uint8)
    if len(block) < wanted:
        block = np.empty(int(wanted * HEADROOM), np.uint8)
    # The tensors hold this part of the block, and nothing else does.
    part = block[:wanted]
    weakref.finalize(part, _free.append, block).atexit = False
    return torch.from_numpy(part).view(dtype)


def release() -> None:
    """Give back what no batch uses."""
    _free.clear()
