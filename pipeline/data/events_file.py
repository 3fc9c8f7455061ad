"""Data of one's own: a Parquet, CSV or NPZ file with one row for each event, checked at the door.

- Rows may come in any order: events are sorted by sequence and time; equal times are allowed and keep their order.
- Sequence ids are whole numbers or text, labels too; the labels are numbered in sorted order.
- The test set is a stratified share of the sequences, chosen by a hash of their place among the sorted ids.
- A run is identified by the content of the file (`DatasetConfig.identity`), not by where it lies or what it is called.
- A sequence without events has no row, so it cannot be told.
"""

import hashlib
import lzma
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field
from torch import Tensor

from models.config import listed
from pipeline.data.base import DatasetConfig, Splits
from pipeline.data.events import LARGEST_SHORT, DataError, EventDataset
from pipeline.data.split import stratified_order
from pipeline.errors import check_memory

LARGEST_TIME = 2.0**24
"""Up to here float32 keeps whole numbers apart."""
LARGEST_FEATURE = float(np.finfo(np.float32).max)
"""Past here float32 has only infinity."""
COPIES = 4
"""How often a table is in memory while it is checked and sorted."""
MOST_NAMES = 12
"""Columns that a message names before it counts the rest."""
DIGITS = 18
"""Digits of a whole number that 64 bits hold in any case."""
FEWEST_SEQUENCES = 3
"""Sequences that a class needs: one for training, one for validation, one for the test."""
UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    MemoryError,
    SyntaxError,
    RecursionError,
    NotImplementedError,
    pa.ArrowException,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""What a reader raises at a file that is not what its name says."""
ENCRYPTED = 1
"""The bit of a zip entry that says so."""
NUMERIC = "iufcbSUMm"
"""Kinds of NumPy's types that a table holds; the first three are numbers."""


