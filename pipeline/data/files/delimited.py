"""Reader of CSV and similar text: columns separated by commas, semicolons, tabs or bars, in any encoding.

- Every value is returned as text, because the type of a column is known only when all of it has been read.
- A byte order mark determines the encoding. Without one it is that of the setting, by default UTF-8.
- "NA" and "None" may be labels: only an empty cell, nan and NaN are missing values.
"""

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import csv as arrow_csv

from pipeline.data.events import DataError
from pipeline.data.files.packed import open_bytes
from pipeline.data.files.table import Table

SEPARATORS = ",;\t|"
"""Separators of columns."""
NO_ROWS = -1
MISSING = ["", "nan", "NaN"]
"""Cells that are missing values."""
BLOCK_BYTES = 2**24
"""Bytes of text that are parsed at a time; a row must not be longer."""
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings by the byte order mark that a file begins with; the mark of UTF-32 begins with that of UTF-16."""
OTHERS = {
    b"\x1f\x8b": "a gzip file",
    b"PK\x03\x04": "a ZIP or Excel file",
    b"PAR1": "a Parquet file",
    b"ARRO": "an Arrow file",
}
"""First bytes of files that are not text, with the name of their format."""
EXCEL_HINT = "sep="
"""Prefix of a first line in which Excel states the separator."""


def open_delimited(path: Path, encoding: str) -> Table:
    """Return the table in a text file."""
    encoding = encoding_of(path, encoding)
    try:
        separator, names, lines, spare = _head(path, encoding)
    except UnicodeDecodeError as error:
        raise _misread(path, encoding) from error

    def batches(wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
        if lines == NO_ROWS:
            return
        places = [str(names.index(name)) for name in wanted]
        extra = [str(len(names))] if spare else []
        columns = [str(place) for place in range(len(names))] + extra
        try:
            with open_bytes(path) as stream:
                reader = arrow_csv.open_csv(
                    stream,
                    arrow_csv.ReadOptions(
                        column_names=columns, skip_rows=lines, block_size=BLOCK_BYTES, encoding=encoding
                    ),
                    arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
                    arrow_csv.ConvertOptions(
                        column_types=dict.fromkeys(places + extra, pa.string()),
                        include_columns=places + extra,
                        null_values=MISSING,
                        strings_can_be_null=True,
                    ),
                )
                for batch in reader:
                    if extra and batch.column(len(places)).null_count < len(batch):
                        raise ValueError("rows with more fields than the header has names")
                    yield pa.record_batch(batch.columns[: len(places)], names=list(wanted))
        except UnicodeDecodeError as error:
            raise _misread(path, encoding) from error
        except pa.ArrowInvalid as error:
            if "UTF8" in str(error):
                raise _misread(path, encoding) from error
            raise

    kind = {"\t": "tabs", ";": "semicolons", ",": "commas", "|": "bars"}[separator]
    said = f"text in {_called(encoding)}, separated by {kind}"
    return Table(names, batches, written=frozenset(names), decimal_commas=separator != ",", kind=said)


def encoding_of(path: Path, encoding: str) -> str:
    """Return the encoding of a file: that of its byte order mark, the given one, or else UTF-8."""
    with open_bytes(path) as stream:
        start = stream.read(4)
    for magic, what in OTHERS.items():
        if start.startswith(magic):
            raise DataError(f"{path}: must be text, got {what}. Give it the ending of what it is.")
    marked = next((name for mark, name in MARKS.items() if start.startswith(mark)), None)
    return marked or ("utf-8" if encoding == "auto" else encoding)


def _head(path: Path, encoding: str) -> tuple[str, list[str], int, bool]:
    """Return the separator, the names, the number of lines before the first row, and whether rows end in an extra separator."""
    with open_bytes(path) as stream, io.TextIOWrapper(stream, encoding=encoding, newline="") as text:
        first = text.readline(BLOCK_BYTES)
        hinted = first.rstrip("\r\n").lower().startswith(EXCEL_HINT)
        said = first.rstrip("\r\n")[len(EXCEL_HINT) :] if hinted else ""
        header = text.readline(BLOCK_BYTES) if hinted else first
        if not header.strip():
            raise ValueError("No columns to parse from file")
        if header.count("\0") * 3 > len(header):  # two-byte characters that were decoded as single bytes
            raise _misread(path, encoding)
        separator = said if said and said in SEPARATORS else _separator(header)
        # A quoted name may continue in the next line.
        rows = csv.reader(_from(header, text), delimiter=separator)
        names = [name if name == "" else name.strip() for name in next(rows)]
        lines = rows.line_num + hinted
        row = next((row for row in rows if row), None)
    if row is None:
        return separator, names, NO_ROWS, False
    if len(row) > len(names) and (len(row) > len(names) + 1 or row[-1]):
        raise ValueError(f"rows with more fields than the header {header.strip()[:60]!r} has names")
    return separator, names, lines, len(row) > len(names)


def _from(header: str, rest: Iterator[str]) -> Iterator[str]:
    yield header
    yield from rest


def _separator(header: str) -> str:
    """Return the separator that divides a header into the most columns; the comma if none divides it."""
    return max(SEPARATORS, key=lambda separator: len(next(csv.reader([header], delimiter=separator))))


def _called(encoding: str) -> str:
    return "UTF-8" if encoding.startswith("utf-8") else encoding


def _misread(path: Path, encoding: str) -> DataError:
    return DataError(
        f"{path}: must be text in {_called(encoding)}, got bytes that are none. Set data.encoding to what it was saved in, for instance "
        "cp1252 (Windows) or utf-16-le, or save it in UTF-8."
    )
