"""Elapsed times for models: units in int16 or float32, computed from ticks that are subtracted before they are rounded."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.data.columns import LARGEST_TIME, Times
from pipeline.data.events import LARGEST_SHORT, DataError
from pipeline.data.scratch import blocks, room, taken
from pipeline.data.units import PER_SECOND, UNITS, are_written_dates, epoch_unit, unit_for

Origin = Literal["auto", "zero", "file", "sequence"]
"""The origin of times: chosen from the data, zero, the first time of the file, or the first time of each sequence."""
ORIGINS = {
    "zero": "as they stand",
    "file": "since the first of the file",
    "sequence": "since the first of each sequence",
}


@dataclass(frozen=True)
class _Clock:
    """Conversion of ticks to units."""

    column: Times
    origin: Origin
    unit: str
    """A unit of `UNITS`, or "" for plain numbers."""
    per_second: int | None

    def units(self, ticks: NDArray[Any]) -> NDArray[np.float64]:
        """Return elapsed ticks in units, with a single rounding."""
        if self.per_second is None:
            return ticks / self.column.scale
        tick, unit = 10**9 // self.per_second, UNITS[self.unit]
        return ticks / (unit // tick) if unit >= tick else ticks.astype(np.float64) * (tick // unit)


@dataclass(frozen=True)
class Elapsed:
    """Times of sequences in ticks, with their origins, before they are rounded."""

    ticks: NDArray[Any]
    """Ticks of the file (N,), ascending within a sequence."""
    offsets: NDArray[np.int64]
    starts: NDArray[Any]
    """Origin, in ticks, that is subtracted from the times of each sequence (n,)."""
    clock: _Clock
    largest: float
    """The largest elapsed time, in units."""
    notes: list[str]
    """Sentences about conversions."""

    @classmethod
    def of(
        cls,
        ticks_N: NDArray[Any],
        offsets: NDArray[np.int64],
        column: Times,
        origin: Origin,
        unit: str,
        *,
        auto: Origin = "auto",
    ) -> Self:
        """Say what the ticks (N,) of sequences that are sorted stand for; `auto` is the origin that training found for `auto`."""
        kind, per_second, notes = column.kind, column.per_second, []
        firsts, lasts = taken(ticks_N, offsets[:-1]), taken(ticks_N, offsets[1:] - 1)
        if kind == "number" and column.whole and column.scale == 1:
            if are_written_dates(firsts) and are_written_dates(lasts):  # their differences are no durations
                got = f"whole numbers such as {firsts[0]}, which read as dates"
                column.refuse("must be times", got, "Write them as 2024-01-31 or 2024-01-31T23:59:59.")
            since = epoch_unit(int(firsts.min()), int(lasts.max())) if origin == "auto" else None
            if since:
                kind, per_second = "date", PER_SECOND[since]
                notes.append(f"{column.where}: whole numbers such as {ticks_N[0]} were taken as {since} since 1970")
        if origin == "auto":
            origin = _origin_of(kind, auto, column)
        if per_second is None and origin == "zero":
            column.check_outside()
        starts = _starts(firsts, origin)
        largest = _largest(firsts, lasts, starts, column)
        if per_second is not None:
            unit = _known_unit(unit) if unit else unit_for(int(largest), per_second)
            what = {"date": "dates", "duration": "durations"}.get(kind, "dates with their zone")
            if column.clock:
                notes.append(f"{column.where}: text such as 00:01:30 was taken as a duration, not as a time of day")
            notes.append(f"{column.where}: {what} ({column.stored}) are told in the unit {unit}, {ORIGINS[origin]}")
        elif origin != "zero":
            notes.append(f"{column.where}: numbers count {ORIGINS[origin]}")
        clock = _Clock(column, origin, unit if per_second else "", per_second)
        return cls(ticks_N, offsets, starts, clock, float(clock.units(np.asarray(largest))), notes)

    def largest_of(self, most: int) -> float:
        """Return the largest elapsed time among the first `most` events of each sequence, in units."""
        lasts = taken(self.ticks, np.minimum(self.offsets[1:], self.offsets[:-1] + most) - 1)
        return float(self.clock.units((lasts - self.starts).max(keepdims=True))[0])

    def check_largest(self) -> None:
        """Raise DataError for times above `LARGEST_TIME`, where float32 does not even represent all whole numbers."""
        if self.largest > LARGEST_TIME:
            remedy = "Set data.time_unit to a coarser unit." if self.clock.unit else "Scale it."
            got = f"{self.largest:g} {self.clock.unit}".strip()
            self.clock.column.refuse(f"must lie within {LARGEST_TIME:.8g} units of its start", got, remedy)

    def collisions(self) -> int:
        """Return the number of events whose time differs from that of the previous event, but not in float32."""
        return sum(int(merged.sum()) for _, _, merged in self._parts())

    def units(self, first: int, last: int) -> NDArray[np.float64]:
        """Return the times of the sequences `first` to `last` - 1, in units."""
        return self.clock.units(self._since_start(first, last))

    def _since_start(self, a: int, b: int) -> NDArray[Any]:
        starts = np.repeat(self.starts[a:b], np.diff(self.offsets[a : b + 1]))
        elapsed: NDArray[Any] = self.ticks[self.offsets[a] : self.offsets[b]] - starts
        return elapsed

    def rounded(self, folder: Path | None) -> NDArray[Any]:
        """Return the times as int16 if all are whole and at most 32767, else as float32; DataError if two times would become equal."""
        times = room(folder, "times", np.float32, self.ticks.shape)
        short = self.largest <= LARGEST_SHORT
        for part, units, merged in self._parts():
            if merged.any():
                raise _merged(units[np.flatnonzero(merged)[0] :][:2].tolist(), self.clock)
            times[part] = units
            short = short and bool((units == np.floor(units)).all())
        self.check_largest()
        if not short:
            return times
        whole = room(folder, "short_times", np.int16, self.ticks.shape)
        whole[:] = times
        return whole

    def _parts(self) -> Iterator[tuple[slice, NDArray[np.float64], NDArray[np.bool_]]]:
        """Yield, for blocks of sequences, the slice of events, the times in units, and whether each equals the next in float32."""
        offsets = self.offsets
        for a, b in blocks(offsets, self.ticks):
            part, elapsed = slice(offsets[a], offsets[b]), self._since_start(a, b)
            units = self.clock.units(elapsed)
            rounded = units.astype(np.float32)
            merged = (rounded[1:] == rounded[:-1]) & (elapsed[1:] != elapsed[:-1])
            merged[offsets[a + 1 : b] - offsets[a] - 1] = False
            yield part, units, merged


def _known_unit(unit: str) -> str:
    if unit not in UNITS:
        rule = f"must be a unit of dates and durations ({', '.join(UNITS)})"
        raise DataError(f"data.time_unit: {rule}, got {unit!r}. Choose one, or leave it out.")
    return unit


def _origin_of(kind: str, trained: Origin, column: Times) -> Origin:
    """Return from where times of a kind count; DataError for dates where those of the training counted as they stand."""
    origin: Origin = "sequence" if kind.startswith("date") else "zero"
    if trained == "zero" and origin == "sequence":
        column.refuse("must be times that count as they stand, as in training", "dates", "Convert them.")
    return origin if trained == "auto" else trained


def _starts(firsts: NDArray[Any], origin: Origin) -> NDArray[Any]:
    """Return the ticks (n,) to subtract from the times of each sequence, given its first tick."""
    if origin == "sequence":
        return firsts
    return np.full_like(firsts, firsts.min() if origin == "file" else 0)


def _largest(firsts: NDArray[Any], lasts: NDArray[Any], starts: NDArray[Any], column: Times) -> float:
    """Return the largest elapsed time in ticks; DataError if it does not fit into 64 bits, or if a time is negative."""
    if (firsts < starts).any():
        got = f"{column.stored} of {firsts.min()} ticks"
        column.refuse("must not be negative", got, "Set data.time_origin to sequence or file.")
    if firsts.dtype == np.int64 and int(lasts.max()) - int(starts.min()) >= 2**63:
        column.refuse("must span less than 63 bits of its unit", "more", "Write it in a coarser unit.")
    return float((lasts - starts).max()) if firsts.dtype == np.float64 else int((lasts - starts).max())


def _merged(pair: list[float], clock: _Clock) -> DataError:
    rule = "must keep its times apart within a sequence when rounded to float32, to 7 digits or so"
    remedy = "Subtract an offset, or round the times to a coarser unit."
    if clock.unit:
        remedy = "Round the times to a coarser unit, or let them count from each sequence (data.time_origin)."
    first, second = pair
    return clock.column.error(
        clock.column.where, rule, f"{first} and {second}{clock.unit and f' {clock.unit}'}", remedy
    )
