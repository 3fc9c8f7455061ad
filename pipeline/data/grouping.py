"""Grouping of a file's events by sequence: flat arrays, sequences sorted by id, events by time, in one pass over the file.

Rows may come in any order. They are read in batches into columns of 8 bytes per value, distributed to their sequences by counting,
and sorted within each sequence. Memory holds the ids and a batch; if a folder is given, the rest lies there, mapped into memory.

Letters: N events, n sequences, F features.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.data.columns import EXACT, Error, Numbers, Times
from pipeline.data.elapsed import Elapsed, Origin
from pipeline.data.files.table import Table
from pipeline.data.keys import Keys
from pipeline.data.scratch import BLOCK, Growing, blocks, room, steps


@dataclass(frozen=True)
class Request:
    """The columns to read from a file, and how to interpret them."""

    id_column: str
    time_column: str
    label_column: str
    """Column of the labels; "" if sequences have no labels."""
    feature_columns: tuple[str, ...]
    origin: Origin
    time_unit: str
    """The unit in which times are expressed, or "" to choose a suitable one for dates and durations."""
    centred: bool
    """Whether features are stored relative to the middle of their range, which keeps digits that float32 would lose."""
    group_column: str = ""
    """"" where sequences have no groups."""
    auto_origin: Origin = "auto"
    """What an origin `auto` stands for; by default it follows from the kind of the times."""

    @property
    def columns(self) -> list[str]:
        """Names of the columns that are read."""
        of_sequences = [name for name in (self.label_column, self.group_column) if name]
        return [self.id_column, self.time_column, *of_sequences, *self.feature_columns]


@dataclass(frozen=True)
class About:
    """Properties of a file besides its arrays."""

    labels: list[Any]
    """The label of each class."""
    centres: list[float]
    """The number that was subtracted from each feature (F,)."""
    notes: list[str]
    """Sentences about conversions."""
    time_unit: str
    """The unit of dates and durations; "" for numbers."""
    time_origin: Origin
    """From where times count; never `auto`."""


@dataclass(frozen=True)
class Grouped:
    """Events by sequence: sequence i is times[offsets[i]:offsets[i + 1]], as in `EventDataset`."""

    times: NDArray[Any]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    features: NDArray[np.float32]
    """Features (N, F); F may be 0."""
    groups: NDArray[np.int64]
    """Group of each sequence (n,); empty if there are no groups."""
    about: About


def group(table: Table, request: Request, error: Error, folder: Path | None = None) -> Grouped:
    """Return the events of a table by sequence; DataError at the first invalid value. Large arrays are stored in `folder`."""
    return _read(table, request, error, folder).grouped()


@dataclass(frozen=True)
class Sequences:
    """The events of a table by sequence, before rounding and centring."""

    elapsed: Elapsed
    """The times before rounding."""
    features: NDArray[np.float64] | None
    """Features (N, F); None without features."""
    ids: list[int | str]
    """The id of each sequence (n,)."""


def sequences(table: Table, request: Request, error: Error, folder: Path | None = None) -> Sequences:
    """Return the events of a table by sequence, without labels; arguments and errors as for `group`."""
    return _read(table, request, error, folder).sequences()


def _read(table: Table, request: Request, error: Error, folder: Path | None) -> "_Reading":
    reading = _Reading(table, request, error, folder)
    for batch in table.batches(reading.names):
        reading.take(batch)
    pa.default_memory_pool().release_unused()  # otherwise the pool keeps the memory of the batches
    return reading


class _Reading:
    """The columns of a file while they are read."""

    def __init__(self, table: Table, request: Request, error: Error, folder: Path | None) -> None:
        self.request, self.error, self.folder = request, error, folder
        self.names = request.columns
        written = {name: name in table.written for name in self.names}
        id_column, time_column, label_column = request.id_column, request.time_column, request.label_column
        self.ids = Keys(id_column, error, written=written[id_column], classes=False)
        self.times = Times(time_column, error, written=written[time_column], decimal_commas=table.decimal_commas)
        self.labels = Keys(label_column, error, written=written[label_column], classes=True) if label_column else None
        group_column = request.group_column
        self.groups = Keys(group_column, error, written=written[group_column], classes=False) if group_column else None
        self.of_sequences = {keys: np.zeros(0, dtype=np.int64) for keys in (self.labels, self.groups) if keys}
        """For each column with one value per sequence, the code of each sequence's value; -1 if none was read yet."""
        self.numbers = [
            Numbers(name, error, written=written[name], decimal_commas=table.decimal_commas)
            for name in request.feature_columns
        ]
        self.codes_N, self.ticks_N = (
            Growing(folder / f"{name}.raw" if folder else None) for name in ("codes", "ticks")
        )
        self.features_NF = Growing(folder / "features.raw" if folder and self.numbers else None)
        self.rows = 0
        self.whole_rows = 0
        self.lowest = np.full(len(self.numbers), np.inf)
        self.highest = -self.lowest
        self.kind = table.kind

    def take(self, batch: pa.RecordBatch) -> None:
        """Keep a batch of rows."""
        if not len(batch):
            return
        row = self.rows + 1
        codes = self.ids.codes(batch.column(0), row)
        ticks = self.times.ticks(batch.column(1), row)
        for place, keys in enumerate(self.of_sequences, start=2):
            self._assign(codes, keys.codes(batch.column(place), row), keys)
        self.codes_N.append(codes.astype(np.int32))
        self.ticks_N.append(ticks)
        if self.numbers:
            given = batch.columns[-len(self.numbers) :]
            columns = [numbers.floats(column, row) for numbers, column in zip(self.numbers, given, strict=True)]
            values = np.stack(columns, axis=1)
            self.lowest = np.minimum(self.lowest, values.min(axis=0))
            self.highest = np.maximum(self.highest, values.max(axis=0))
            self.features_NF.append(values)
        self.rows += len(batch)
        if self.times.whole:
            self.whole_rows = self.rows

    def _assign(self, codes: NDArray[np.int64], given: NDArray[np.int64], column: Keys) -> None:
        """Note the value of a column for each sequence; DataError if a sequence has two different values."""
        of = self.of_sequences[column]
        of = np.concatenate([of, np.full(len(self.ids.values) - len(of), -1)])  # type: ignore[arg-type] # there are values
        known = of[codes]
        of[codes] = given
        several = (of[codes] != given) | ((known >= 0) & (known != given))
        if several.any():
            name = self.ids.values[int(codes[several][0])].as_py()  # type: ignore[index]
            what, remedy = "group", "Correct it."
            if column is self.labels:
                what = "label"
                remedy = "Correct it; where a sequence has several classes, make each combination a class of its own."
            column.refuse(f"must give a sequence one {what} (sequence {name})", "several", remedy)
        self.of_sequences[column] = of

    def grouped(self) -> Grouped:
        """Return the events by sequence."""
        assert self.labels  # noqa: S101 - only requests with labels call this
        ticks, features, offsets, order, _ = self._by_sequence()
        _, labels = self.labels.sorted_values()
        elapsed = self._told(ticks, offsets)
        times = elapsed.rounded(self.folder)
        kept, centres = self._centred(features)
        notes = [*elapsed.notes, *self._notes()]
        about = About(labels, centres, notes, elapsed.clock.unit, elapsed.clock.origin)
        return Grouped(times, offsets, self._places(self.labels, order), kept, self._places(self.groups, order), about)

    def _places(self, column: Keys | None, order: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return, for each sequence, the rank of its value among the sorted values of a column; empty without a column."""
        return column.sorted_values()[0][self.of_sequences[column][order]] if column else np.zeros(0, dtype=np.int64)

    def sequences(self) -> Sequences:
        """Return the events by sequence, before rounding and centring."""
        ticks, features, offsets, _, ids = self._by_sequence()
        elapsed = self._told(ticks, offsets)
        return Sequences(replace(elapsed, notes=[*elapsed.notes, *self._notes()]), features, ids)

    def _told(self, ticks: NDArray[Any], offsets: NDArray[np.int64]) -> Elapsed:
        request = self.request
        return Elapsed.of(ticks, offsets, self.times, request.origin, request.time_unit, auto=request.auto_origin)

    def _by_sequence(
        self,
    ) -> tuple[NDArray[Any], NDArray[np.float64] | None, NDArray[np.int64], NDArray[np.int64], list[int | str]]:
        """Return ticks, features and offsets, sequences sorted by id and events by time, and the codes and ids of the sequences."""
        if not self.rows:
            raise self.error("rows", "must be at least one", "none", "Give a file with events.")
        codes, ticks = self.codes_N.whole(np.int32), self._ticks()
        features = self.features_NF.whole(np.float64, len(self.numbers)) if self.numbers else None
        places, ids = self.ids.sorted_values()
        counts = np.zeros(len(places), dtype=np.int64)
        for step in steps(len(codes), codes):
            counts += np.bincount(codes[step], minlength=len(counts))
        if self.labels and len(counts) == self.rows:
            got = f"{self.rows} sequences of one event"
            self.ids.refuse("must name the sequence of an event, not the event", got, "Name another data.id_column.")
        order = np.argsort(places)
        offsets = np.concatenate([[0], np.cumsum(counts[order])])
        if not _is_grouped(codes, places):
            ticks, features = self._put_together(codes, places, offsets, ticks, features)
        for a, b in blocks(offsets, ticks, features):
            _sort_block(offsets[a : b + 1], ticks, features)
        return ticks, features, offsets, order, ids

    def _ticks(self) -> NDArray[Any]:
        """Return the times of all rows; if fractions occurred late, the whole numbers before them are converted to float64."""
        if self.times.whole:
            return self.ticks_N.whole(np.int64)
        ticks = self.ticks_N.whole(np.float64)
        for step in steps(self.whole_rows, ticks):
            whole = ticks[step].view(np.int64)
            if np.abs(whole).max() > EXACT:
                self.times.refuse("must be whole numbers or fractions", "both, past 2^53", "Subtract the start.")
            whole.view(np.float64)[:] = whole.astype(np.float64)
        return ticks

    def _put_together(
        self,
        codes: NDArray[np.int32],
        places: NDArray[np.int64],
        offsets: NDArray[np.int64],
        ticks: NDArray[Any],
        features: NDArray[np.float64] | None,
    ) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
        """Return the rows grouped by sequence, within a sequence in the order of the file."""
        grouped = room(self.folder, "grouped_ticks", ticks.dtype.type, ticks.shape)
        with_features = None if features is None else room(self.folder, "grouped", np.float64, features.shape)
        free = offsets[:-1].copy()
        for step in steps(len(codes), codes, ticks, features, grouped, with_features):
            place = places[codes[step]]
            by_place = np.argsort(place, kind="stable")
            place = place[by_place]
            first = np.flatnonzero(np.concatenate([[True], place[1:] != place[:-1]]))
            sizes = np.diff([*first, len(place)])
            target = free[place] + np.arange(len(place)) - np.repeat(first, sizes)
            free[place[first]] += sizes
            grouped[target] = ticks[step][by_place]
            if with_features is not None and features is not None:
                with_features[target] = features[step][by_place]
        return grouped, with_features

    def _centred(self, features: NDArray[np.float64] | None) -> tuple[NDArray[np.float32], list[float]]:
        """Return the features as float32, and the number that was subtracted from each."""
        kept = room(self.folder, "features", np.float32, (self.rows, len(self.numbers)))
        if features is None:
            return kept, []
        centres = self.lowest / 2 + self.highest / 2 if self.request.centred else np.zeros(len(self.numbers))
        for step in steps(self.rows, kept, features):
            kept[step] = features[step] - centres
        return kept, centres.tolist()

    def _notes(self) -> Iterator[str]:
        for column in (self.times, *self.numbers):
            if column.decimal_comma:
                yield f"{column.where}: decimal commas were read as points"
        if self.ids.written and pa.types.is_string(self.ids.values.type):  # type: ignore[union-attr]
            digits = sum(str(value).strip().isdigit() for value in self.ids.values[:BLOCK].to_pylist())  # type: ignore[index]
            if digits and not self.ids.numbers:
                yield f"{self.ids.where}: read as text, because not all of its values are whole numbers as they are written"


def _is_grouped(codes: NDArray[np.int32], places: NDArray[np.int64]) -> bool:
    """Return whether the rows are already grouped in the order of the sequences."""
    last = -1
    for step in steps(len(codes), codes):
        place = places[codes[step]]
        if place[0] < last or (place[1:] < place[:-1]).any():
            return False
        last = place[-1]
    return True


def _sort_block(offsets: NDArray[np.int64], ticks: NDArray[Any], features: NDArray[np.float64] | None) -> None:
    """Sort the events of some sequences by time; equal times keep their order."""
    part = slice(offsets[0], offsets[-1])
    times = ticks[part]
    falls = times[1:] < times[:-1]
    falls[offsets[1:-1] - offsets[0] - 1] = False
    if falls.any():
        sequence = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        order = np.lexsort((times, sequence))
        ticks[part] = times[order]
        if features is not None:
            features[part] = features[part][order]
