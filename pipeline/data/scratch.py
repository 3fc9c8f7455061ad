"""Arrays that memory may not hold: in memory, or as files of a folder that are mapped into it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

BLOCK = 2**20
"""Events that are worked on at once, or one sequence."""


class Growing:
    """A column while its rows come: in memory, or in a file."""

    def __init__(self, file: Path | None) -> None:
        self._parts: list[NDArray[Any]] = []
        self._path = file
        self._file: BinaryIO | None = file.open("wb") if file else None

    def append(self, array: NDArray[Any]) -> None:
        """Add the rows of a batch."""
        if self._file:
            self._file.write(np.ascontiguousarray(array).data)
        else:
            self._parts.append(array)

    def whole(self, dtype: type, width: int = 0) -> NDArray[Any]:
        """Return all rows: (N,), or (N, width) where a width is given."""
        shape = (-1, width) if width else (-1,)
        if self._file and self._path:
            self._file.close()
            return np.memmap(self._path, dtype=dtype, mode="r+").reshape(shape)
        parts: list[NDArray[Any]] = [part.view(dtype) for part in self._parts]
        self._parts = []
        return np.concatenate(parts).reshape(shape)


def room(folder: Path | None, name: str, dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an array to be filled: in memory, or as the file `name`.npy of a folder. OSError where the disk is full."""
    if folder is None:
        return np.empty(shape, dtype)
    if 0 in shape:  # nothing can be mapped
        np.save(folder / f"{name}.npy", np.empty(shape, dtype))
        return np.empty(shape, dtype)
    array: NDArray[Any] = np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
    with (folder / f"{name}.npy").open("r+b") as file:  # else a full disk would end the process where it is written to
        os.posix_fallocate(file.fileno(), 0, file.seek(0, os.SEEK_END))
    return array


def blocks(offsets: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield ranges of sequences with about `BLOCK` events each, at least one."""
    start = 0
    while start < len(offsets) - 1:
        end = max(start + 1, int(np.searchsorted(offsets, offsets[start] + BLOCK, side="right")) - 1)
        yield start, end
        start = end
