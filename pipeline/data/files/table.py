"""The result of a reader: the names of the columns, and their values in batches."""

import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

BATCH_ROWS = 2**19
"""Rows per batch."""
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
"""Errors of a reader for a file that does not have the format of its name."""


@dataclass(frozen=True)
class Table:
    """The columns of a file, which are read only on request."""

    names: Sequence[str]
    """Names of the columns, in their order; a name may occur twice."""
    batches: Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
    """Function from distinct names of the table to batches with these columns in this order."""
    written: frozenset[str] = field(default_factory=frozenset)
    """Columns whose values are all text, because the file has no types."""
    decimal_commas: bool = False
    """Whether a comma in numbers is a decimal comma; in a file whose separator is the comma, it may separate thousands."""
    kind: str = ""
    """Name of the format, for messages."""
