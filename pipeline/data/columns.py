"""Interpretation of the values of a column as times or numbers, each exact or refused.

A column arrives in batches of Arrow (`pipeline/data/files/`). An error names the row of the value that does not fit.
"""

from bisect import bisect_left
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from pipeline.data.events import DataError
from pipeline.data.units import PER_SECOND

Error = Callable[[str, str, str, str], DataError]
"""Makes an error from where, rule, got and remedy."""
EXACT = 2**53
"""Up to this, float64 represents all whole numbers."""
LARGEST_TIME = 2.0**24
"""Up to this, float32 represents all whole numbers."""
LARGEST_FEATURE = float(np.finfo(np.float32).max)
"""The largest finite number of float32."""
ZONED = "date with its zone"
CONVERT = "Convert the column."
"""Remedy for a column of another type."""
DECIMAL_COMMA = r"^\s*[+-]?[0-9]+,[0-9]+\s*$"
"""A number that is written with a decimal comma."""
CLOCK = r"^([+-]?[0-9]+ days?,? )?[0-9]+:[0-9]{2}:[0-9]{2}(\.[0-9]+)?$"
"""A duration as pandas and spreadsheets write it."""


def is_list(kind: pa.DataType) -> bool:
    """Return whether the values of a column are lists."""
    return any(is_so(kind) for is_so in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))


def _plain(column: pa.Array) -> pa.Array:
    """Return a column in its plain type: dictionaries, views and binary text are only forms of storage."""
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    types = pa.types
    stored_as = (types.is_large_string, types.is_string_view, types.is_binary, types.is_large_binary)
    return column.cast(pa.string()) if any(is_so(column.type) for is_so in stored_as) else column


class Column:
    """One column of a file; `error` makes its errors, and `written` means that the file has no types, so all values are text."""

    def __init__(self, name: str, error: Error, *, written: bool) -> None:
        self.where = f"column {name}"
        self.error = error
        self.written = written

    def refuse(self, rule: str, got: str, remedy: str) -> NoReturn:
        """Raise the error of a rule that the column breaks."""
        raise self.error(self.where, rule, got, remedy)

    def whole_values(self, column: pa.Array, first_row: int) -> pa.Array:
        """Return a batch in its plain type; DataError if a value is missing. Rows count from 1."""
        try:
            column = _plain(column)
        except pa.ArrowInvalid:
            self.refuse("must be numbers or text", "bytes that are no text", "Convert the column.")
        missing = compute.is_null(column, nan_is_null=True)
        if compute.any(missing).as_py():
            row = first_row + compute.index(missing, value=True).as_py()
            self.refuse(f"must have a value in every row (row {row})", "none, or NaN", "Fill it, or drop the row.")
        return column

    def refuse_type(self, rule: str, column: pa.Array, remedy: str = CONVERT) -> NoReturn:
        """Raise the error of a column of another type, with its first value."""
        kind = str(column.type)
        kind = {"double": "floating", "float": "floating", "bool": "boolean"}.get(kind, kind.partition("[")[0])
        if is_list(column.type) and remedy == CONVERT:
            remedy = "Give each event a row of its own, as explode of pandas and polars does."
        self.refuse(rule, f"{kind} values such as {column[0].as_py()!r}", remedy)


