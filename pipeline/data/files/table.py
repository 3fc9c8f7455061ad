"""What a reader gives: the names of the columns, and their values in batches."""

import lzma
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

BATCH_ROWS = 2**19
"""Rows that are read at once."""
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
"""What a reader raises at a file that is not what its name says."""


@dataclass(frozen=True)
class Table:
    """The columns of a file; nothing of it is read before it is asked for."""

    names: Sequence[str]
    """Names of the columns, in their order; one may stand twice."""
    batches: Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
    """From names to batches with these columns in this order; the names are different ones of the table."""
    written: frozenset[str] = field(default_factory=frozenset)
    """Columns that come as text whatever they mean, because the file does not say the type of a column."""
    decimal_commas: bool = False
    """Whether a comma within written numbers stands before the fraction: where commas separate, it may part thousands."""
    kind: str = ""
    """What the file is, for people."""
