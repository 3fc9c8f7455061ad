"""Arrays that may not fit into memory: in memory, or as files of a folder that are mapped into memory."""

import mmap
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 2**20
"""Events that are processed at a time, unless a sequence is longer."""
PLACES = 2**14
"""Rows that are selected at a time, because each may lie in a different page of memory."""


class Growing:
    """A column while its rows arrive: in memory, or in a file."""

    def __init__(self, file: Path | None) -> None:
        self._parts: list[NDArray[Any]] = []
        self._path = file
        if file:
            file.write_bytes(b"")

    def append(self, array: NDArray[Any]) -> None:
        """Add the rows of a batch."""
        if self._path:
            with self._path.open("ab") as file:
                file.write(np.ascontiguousarray(array).data)
        else:
            self._parts.append(array)

    def whole(self, dtype: type, width: int = 0) -> NDArray[Any]:
        """Return all rows: (N,), or (N, width) if a width is given."""
        shape = (-1, width) if width else (-1,)
        if self._path:
            return np.memmap(self._path, dtype=dtype, mode="r+").reshape(shape)
        parts: list[NDArray[Any]] = [part.view(dtype) for part in self._parts]
        self._parts = []
        return np.concatenate(parts).reshape(shape)


def room(folder: Path | None, name: str, dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an array to be filled: in memory, or as the file `name`.npy of a folder; OSError if the disk is full."""
    if folder is None:
        return np.empty(shape, dtype)
    if 0 in shape:  # an empty file cannot be mapped
        np.save(folder / f"{name}.npy", np.empty(shape, dtype))
        return np.empty(shape, dtype)
    array: NDArray[Any] = np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
    with (folder / f"{name}.npy").open("r+b") as file:  # otherwise a full disk would kill the process
        os.posix_fallocate(file.fileno(), 0, file.seek(0, os.SEEK_END))
    return array


def blocks(offsets: NDArray[np.int64], *read: NDArray[Any] | None, size: int = BLOCK) -> Iterator[tuple[int, int]]:
    """Yield ranges of at least one sequence with about `size` events; after each, release the memory of the mapped arrays `read`."""
    start = 0
    while start < len(offsets) - 1:
        end = max(start + 1, int(np.searchsorted(offsets, offsets[start] + size, side="right")) - 1)
        yield start, end
        _let_go(read)
        start = end


def steps(count: int, *read: NDArray[Any] | None, size: int = BLOCK) -> Iterator[slice]:
    """Yield slices of at most `size` of `count` rows; after each, release the memory of the mapped arrays `read`."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
        _let_go(read)


def taken(array: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
    """Return the rows of an array at ascending places, and release its mapped memory."""
    return np.concatenate([array[:0], *(array[places[step]] for step in steps(len(places), array, size=PLACES))])


def _let_go(arrays: Iterable[NDArray[Any] | None]) -> None:
    """Release the pages of mapped arrays from memory; they stay in their files, and are loaded again when they are read."""
    for array in arrays:
        mapped = getattr(array, "_mmap", None)  # NumPy has no public access to the map of an array
        if mapped is not None:
            mapped.madvise(mmap.MADV_DONTNEED)
