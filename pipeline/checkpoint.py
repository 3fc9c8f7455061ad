"""Checkpoints: written atomically with their digest, read without unpickling code.

A checkpoint is the ZIP archive that torch writes. The comment of the archive, which torch ignores, holds the SHA-256 of all
bytes before it. The digest is compared before the archive is read.
"""

import hashlib
import os
import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from pipeline.errors import UsageError, writing

MARK = b"sha256 "
"""The beginning of the comment."""
REMEDY = "Delete it to train from the start."
COMMENT = len(MARK) + 2 * hashlib.sha256().digest_size


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values atomically: `path` holds either the old or the new checkpoint. DiskError if writing fails."""
    archive = BytesIO()
    torch.save(state, archive)
    # The last two bytes of an archive without a comment are the comment's length.
    content = archive.getvalue()[:-2] + struct.pack("<H", COMMENT)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content + _comment(content))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def load(path: Path, *, older: bool = True) -> dict[str, Any]:
    """Read what `save` wrote, onto the CPU; UsageError if the file is missing, damaged or changed.

    With `older`, a file without a digest is accepted: early versions wrote none.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _wrong(path, f"got none ({error.strerror})") from error
    digested = content[-COMMENT:].startswith(MARK)
    if digested and _comment(content[:-COMMENT]) != content[-COMMENT:]:
        raise _wrong(path, "got one that has changed since it was written (its digest does not fit)")
    if not (digested or older):
        raise _wrong(path, "got one without its digest, cut, changed or written by older code")
    try:
        state: Any = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise any exception in torch
        raise _wrong(path, f"got one that breaks off or holds code ({type(error).__name__})") from error
    if not isinstance(state, dict):
        raise _wrong(path, f"got a {type(state).__name__}")
    return state


def _comment(content: bytes) -> bytes:
    return MARK + hashlib.sha256(content).hexdigest().encode()


def _wrong(path: Path, got: str) -> UsageError:
    return UsageError(f"{path}: must be a readable checkpoint, {got}. {REMEDY}")
