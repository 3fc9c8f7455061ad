"""Reader of JSON lines: each line is an object whose keys are the columns."""

import io
import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.data.events import DataError
from pipeline.data.files.delimited import encoding_of
from pipeline.data.files.packed import open_bytes
from pipeline.data.files.table import Table

BATCH_LINES = 2**16
"""Lines that are parsed at a time."""


def open_json_lines(path: Path, encoding: str) -> Table:
    """Return the table in a file of JSON lines; a missing key is a missing value."""
    encoding = encoding_of(path, encoding)
    first = next(_objects(path, encoding), [])
    names = list(dict.fromkeys(name for row in first for name in row))

    def batches(wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for rows in _objects(path, encoding):
            yield pa.record_batch(
                [_column(path, [row.get(name) for row in rows], name) for name in wanted], list(wanted)
            )

    return Table(names, batches, kind="JSON lines")


def _objects(path: Path, encoding: str) -> Iterator[list[dict[str, Any]]]:
    """Yield the objects of the file, `BATCH_LINES` at a time."""
    with open_bytes(path) as stream, io.TextIOWrapper(stream, encoding=encoding) as text:
        lines = enumerate(text, start=1)
        while rows := [_object(line, number) for number, line in islice(lines, BATCH_LINES) if line.strip()]:
            yield rows


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"no JSON in line {number}: {error}") from error
    if not isinstance(row, dict):
        raise ValueError(f"no JSON object in line {number}")  # noqa: TRY004 - the file is wrong, not an argument
    return row


def _column(path: Path, values: list[Any], name: str) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) > 1 and kinds != {int, float}:
        listed = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(f"values of several types ({listed}) of the key {name}")
    try:
        return pa.array(values)
    except OverflowError:
        largest = max((value for value in values if isinstance(value, int)), key=abs)
        rule = "must be whole numbers of 63 bits"
        raise DataError(
            f"{path}, key {name}: {rule}, got {largest}. Write names as text; subtract the start of times."
        ) from None
