"""Names of sequences and classes: whole numbers or text, with a code for each.

If a file has no types, as CSV, a column of names consists of numbers only if each value is written in the usual form of that number:
007 stays text, and differs from 7.
"""

import re
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from pipeline.data.columns import EXACT, Column, Error, is_list

WHOLE = r"^(0|-?[1-9][0-9]*)$"
"""A whole number in its usual form."""
WHOLE_FRACTION = r"^(0|-?[1-9][0-9]*)\.0$"
"""A whole number in the form of a float: pandas writes whole numbers so if a value of the column is missing."""
UNSEEN = "[\u00ad\u200b\u200e\u200f\u2060\ufeff]"
"""Invisible characters, which text that was copied from a web page may contain."""
FRACTION = r"^[+-]?[0-9]*\.[0-9]*([eE][+-]?[0-9]+)?$|^[+-]?[0-9]+$"
"""A number, optionally with a fraction."""


class Keys(Column):
    """Names of sequences or classes: whole numbers or text. Each distinct name has a code, in the order of first appearance."""

    def __init__(self, name: str, error: Error, *, written: bool, classes: bool) -> None:
        super().__init__(name, error, written=written)
        self.classes = classes
        self.numbers = False
        """Whether text was found to consist of whole numbers."""
        self.values: pa.Array | None = None
        """The distinct names, in the order of their codes."""

    def codes(self, column: pa.Array, first_row: int) -> NDArray[np.int64]:
        """Return the codes of a batch."""
        batch = self._names(self.whole_values(column, first_row)).dictionary_encode()
        if self.values is None:
            self.values = batch.dictionary.slice(0, 0)
        if batch.dictionary.type != self.values.type:
            kinds = f"{self.values.type} and {batch.dictionary.type} values"
            self.refuse("must be all whole numbers or all text", kinds, "Convert the column.")
        places = compute.index_in(batch.dictionary, value_set=self.values)
        new = compute.filter(batch.dictionary, compute.is_null(places))
        known = places.to_numpy(zero_copy_only=False)
        fresh = np.isnan(known) if places.null_count else np.zeros(len(known), dtype=bool)
        code_of = np.where(fresh, len(self.values) + np.cumsum(fresh) - 1, known).astype(np.int64)
        self.values = pa.concat_arrays([self.values, new])
        codes: NDArray[np.int64] = code_of[batch.indices.to_numpy()]
        return codes

    def _names(self, column: pa.Array) -> pa.Array:
        types, rule = pa.types, "must be whole numbers or text"
        if types.is_string(column.type) or types.is_uint64(column.type):
            return column
        if types.is_integer(column.type):
            return column.cast(pa.int64())
        if types.is_boolean(column.type):
            return compute.if_else(column, "True", "False")
        if is_list(column.type) and self.classes:
            self.refuse_type(rule, column, self._one_class())
        if types.is_floating(column.type) or types.is_decimal(column.type):
            numbers = column.cast(pa.float64())
            whole = compute.and_(
                compute.equal(compute.floor(numbers), numbers), compute.less_equal(compute.abs(numbers), EXACT)
            )
            if compute.all(whole).as_py():
                return numbers.cast(pa.int64())
            self._refuse_numbers(numbers)
        return self.refuse_type(rule, column)

    def _refuse_numbers(self, numbers: pa.Array) -> NoReturn:
        self.refuse_type("must be whole numbers or text", numbers, self._one_class() if self.classes else "Convert it.")

    def _one_class(self) -> str:
        return (
            "Name the column of the class: the platform tells classes apart, one for each sequence, and predicts neither "
            "numbers nor several labels."
        )

    def sorted_values(self) -> tuple[NDArray[np.int64], list[Any]]:
        """Return the rank of each code among the sorted values, and these values: numbers by size, text by character."""
        values = self.values
        assert values is not None  # noqa: S101 - there is a row
        if self.written and pa.types.is_string(values.type):
            values = self._as_meant(values)
        elif pa.types.is_string(values.type):
            self._check_blanks(values)
        order = compute.array_sort_indices(values).to_numpy().astype(np.int64)
        places = np.empty(len(order), dtype=np.int64)
        places[order] = np.arange(len(order))
        return places, values.take(pa.array(order)).to_pylist()

    def _as_meant(self, values: pa.Array) -> pa.Array:
        """Return text as whole numbers, if every value is one, otherwise unchanged."""
        trimmed = compute.utf8_trim_whitespace(values)
        for form in (WHOLE, WHOLE_FRACTION):
            if compute.all(compute.match_substring_regex(trimmed, form)).as_py():
                digits = compute.replace_substring_regex(trimmed, r"\.0$", "")
                for kind in (pa.int64(), pa.uint64()):
                    try:
                        numbers = digits.cast(kind)
                    except pa.ArrowInvalid:
                        continue
                    if len(numbers.unique()) == len(numbers):
                        self.numbers = True
                        return numbers
        fraction = compute.match_substring_regex(values, FRACTION)
        dotted = compute.match_substring(values, ".")
        if compute.all(fraction).as_py() and compute.any(dotted).as_py():
            self._refuse_numbers(compute.filter(values, dotted).cast(pa.float64()))
        self._check_blanks(values)
        return values

    def _check_blanks(self, values: pa.Array) -> None:
        """Refuse names that differ only in surrounding blanks or in invisible characters, because they look the same."""
        shown = compute.replace_substring_regex(values, UNSEEN, "")
        same_text = compute.utf8_normalize(compute.utf8_trim_whitespace(shown), form="NFC")
        names = pd.Series(same_text.to_numpy(zero_copy_only=False))
        twice = np.flatnonzero(names.duplicated(keep=False))
        if len(twice):
            same = twice[names[twice] == names[twice[0]]]
            first, second = sorted(values[int(place)].as_py() for place in same[:2])
            what = "labels" if self.classes else "ids"
            rule = f"must have {what} that differ in more than blanks and line breaks"
            if first.strip() != second.strip():
                how = (
                    "letters that are not shown"
                    if re.search(UNSEEN, first + second)
                    else "how Unicode composes a letter"
                )
                rule = f"must have {what} that differ in more than {how}"
            self.refuse(rule, f"{first!r} and {second!r}", "Rename one.")
