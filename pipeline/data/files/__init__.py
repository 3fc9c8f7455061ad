"""Files of events in any supported format: one function that gives the columns of a file as batches of Arrow.

A reader is a function from a path and a text encoding to a `Table`. It checks that the file is complete, and reads only the
requested columns. Values are interpreted elsewhere (`pipeline/data/columns.py`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from pipeline.data.events import DataError
from pipeline.data.files.arrow import open_ipc, open_parquet, open_parquet_folder
from pipeline.data.files.delimited import open_delimited
from pipeline.data.files.json_lines import open_json_lines
from pipeline.data.files.npz import open_npz
from pipeline.data.files.packed import PACKED
from pipeline.data.files.table import UNREADABLE, Table

READERS: Mapping[str, Callable[[Path, str], Table]] = {
    ".parquet": open_parquet,
    ".csv": open_delimited,
    ".npz": open_npz,
    ".tsv": open_delimited,
    ".txt": open_delimited,
    ".jsonl": open_json_lines,
    ".ndjson": open_json_lines,
    ".feather": open_ipc,
    ".arrow": open_ipc,
}
"""The reader for each ending."""
TEXT = (open_delimited, open_json_lines)
"""Readers of text, which may be compressed."""
CONVERSIONS = {
    ".xlsx": "Save it as CSV (UTF-8)",
    ".xls": "Save it as CSV (UTF-8)",
    ".pkl": "A pickle runs what it holds, so none is read. Write the frame with to_parquet",
    ".pickle": "A pickle runs what it holds, so none is read. Write the frame with to_parquet",
    ".npy": "Write it with numpy.savez, an array for each column",
    ".json": "Write a JSON object in each line, as .jsonl",
}
"""Remedies for common formats that are not read, by ending."""


def open_table(path: str, encoding: str = "auto") -> Table:
    """Return the table in a file or in a folder of Parquet files; DataError if it cannot be read."""
    file = Path(path)
    ending = ending_of(path)
    if path and file.is_dir():
        return _guarded(path, "folder of Parquet files", lambda: open_parquet_folder(file))
    plain = Path(ending).suffix in PACKED or ending in PACKED
    bare = Path(ending).stem if plain and ending not in PACKED else ending
    reader = READERS.get(bare)
    if reader is None or (plain and reader not in TEXT):
        remedy = CONVERSIONS.get(bare, "Give a file of one of these kinds")
        packed = ", ".join(PACKED)
        raise DataError(f"data.path: must end in {', '.join(READERS)} (text also in {packed}), got {path!r}. {remedy}.")
    if not file.is_file():
        remedy = "Download it" if "://" in path else "Check the path"
        raise DataError(f"data.path: must be a file, got {path!r}, where there is none. {remedy}.")
    return _guarded(path, f"{ending} file", lambda: reader(file, encoding))


def ending_of(path: str) -> str:
    """Return the ending of a file in lower case: `.csv`, or `.csv.gz` if it is compressed."""
    file = Path(path)
    last = file.suffix.lower()
    return f"{Path(file.stem).suffix.lower()}{last}" if last in PACKED else last


def _guarded(path: str, kind: str, opened: Callable[[], Table]) -> Table:
    """Return a table whose errors while reading become one-line DataErrors."""

    def explained(error: Exception) -> DataError:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        return DataError(f"{path}: must be a whole {kind}, got {reason}. Write it again.")

    def batches(names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        try:
            yield from table.batches(names)
        except DataError:
            raise
        except UNREADABLE as error:
            raise explained(error) from error

    try:
        table = opened()
    except DataError:
        raise
    except UNREADABLE as error:
        raise explained(error) from error
    return Table(table.names, batches, written=table.written, decimal_commas=table.decimal_commas, kind=table.kind)
