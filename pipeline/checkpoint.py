"""Checkpoints: written atomically, read without unpickling code."""

import os
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from pipeline.errors import UsageError


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values so that `path` holds either the old checkpoint or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote, onto the CPU."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, UnpicklingError) as error:
        raise UsageError(
            f"{path}: must be a readable checkpoint, got one that breaks off or holds code ({type(error).__name__}). "
            "Delete it to train from the start."
        ) from error
    return state
