"""A user's own data: a file with one row for each event, checked when it is read.

- Rows may come in any order: events are sorted by sequence and time; equal times are allowed and keep their order.
- Sequence ids and labels are whole numbers or text; the labels are numbered in sorted order.
- The test set is a stratified share of the sequences, chosen by a hash of their place among the sorted ids. If sequences
  have groups, the test set is a share of the groups, with one sequence of each.
- Features are standardised by the training split.
- A run is identified by the content of the file (`DatasetConfig.identity`), not by its path.
- A sequence without events cannot be represented, because it has no row.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pyarrow import parquet
from pydantic import BeforeValidator, Field, field_validator

from models.config import listed
from pipeline.data.base import Splits, data_folder
from pipeline.data.columns import Error
from pipeline.data.elapsed import Elapsed, Origin
from pipeline.data.events import DataError, EventDataset
from pipeline.data.files import open_table
from pipeline.data.files.arrow import parquet_files
from pipeline.data.files.table import Table
from pipeline.data.given import GivenConfig, content_hash, error_in, standardized
from pipeline.data.grouping import Grouped, Request, group, sequences
from pipeline.data.kept import LARGE_BYTES, kept
from pipeline.data.split import part_groups

MOST_NAMES = 12
"""Most columns that a message names; further ones are only counted."""
FEWEST_SEQUENCES = 3
"""Sequences that a class needs: one for training, one for validation, one for the test."""
FORM = 3
"""Form of what is kept of a large file; another number where the reading changes, so that old files are not taken."""
UNNAMED = "step"
"""Name of a unit of time that the user did not name."""


class EventsFileConfig(GivenConfig):
    """Your own events: a file of sequence id, time, label and, if you like, features; Parquet, CSV and others."""

    name: Literal["events_file"] = "events_file"
    path: str = ""
    """The file, by its ending, or a folder of Parquet files: docs/own-data.md lists what is read."""
    id_column: str = "id"
    """Column of the sequence that an event belongs to: whole numbers or text."""
    time_column: str = "time"
    """Column of the time of an event: numbers from 0 to 16777216, dates, or durations."""
    label_column: str = "label"
    """Column of the class of the sequence, the same in all its rows: whole numbers or text."""
    group_column: str = ""
    """Column of what sequences have in common, such as a patient: a group is in one split, and has one sequence in the test set."""
    feature_columns: Annotated[tuple[str, ...], BeforeValidator(listed)] = ()
    """Columns of finite numbers that each event carries; none by default."""
    standardize: bool = True
    """Give each feature minus its mean over its standard deviation, both of the training split."""
    horizon: float | None = Field(None, gt=0)
    """Length T of the time axis; by default the first whole number above the largest time of the file."""
    time_unit: str = UNNAMED
    """What one unit of time is, for axes and reports; dates and durations are told in it, by default in one that fits them."""
    time_origin: Origin = "auto"
    """From where times count: each `sequence`, the `file`, or `zero` as they stand; `auto` is `sequence` for dates, else `zero`."""
    encoding: str = "auto"
    """Encoding of a file of text, such as cp1252; `auto` is what its byte order mark says, or else UTF-8."""
    classes: int | None = Field(None, ge=2)
    """Number of classes that the file must have; counted by default."""

    @field_validator("encoding")
    @classmethod
    def _is_encoding(cls, encoding: str) -> str:
        try:
            known = encoding == "auto" or "".encode(encoding) is not None
        except (LookupError, ValueError, TypeError):
            known = False
        if not known:
            raise ValueError("must be auto or an encoding of text such as utf-8 or cp1252")
        return encoding

    @classmethod
    def of(cls, table: object, **settings: Any) -> Self:  # noqa: ANN401 - the settings of this class
        """Return the settings for a table in memory: a frame of pandas or polars, a table of Arrow, or a dict of arrays.

        The table is stored as a Parquet file in the data folder, under the digest of its content, where every command finds it.
        """
        try:
            columns = pa.table(table)
        except (pa.ArrowException, TypeError, ValueError) as error:
            got = " ".join(str(error).split())
            raise DataError(f"table: must be a frame or columns of one type each, got {got}. Convert it.") from error
        sink = pa.BufferOutputStream()
        parquet.write_table(columns.replace_schema_metadata(), sink)
        content = sink.getvalue()
        place = data_folder() / "tables" / f"{hashlib.sha256(content).hexdigest()[:16]}.parquet"
        if not place.is_file() or place.read_bytes() != content:
            place.parent.mkdir(parents=True, exist_ok=True)
            scratch = place.with_suffix(".partial")
            scratch.write_bytes(content)
            scratch.replace(place)
        return cls(path=str(place), **settings)

    def idle(self) -> set[str]:
        """Leave out settings at values with which a file is read as before the setting existed."""
        idle = {name for name in ("encoding", "time_origin") if getattr(self, name) == "auto"}
        idle |= set() if self.group_column else {"group_column"}
        return super().idle() | idle | (set() if self.standardize and self.feature_columns else {"standardize"})

    def files(self) -> list[Path]:
        """Return the file, or the files below a folder."""
        return _files(Path(self.path))

    def read(self, folder: Path) -> tuple[EventDataset, EventDataset]:
        """Return the training and the test sequences; `folder` caches large files, and the path is not relative to it."""
        data = self._dataset(self.grouped(folder))
        if data.groups is None:
            return self.parted(data)
        rest, test = part_groups(data.labels.numpy(), data.groups.numpy(), self.test_fraction, self.split_seed)
        if len(rest) == 0:
            rule, remedy = f"must have at least {FEWEST_SEQUENCES} groups", "Name another data.group_column, or none."
            raise self._error(f"column {self.group_column}", rule, str(len(test)), remedy)
        return data.select(torch.from_numpy(rest)), data.select(torch.from_numpy(test))

    def grouped(self, folder: Path) -> Grouped:
        """Return the events of the file by sequence."""
        return _grouped(self._request(), self.path, self.encoding, folder, self.stamp())

    def elapsed(self, scratch: Path) -> tuple[Elapsed, list[int | str]]:
        """Return the times of the file by sequence, before they are rounded to float32, and the id of each sequence.

        Large arrays are stored in `scratch`, which must exist for as long as they are used.
        """
        request = replace(self._request(), feature_columns=())
        folder = scratch if _size(Path(self.path)) >= LARGE_BYTES else None
        read = sequences(*opened(request, self.path, self.encoding), folder)
        return read.elapsed, read.ids

    def horizon_of(self, largest: float) -> float:
        """Return the length of the time axis of a file with this largest time, in units; DataError if `horizon` is set too low."""
        horizon = float(np.floor(np.float32(largest))) + 1 if self.horizon is None else self.horizon
        if largest >= horizon:
            raise DataError(f"data.horizon: must be above the largest time {largest:g}, got {horizon:g}. Raise it.")
        return horizon

    def prepared(self, splits: Splits, folder: Path) -> Splits:
        """Return the splits with standardised features; DataError if one of them lacks a class, an empty validation set apart."""
        of_test = "data.test_fraction" if self.test_size is None else "data.test_size or data.test_fraction"
        self.check_split_classes(splits, f"Raise {of_test}")
        about = self.grouped(folder).about
        splits = replace(splits, time_origin=about.time_origin)
        if self.standardize:
            return standardized(splits, self.feature_columns, about.centres, about.notes)
        return replace(splits, notes=tuple(about.notes))

    def _request(self) -> Request:
        return Request(
            id_column=self.id_column,
            time_column=self.time_column,
            label_column=self.label_column,
            group_column=self.group_column,
            feature_columns=self.feature_columns,
            origin=self.time_origin,
            time_unit="" if self.time_unit == UNNAMED else self.time_unit,
            centred=self.standardize,
        )

    def _dataset(self, grouped: Grouped) -> EventDataset:
        labels, names = grouped.labels, grouped.about.labels
        self._check_classes(labels, names)
        return EventDataset(
            times=torch.from_numpy(grouped.times),
            offsets=torch.from_numpy(grouped.offsets),
            labels=torch.from_numpy(labels),
            features=torch.from_numpy(grouped.features) if self.feature_columns else None,
            groups=torch.from_numpy(grouped.groups) if self.group_column else None,
            classes=len(names),
            horizon=self.horizon_of(float(grouped.times.max())),
            time_unit=grouped.about.time_unit or self.time_unit,
            name=self.name,
            class_names=self._class_names(names),
        )

    def _check_classes(self, labels: NDArray[np.int64], names: list[Any]) -> None:
        where, count = f"column {self.label_column}", len(names)
        if count < 2 or (self.classes is not None and self.classes != count):  # noqa: PLR2004  # one class is nothing to classify
            rule = "must have at least 2 classes" if self.classes is None else f"must have {self.classes} classes"
            raise self._error(where, rule, str(count), "Name another data.label_column, or correct data.classes.")
        sizes = np.bincount(labels)
        if sizes.min() < FEWEST_SEQUENCES:
            got = f"{sizes.min()} of class {names[int(sizes.argmin())]}"
            rule, remedy = f"must have {FEWEST_SEQUENCES} sequences of each class", "Add some, or drop it."
            if count > len(labels) / FEWEST_SEQUENCES:
                got = f"{count} labels for {len(labels)} sequences"
                remedy = (
                    "The platform tells classes apart: cut numbers into classes, or name another data.label_column."
                )
            raise self._error(where, rule, got, remedy)

    def _class_names(self, labels: list[Any]) -> tuple[str, ...]:
        """Return the labels as one-line texts; DataError if two labels would become equal."""
        names: dict[str, Any] = {}
        for label in labels:
            name = " ".join(str(label).split())
            if name in names:
                got = f"{names[name]!r} and {label!r}"
                rule = "must have labels that differ in more than blanks and line breaks"
                raise self._error(f"column {self.label_column}", rule, got, "Rename one.")
            names[name] = label
        return tuple(names)


@lru_cache(maxsize=1)
def _grouped(request: Request, path: str, encoding: str, folder: Path, stamp: tuple[int, ...]) -> Grouped:
    """Return the events of a file in the state of `stamp`; the result of the last call is kept in memory."""

    def make(scratch: Path | None) -> Grouped:
        return group(*opened(request, path, encoding), scratch)

    if _size(Path(path)) < LARGE_BYTES:
        return make(None)
    asked = {
        **asdict(request),
        "encoding": encoding,
        "form": FORM,
        "content": content_hash(Path(path), tuple(_files(Path(path))), stamp),
    }
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    return kept(digest[:16], folder, make)


def opened(request: Request, path: str, encoding: str) -> tuple[Table, Request, Error]:
    """Return the table of a file, the request with its columns, and a maker of errors; DataError if a column is missing."""
    table = open_table(path, encoding)
    columns = request.columns

    def error(where: str, rule: str, got: str, remedy: str) -> DataError:
        return error_in(path, where, rule, got, remedy)

    if len(set(columns)) < len(columns):
        raise error("columns", "must be different ones", ", ".join(columns), "Name each column once.")
    for column in columns:
        if column not in table.names:
            got = f"only {_listed(table.names)}"
            roles = ("id_column", "time_column", "label_column", "group_column")
            role = next((role for role in roles if getattr(request, role) == column), "feature_columns")
            raise error(f"column {column}", "must be in the file", got, f"Give another data.{role}.")
        if table.names.count(column) > 1:
            raise error(f"column {column}", "must be in the file once", "it twice", "Rename one.")
    return table, request, error


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in _files(path))


def _files(path: Path) -> list[Path]:
    """Return the files that are read: the file, or the files below a folder."""
    if path.is_dir():
        return parquet_files(path)
    return [path] if path.is_file() else []


def _listed(columns: Sequence[str]) -> str:
    """Return the first names of columns as Python literals, so that a line break in a name does not break the message."""
    names = ", ".join(repr(name if len(name) <= 40 else f"{name[:40]}...") for name in map(str, columns[:MOST_NAMES]))  # noqa: PLR2004
    return names if len(columns) <= MOST_NAMES else f"{names} and {len(columns) - MOST_NAMES} more"
