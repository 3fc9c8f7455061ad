"""Reader of NPZ: an array for each column, all of equal length. Headers are checked before unpacking, and nothing is unpickled."""

import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.data.events import DataError
from pipeline.data.files.table import BATCH_ROWS, Table
from pipeline.errors import check_memory

COPIES = 4
"""Number of copies of a column in memory while it is checked and sorted."""
ENCRYPTED = 1
"""The flag bit of an encrypted ZIP entry."""
COLUMNS = "iufbSUMm"
"""Kinds of NumPy types that a column may have."""
UNITS = ("s", "ms", "us", "ns")
"""Units of NumPy dates that Arrow has, too."""


def open_npz(path: Path, encoding: str = "") -> Table:
    """Return the table in an NPZ file; its columns are read completely on request."""
    del encoding
    if not zipfile.is_zipfile(path):
        raise ValueError("a single array instead of one for each column, or another kind of file")
    with zipfile.ZipFile(path) as archive:
        _check_directory(path, archive)
        names = [entry.filename.removesuffix(".npy") for entry in archive.infolist()]

    def batches(wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with zipfile.ZipFile(path) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns about headers of older versions
            entries = [archive.infolist()[names.index(name)] for name in wanted]
            heads = [_head(path, archive, entry) for entry in entries]
            if len({rows for rows, _, _ in heads}) > 1:  # before anything is unpacked
                listed = ", ".join(f"{name} {rows}" for name, (rows, _, _) in zip(wanted, heads, strict=True))
                raise ValueError(f"arrays of different lengths ({listed})")
            arrays = []
            for entry, (_, dtype, begin) in zip(entries, heads, strict=True):
                with archive.open(entry) as stream:
                    stream.read(begin)
                    arrays.append(np.frombuffer(stream.read(), dtype=dtype))
        columns = pa.record_batch([_column(array) for array in arrays], list(wanted))
        for start in range(0, len(columns), BATCH_ROWS):
            yield columns.slice(start, BATCH_ROWS)

    return Table(names, batches, kind="NPZ")


def _check_directory(file: Path, archive: zipfile.ZipFile) -> None:
    """Refuse an archive by its directory, before anything is unpacked."""
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if len(set(names)) < len(names):
        raise ValueError("two columns of one name")
    for entry in entries:
        if entry.flag_bits & ENCRYPTED:
            raise ValueError(f"a column {entry.filename} that is encrypted")
        if not entry.filename.endswith(".npy"):
            raise ValueError(f"a file {entry.filename}, which is no array")
    size = sum(entry.file_size for entry in entries)
    check_memory(str(file), f"{len(entries)} columns", COPIES * size, "Give fewer columns, or fewer events.")


def _head(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> tuple[int, np.dtype[Any], int]:
    """Return the number of rows of a column, their type, and the offset of the data; the header must fit the size of the entry."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    with archive.open(entry) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in readers:
            raise ValueError(f"an array {entry.filename} of version {version}")
        shape, _, dtype = readers[version](stream)
        if dtype.hasobject:
            raise DataError(
                f"{path}, {entry.filename}: must be an array of numbers or text, got one of Python objects, which would have to be "
                "unpickled. Write text with array.astype(str); write one array for each sequence as a row for each event, "
                "with numpy.concatenate(times) and numpy.repeat(ids, lengths)."
            )
        if len(shape) > 1 and dtype.kind in COLUMNS:
            raise DataError(
                f"{path}, {entry.filename}: must have a value for each event, got an array of shape {shape}. Write a row for each "
                "event, with array.ravel() and numpy.repeat(ids, lengths)."
            )
        if len(shape) != 1 or dtype.kind not in COLUMNS or not dtype.itemsize:
            raise ValueError(f"an array {entry.filename} of shape {shape} and type {dtype}")
        if shape[0] * dtype.itemsize != entry.file_size - stream.tell():
            raise ValueError(f"an array {entry.filename} that says to have {shape[0]} rows, and has others")
        return shape[0], dtype, stream.tell()


def _column(array: NDArray[Any]) -> pa.Array:
    array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind in "Mm":
        unit, count = np.datetime_data(array.dtype)
        if unit == "generic":
            raise ValueError("times of no unit")
        if unit not in UNITS or count != 1:
            finest = "ns" if unit in ("ps", "fs", "as") else "us" if unit == "us" else "ms" if unit == "ms" else "s"
            array = array.astype(f"{array.dtype.kind}8[{finest}]")
    return pa.array(array)