class EventsFileConfig(DatasetConfig):
    """Your own events: a Parquet, CSV or NPZ file of sequence id, time, label and, if you like, features."""

    name: Literal["events_file"] = "events_file"
    path: str = ""
    """The file, by its ending: .parquet, .csv, or .npz with an array of equal length for each column."""
    id_column: str = "id"
    """Column of the sequence that an event belongs to: whole numbers or text."""
    time_column: str = "time"
    """Column of the time of an event: finite, from 0 to 16777216."""
    label_column: str = "label"
    """Column of the class of the sequence, the same in all its rows: whole numbers or text."""
    feature_columns: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()
    """Columns of finite numbers that each event carries; none by default."""
    validation_size: int = Field(100, ge=0)
    """Number of sequences held out of the training set to choose the epoch by; 0 trains on all, and nothing is chosen."""
    test_fraction: float = Field(0.2, gt=0, lt=1)
    """Share of the sequences that form the test set."""
    horizon: float | None = Field(None, gt=0)
    """Length T of the time axis; by default the first whole number above the largest time of the file."""
    time_unit: str = "step"
    """What one unit of time is, for axes and reports."""
    classes: int | None = Field(None, ge=2)
    """Number of classes that the file must have; counted by default."""

    def identity(self) -> dict[str, Any]:
        """Return the settings with the SHA-256 of the file in place of its path."""
        return {**super().identity(), "path": _content_hash(Path(self.path), self.stamp())}

    def stamp(self) -> tuple[int, ...]:
        """Return what changes when the file is written again."""
        path = Path(self.path)
        state = path.stat() if path.is_file() else None
        return (state.st_ino, state.st_size, state.st_mtime_ns) if state else ()

    def read(self, folder: Path) -> tuple[EventDataset, EventDataset]:
        """Return the training and the test sequences; the path is not relative to `folder`."""
        del folder
        data = self._dataset(self._checked(read_table(self.path)))
        order = torch.from_numpy(stratified_order(data.labels.numpy(), self.split_seed))
        test_size = max(1, round(self.test_fraction * len(data)))
        return data.select(order[test_size:].sort().values), data.select(order[:test_size].sort().values)

    def load(self) -> Splits:
        """Return the splits; DataError if one of them lacks a class, an empty validation set apart."""
        splits = super().load()
        of_test = "data.test_fraction" if self.test_size is None else "data.test_size or data.test_fraction"
        remedies = {
            "train": "Raise data.train_size" if self.train_size else "Lower data.validation_size or data.test_fraction",
            "validation": "Raise data.validation_size, or set it to 0",
            "test": f"Raise {of_test}",
        }
        for split, remedy in remedies.items():
            labels: Tensor = getattr(splits, split).labels
            absent = torch.bincount(labels, minlength=splits.train.classes) == 0
            if len(labels) and absent.any():
                name = splits.train.class_names[int(absent.nonzero()[0])]
                got = f"none of class {name} in its {len(labels)}"
                raise self._error(f"{split} split", "must have sequences of each class", got, f"{remedy}.")
        return splits

    def _checked(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the columns as `id`, `time`, `label`, 0, 1, ..., sorted by id and time."""
        columns = [self.id_column, self.time_column, self.label_column, *self.feature_columns]
        if len(set(columns)) < len(columns):
            raise self._error("columns", "must be different ones", ", ".join(columns), "Name each column once.")
        for column in columns:
            if column not in table:
                got = f"only {_listed(table.columns)}"
                raise self._error(f"column {column}", "must be in the file", got, "Name another data.*_column.")
        if table.empty:
            raise self._error("rows", "must be at least one", "none", "Give a file with events.")
        for column in columns:
            self._check_column(table[column], number=column not in (self.id_column, self.label_column))
        self._check_range(table[self.time_column], 0, LARGEST_TIME, "Subtract the start, or scale it.")
        for column in self.feature_columns:
            self._check_range(table[column], -LARGEST_FEATURE, LARGEST_FEATURE, "Scale it, or take its logarithm.")
        renamed = table[columns].set_axis(["id", "time", "label", *range(len(self.feature_columns))], axis=1)
        return renamed.sort_values(["id", "time"], kind="stable", ignore_index=True)

    def _check_column(self, values: pd.Series, *, number: bool) -> None:
        where = f"column {values.name}"
        missing = np.flatnonzero(values.isna())
        if len(missing):
            rule = f"must have a value in every row (row {missing[0] + 1})"
            raise self._error(where, rule, "none, or NaN", "Fill it, or drop the row.")
        kind = pd.api.types.infer_dtype(values)
        if isinstance(values.dtype, pd.CategoricalDtype):
            kind = "categorical"
        if kind not in (("integer", "floating", "mixed-integer-float") if number else ("integer", "string", "boolean")):
            rule = "must be numbers" if number else "must be whole numbers or text"
            raise self._error(where, rule, f"{kind} values such as {values.iloc[0]!r}", "Convert the column.")
        if kind == "integer" and not number and values.dtype == object:  # Python's own, where 64 bits do not do
            rule = "must be whole numbers of 64 bits, or text"
            raise self._error(where, rule, str(max(values, key=abs)), "Shorten it, or put a letter before each.")
        if kind == "string" and values.str.fullmatch("[+-]?[0-9]+").all() and (values.str.len() > DIGITS).any():
            rule = f"must be whole numbers of up to {DIGITS} digits, or text"
            raise self._error(where, rule, max(values, key=len), "Shorten it, or put a letter before each.")
        if number and not np.isfinite(values.to_numpy(dtype=np.float64)).all():
            raise self._error(where, "must be finite", "an infinite value", "Correct the data.")

    def _check_range(self, values: pd.Series, low: float, high: float, remedy: str) -> None:
        outside = values[~values.between(low, high)]
        if len(outside):
            rule = f"must lie in [{low:.8g}, {high:.8g}] (row {outside.index[0] + 1})"
            raise self._error(f"column {values.name}", rule, f"{outside.iloc[0]}", remedy)

    def _dataset(self, rows: pd.DataFrame) -> EventDataset:
        ids = rows["id"].to_numpy()  # not Series.shift: it makes floats of whole numbers, which merges large ones
        starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
        labels, names = pd.factorize(rows["label"], sort=True)
        changes = np.flatnonzero(labels != np.repeat(labels[starts], np.diff([*starts, len(rows)])))
        if len(changes):
            one = f"one label (sequence {rows['id'][changes[0]]})"
            raise self._error(f"column {self.label_column}", f"must give a sequence {one}", "several", "Correct it.")
        if len(starts) == len(rows):
            rule = "must name the sequence of an event, not the event"
            got = f"{len(rows)} sequences of one event"
            raise self._error(f"column {self.id_column}", rule, got, "Name another data.id_column.")
        self._check_classes(labels[starts], names)
        times = rows["time"].to_numpy(dtype=np.float64)
        horizon = float(np.floor(np.float32(times.max()))) + 1 if self.horizon is None else self.horizon
        if times.max() >= horizon:
            raise DataError(f"data.horizon: must be above the largest time {times.max():g}, got {horizon:g}. Raise it.")
        features = np.array(rows[list(range(len(self.feature_columns)))], dtype=np.float32)  # a copy, to be writable
        return EventDataset(
            times=torch.from_numpy(self._stored(times, starts)),
            offsets=torch.from_numpy(np.array([*starts, len(rows)], dtype=np.int64)),
            labels=torch.from_numpy(labels[starts].astype(np.int64)),
            features=torch.from_numpy(features) if self.feature_columns else None,
            classes=len(names),
            horizon=horizon,
            time_unit=self.time_unit,
            name=self.name,
            class_names=self._class_names(names),
        )

    def _stored(self, times: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.int16] | NDArray[np.float32]:
        """Return the times as they are kept; DataError where that would make two times of a sequence one."""
        if (times == np.floor(times)).all() and times.max() <= LARGEST_SHORT:
            return times.astype(np.int16)
        short = times.astype(np.float32)
        merged = (short[1:] == short[:-1]) & (times[1:] != times[:-1])
        merged[starts[1:] - 1] = False
        if merged.any():
            first, second = times[np.flatnonzero(merged)[0] :][:2].tolist()
            rule = "must keep its times apart within a sequence when rounded to float32, to 7 digits or so"
            remedy = "Subtract an offset, or round the times to a coarser unit."
            raise self._error(f"column {self.time_column}", rule, f"{first} and {second}", remedy)
        return short

    def _check_classes(self, labels: NDArray[np.int64], names: pd.Index) -> None:
        where, count = f"column {self.label_column}", len(names)
        if count < 2 or (self.classes is not None and self.classes != count):  # noqa: PLR2004  # nothing to tell apart
            rule = "must have at least 2 classes" if self.classes is None else f"must have {self.classes} classes"
            raise self._error(where, rule, str(count), "Name another data.label_column, or correct data.classes.")
        sizes = np.bincount(labels)
        if sizes.min() < FEWEST_SEQUENCES:
            got = f"{sizes.min()} of class {names[int(sizes.argmin())]}"
            raise self._error(
                where, f"must have {FEWEST_SEQUENCES} sequences of each class", got, "Add some, or drop it."
            )

    def _class_names(self, labels: pd.Index) -> tuple[str, ...]:
        """Return the labels as text in one line; DataError where that would make two of them one."""
        names = [" ".join(str(label).split()) for label in labels]
        for place, name in enumerate(names):
            if name in names[:place]:
                got = f"{labels[names.index(name)]!r} and {labels[place]!r}"
                rule = "must have labels that differ in more than blanks and line breaks"
                raise self._error(f"column {self.label_column}", rule, got, "Rename one.")
        return tuple(names)

    def _error(self, where: str, rule: str, got: str, remedy: str) -> DataError:
        return DataError(f"{self.path}, {where}: {rule}, got {got}. {remedy}")


@lru_cache(maxsize=16)
def _content_hash(path: Path, stamp: tuple[int, ...]) -> str:
    """Return the SHA-256 of a file in the state that `stamp` tells, "" where there is none: a study asks for each cell."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if stamp else ""


def read_table(path: str) -> pd.DataFrame:
    """Return the table in a file; DataError unless it is a readable Parquet, CSV or NPZ file."""
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {".parquet": pd.read_parquet, ".csv": _csv, ".npz": _npz}
    file, ending = Path(path), Path(path).suffix.lower()
    if path and file.is_dir():
        raise DataError(f"data.path: must be a file, got the directory {path!r}. Give a single file of events.")
    if ending not in readers:
        raise DataError(
            f"data.path: must end in {', '.join(readers)}, got {path!r}. Give a file of one of these kinds."
        )
    if not file.is_file():
        raise DataError(f"data.path: must be a file, got {path!r}, where there is none. Check the path.")
    try:
        return readers[ending](file).reset_index(drop=True)
    except DataError:
        raise
    except UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: must be a whole {ending} file, got {reason}. Write it again.") from error


def _listed(columns: pd.Index) -> str:
    """Return the first names of columns as Python writes them, so that a line break in one does not break the message."""
    names = ", ".join(repr(name if len(name) <= 40 else f"{name[:40]}...") for name in map(str, columns[:MOST_NAMES]))  # noqa: PLR2004
    return names if len(columns) <= MOST_NAMES else f"{names} and {len(columns) - MOST_NAMES} more"


def _csv(file: Path) -> pd.DataFrame:
    header = pd.read_csv(file, nrows=0).columns
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        rule = "must have its columns separated by commas"
        raise DataError(f"{file}: {rule}, got the header {_listed(header)}. Write it again with commas.")
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            # "NA" and "None" may be labels: only an empty cell and NaN are missing.
            return pd.read_csv(file, keep_default_na=False, na_values=["", "nan", "NaN"], index_col=False)
        except pd.errors.ParserWarning as error:
            raise ValueError("rows with more fields than the header has names") from error


def _npz(file: Path) -> pd.DataFrame:
    if not zipfile.is_zipfile(file):
        raise ValueError("a single array instead of one for each column, or another kind of file")
    with zipfile.ZipFile(file) as archive:
        _check_directory(file, archive)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a header that an older NumPy wrote
            arrays = {entry.filename.removesuffix(".npy"): _array(archive, entry) for entry in archive.infolist()}
    if len({len(array) for array in arrays.values()}) > 1:
        raise ValueError("arrays of different lengths")
    return pd.DataFrame({name: array.astype(array.dtype.newbyteorder("=")) for name, array in arrays.items()})


def _check_directory(file: Path, archive: zipfile.ZipFile) -> None:
    """Refuse an archive by what it says of itself, before anything of it is unpacked."""
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


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    """Return a column; its header must say what the archive has room for."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    with archive.open(entry) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in readers:
            raise ValueError(f"an array {entry.filename} of version {version}")
        shape, _, dtype = readers[version](stream)
        if len(shape) != 1 or dtype.kind not in NUMERIC or not dtype.itemsize:
            raise ValueError(f"an array {entry.filename} of shape {shape} and type {dtype}")
        if shape[0] * dtype.itemsize != entry.file_size - stream.tell():
            raise ValueError(f"an array {entry.filename} that says to have {shape[0]} rows, and has others")
        return np.frombuffer(stream.read(), dtype=dtype)
