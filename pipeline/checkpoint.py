"""Checkpoints: written atomically with their digest, read without unpickling code.

A checkpoint is the ZIP archive that torch writes. Its comment, which torch does not read, holds the SHA-256 of all bytes
before it. They are compared before anything of the archive is looked at.
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
"""How the comment begins."""
REMEDY = "Delete it to train from the start."
COMMENT = len(MARK) + 2 * hashlib.sha256().digest_size


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values so that `path` holds either the old checkpoint or the new one, whole; DiskError where it cannot."""
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
    """Read what `save` wrote, onto the CPU; UsageError where the file is not as it was written.

    Where `older`, a file that holds no digest is taken as it is: it was written before there were any.
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
    except Exception as error:  # a damaged file raises whatever torch runs into
        raise _wrong(path, f"got one that breaks off or holds code ({type(error).__name__})") from error
    if not isinstance(state, dict):
        raise _wrong(path, f"got a {type(state).__name__}")
    return state


def _comment(content: bytes) -> bytes:
    return MARK + hashlib.sha256(content).hexdigest().encode()


def _wrong(path: Path, got: str) -> UsageError:
    return UsageError(f"{path}: must be a readable checkpoint, {got}. {REMEDY}")