class Numbers(Column):
    """Finite numbers, as float64 each: a feature, or times that are numbers."""

    decimal_comma = False
    """Whether a value was written with a decimal comma."""

    def __init__(self, name: str, error: Error, *, written: bool, decimal_commas: bool) -> None:
        super().__init__(name, error, written=written)
        self.decimal_commas = decimal_commas

    def floats(self, column: pa.Array, first_row: int) -> NDArray[np.float64]:
        """Return the numbers of a batch."""
        column = self.whole_values(column, first_row)
        kind = column.type
        if pa.types.is_boolean(kind):
            column = column.cast(pa.int8())
        elif pa.types.is_decimal(kind):  # converted through text, which rounds only once
            column = column.cast(pa.string()).cast(pa.float64())
        elif pa.types.is_string(kind) and self.written:
            column = self._read(column)
        elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            self.refuse_type("must be numbers", column)
        values: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy()
        if not np.isfinite(values).all():
            self.refuse("must be finite", "an infinite value", "Correct the data.")
        outside = np.flatnonzero(np.abs(values) > LARGEST_FEATURE)
        if len(outside):
            rule = f"must lie in [{-LARGEST_FEATURE:.8g}, {LARGEST_FEATURE:.8g}] (row {first_row + outside[0]})"
            self.refuse(rule, f"{values[outside[0]]}", "Scale it, or take its logarithm.")
        return values

    def _read(self, text: pa.Array) -> pa.Array:
        """Return numbers that are written with a decimal point, or, in the whole column, with a decimal comma."""
        commas = compute.match_substring_regex(text, DECIMAL_COMMA)
        if self.decimal_commas and compute.any(commas).as_py():
            self.decimal_comma = True
            if compute.any(compute.match_substring(text, ".")).as_py():
                self._refuse_text(compute.filter(text, commas))
            text = compute.replace_substring(text, ",", ".")
        try:
            return text.cast(pa.float64())
        except pa.ArrowInvalid:
            trimmed = compute.replace_substring_regex(compute.utf8_trim_whitespace(text), r"^\+", "")
        try:
            return trimmed.cast(pa.float64())
        except pa.ArrowInvalid:
            # NumPy accepts more forms than Arrow, but an error of either names the value.
            numbers = pd.to_numeric(trimmed.to_pandas(), errors="coerce").isna().to_numpy()
            self._refuse_text(compute.filter(text, pa.array(numbers)) if numbers.any() else text)

    def _refuse_text(self, text: pa.Array) -> NoReturn:
        if self.decimal_comma:
            rule = "must be numbers with one sign for the fraction"
            self.refuse(rule, f"text such as {text[0].as_py()!r}", "Write them all with a point.")
        self.refuse("must be numbers", f"string values such as {text[0].as_py()!r}", "Convert the column.")


