"""Readers of Parquet, of folders of Parquet as written by Spark, Dask and pandas, and of Arrow's own files (Feather)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import ipc, parquet

from pipeline.data.events import DataError
from pipeline.data.files.table import BATCH_ROWS, Table

LAYERED = ("_delta_log", ".hoodie", "metadata")
"""Folders of table formats whose Parquet files may contain rows that were deleted from the table."""
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""Value in the name of a folder whose rows have no value in the folder's column."""


def open_parquet(path: Path, encoding: str = "") -> Table:
    """Return the table in a Parquet file."""
    del encoding  # only text has an encoding
    names = parquet.read_schema(path).names

    def batches(wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=list(wanted)):
                yield batch.select(list(wanted))

    return Table(names, batches, kind="Parquet")


def open_parquet_folder(folder: Path) -> Table:
    """Return the table in all Parquet files below a folder, in the order of their names.

    A folder `column=value` gives its rows that value. It is text, because a name has no type: 007 is not 7.
    """
    for name in LAYERED:
        if (folder / name).is_dir():
            remedy = "Export what the table holds now into one Parquet file"
            raise DataError(
                f"data.path: must be a folder of plain Parquet files, got {str(folder)!r} with {name}. {remedy}."
            )
    files = parquet_files(folder)
    if not files:
        raise DataError(
            f"data.path: must be a file, got the directory {str(folder)!r} without Parquet files. "
            "Give a file of events, or a folder of Parquet files; data.name recordings reads those of event cameras."
        )
    values = {file: _values(file, folder) for file in files}
    keys = list(dict.fromkeys(key for of_file in values.values() for key in of_file))
    tables = {file: open_parquet(file) for file in files}
    names = list(dict.fromkeys(name for table in tables.values() for name in table.names))
    twice = sorted(set(names) & set(keys))
    if twice:
        raise ValueError(f"a column {twice[0]} both in its files and in the names of its folders")

    def batches(wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
        for file, table in tables.items():
            inside = [name for name in wanted if name in table.names]
            for batch in table.batches(inside or table.names[:1]):
                given = {name: pa.repeat(pa.scalar(values[file].get(name), pa.string()), len(batch)) for name in wanted}
                yield pa.record_batch([batch[name] if name in inside else given[name] for name in wanted], list(wanted))

    return Table([*names, *keys], batches, written=frozenset(keys), kind=f"{len(files)} Parquet files")


def parquet_files(folder: Path) -> list[Path]:
    """Return the Parquet files below a folder, in the order of their names."""
    return [file for file in sorted(folder.rglob("*.parquet")) if file.is_file() and not _hidden(file, folder)]


def _hidden(file: Path, folder: Path) -> bool:
    """Return whether a name begins with a dot or underscore: such files are notes of a writer, or unfinished."""
    return any(part.startswith(("_", ".")) and "=" not in part for part in file.relative_to(folder).parts)


def _values(file: Path, folder: Path) -> dict[str, str | None]:
    parts = [part.partition("=") for part in file.relative_to(folder).parts[:-1]]
    return {unquote(key): None if value == NO_VALUE else unquote(value) for key, equals, value in parts if equals}


def open_ipc(path: Path, encoding: str = "") -> Table:
    """Return the table in an Arrow file, in the file format (Feather, polars) or the stream format."""
    del encoding

    def opened(source: pa.MemoryMappedFile) -> ipc.RecordBatchFileReader | ipc.RecordBatchStreamReader:
        magic = source.read(6)
        source.seek(0)
        if magic.startswith(b"FEA1"):
            raise ValueError("the first version of Feather, which is no longer read")
        return ipc.open_file(source) if magic == b"ARROW1" else ipc.open_stream(source)

    def batches(wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
        with pa.memory_map(str(path)) as source, opened(source) as reader:
            count = getattr(reader, "num_record_batches", None)
            parts = reader if count is None else map(reader.get_batch, range(count))
            for part in parts:
                for start in range(0, len(part), BATCH_ROWS):
                    yield part.slice(start, BATCH_ROWS).select(list(wanted))

    with pa.memory_map(str(path)) as source, opened(source) as reader:
        return Table(reader.schema.names, batches, kind="Arrow")
