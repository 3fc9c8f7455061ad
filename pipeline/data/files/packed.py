"""Opening of compressed text files as a stream of bytes."""

import bz2
import gzip
import lzma
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pyarrow as pa


def _member(path: Path, mode: str) -> IO[bytes]:
    """Open the only file of a ZIP archive."""
    del mode  # all openers take it
    archive = zipfile.ZipFile(path)
    names = [name for name in archive.namelist() if not HIDDEN.search(name)]
    if len(names) != 1:
        raise ValueError(f"an archive of {len(names)} files instead of one")
    return archive.open(names[0])


def _arrow(path: Path, mode: str) -> Any:  # noqa: ANN401 - pyarrow is untyped
    del mode
    return pa.input_stream(str(path), compression="detect")


HIDDEN = re.compile(r"/$|^__MACOSX/|(^|/)\.[^/]*$")
"""Entries of an archive that are folders, or that macOS has added."""
PACKED: dict[str, Callable[[Path, str], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _arrow,
    ".zip": _member,
}
"""Function that opens a compressed file, by the last part of its name."""


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file as a stream of bytes, decompressed if its name ends in that of a compression."""
    opened: IO[bytes] = PACKED.get(path.suffix.lower(), Path.open)(path, "rb")
    return opened