class Times(Numbers):
    """Times as whole ticks, or as float64 if they have fractions; `per_second` is set if a tick has a physical length.

    A column begins as whole numbers. When a batch has fractions, the batches before it become float64, too.
    """

    kind = ""
    """number, duration, date, or date with its zone; all batches must be of the kind of the first."""
    per_second: int | None = None
    """Ticks per second, for dates and durations."""
    scale = 1
    """Ticks per unit, for numbers: a power of ten, more than 1 for decimals."""
    stored = ""
    """The type in the file, for messages."""
    clock = False
    """Whether durations were written as on a clock."""
    whole = True
    """Whether all batches were whole."""
    _outside: tuple[int, float] | None = None
    """Row and value of the first number that cannot be a time unless an origin is subtracted."""

    def ticks(self, column: pa.Array, first_row: int) -> NDArray[np.int64] | NDArray[np.float64]:
        """Return the times of a batch."""
        column = self.whole_values(column, first_row)
        self.stored = self.stored or ("text" if pa.types.is_string(column.type) else str(column.type))
        kind = column.type
        if pa.types.is_string(kind) and self.kind != "number":  # JSON has dates only as text, and Parquet often does
            parsed = self._parsed(column)
            if parsed is None:
                self._refuse_odd(column, first_row)
            column = column if parsed is None else parsed
            kind = column.type
        if pa.types.is_date(kind):
            column = column.cast(pa.timestamp("s" if pa.types.is_date32(kind) else "ms"))
        elif pa.types.is_time(kind):
            self.refuse_type("must be dates, durations or numbers", column, "Write the date with the time of day.")
        if pa.types.is_timestamp(column.type) or pa.types.is_duration(column.type):
            kind = "duration"
            if pa.types.is_timestamp(column.type):
                kind = "date" if column.type.tz is None else ZONED
            if kind == self.kind:  # files of a folder may have different units
                column = self._in_first_unit(column)
            self._settle(kind, PER_SECOND[column.type.unit], 1)
            ticks: NDArray[np.int64] = column.cast(pa.int64()).to_numpy()
            return ticks
        return self._numbers(column, first_row)

    def _in_first_unit(self, column: pa.Array) -> pa.Array:
        """Return dates or durations in the unit of the first batch, or unchanged if the conversion would lose digits."""
        [unit] = [unit for unit, number in PER_SECOND.items() if number == self.per_second]
        is_date = pa.types.is_timestamp(column.type)
        try:
            return column.cast(pa.timestamp(unit, column.type.tz) if is_date else pa.duration(unit))
        except pa.ArrowInvalid:
            return column

    def _refuse_odd(self, text: pa.Array, first_row: int) -> None:
        """Refuse the first value that is of another kind than the dates or durations before it."""
        if not self.kind and self._parsed(text[:1]) is None:
            return
        odd = bisect_left(range(1, len(text) + 1), x=True, key=lambda count: self._parsed(text[:count]) is None)
        rule = f"must be dates or durations of one form, with a zone in all or in none (row {first_row + odd})"
        self.refuse(rule, f"{text[odd].as_py()!r}", "Correct it.")

    def _settle(self, kind: str, per_second: int | None, scale: int) -> None:
        if not self.kind:
            self.kind, self.per_second, self.scale = kind, per_second, scale
        elif (kind, per_second, scale) != (self.kind, self.per_second, self.scale):
            got = f"{self.kind}s and {kind}s" if kind != self.kind else f"a {kind} in a finer unit than those before"
            self.refuse("must be times of one kind and unit", got, "Convert them.")

    def _numbers(self, column: pa.Array, first_row: int) -> NDArray[np.int64] | NDArray[np.float64]:
        scale, whole = 1, column
        if pa.types.is_decimal(column.type):
            scale = 10 ** max(column.type.scale, 0)
            try:
                whole = compute.multiply(column, pa.scalar(Decimal(scale))).cast(pa.int64())
            except pa.ArrowInvalid:
                self.refuse("must be decimals of up to 18 digits", str(column.type), "Round them, or write floats.")
        elif pa.types.is_string(column.type) and self.written and self.whole:
            try:
                # Arrow would read 0x10 as 16, but does not read fractions in that form.
                hexadecimal = compute.any(compute.match_substring(column, "x", ignore_case=True)).as_py()
                whole = column if hexadecimal else column.cast(pa.int64())
            except pa.ArrowInvalid:
                whole = column
        self._settle("number", None, scale)
        if pa.types.is_integer(whole.type) and self.whole:
            try:
                ticks: NDArray[np.int64] = whole.cast(pa.int64()).to_numpy()
            except pa.ArrowInvalid:
                largest = compute.max(whole).as_py()
                self.refuse("must be whole numbers of 63 bits", f"{largest}", "Subtract the start, or scale it.")
            self._look(ticks, first_row)
            return ticks
        self.whole = False
        numbers = self.floats(column, first_row)
        self._look(numbers, first_row)
        return numbers

    def _look(self, values: NDArray[Any], first_row: int) -> None:
        outside = np.flatnonzero((values < 0) | (values > LARGEST_TIME * self.scale))
        if len(outside) and self._outside is None:
            self._outside = (
                first_row + int(outside[0]),
                values[outside[0]] / self.scale if self.scale > 1 else values[outside[0]],
            )

    def check_outside(self) -> None:
        """Refuse numbers that cannot be times without an origin that is subtracted."""
        if self._outside:
            row, value = self._outside
            rule = f"must lie in [0, {LARGEST_TIME:.8g}] (row {row})"
            self.refuse(rule, f"{value}", "Subtract the start, or scale it, or set data.time_origin.")

    def _parsed(self, text: pa.Array) -> pa.Array | None:
        """Return text as dates (ISO 8601) or durations, or None if it is neither."""
        units = (
            ("ns", "us") if self.per_second is None else tuple(u for u, n in PER_SECOND.items() if n == self.per_second)
        )
        for unit in units:
            for zone in (None, "UTC"):
                try:
                    return text.cast(pa.timestamp(unit, zone))
                except pa.ArrowInvalid:
                    continue
        if compute.all(compute.match_substring_regex(text, CLOCK)).as_py():
            try:
                self.clock = True
                spans = pd.to_timedelta(text.to_pandas().str.replace(",", "", regex=False))
            except ValueError:
                return None
            return pa.array(spans.to_numpy().astype("m8[ns]"))
        return None
