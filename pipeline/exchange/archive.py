"""An archive of evidence as a ZIP file: the same members give the same bytes, and every member is checked before it is read.

Members are stored without compression: another version of zlib would compress them to other bytes. Archives that were
packed again with compression are read, too.
"""

import hashlib
import re
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from pipeline.errors import UsageError, one_line, writing

MADE = (1980, 1, 1, 0, 0, 0)
"""The time of all members: the earliest that ZIP can store."""
UNIX = 3
"""The operating system that is written into every archive, whichever system writes it."""
MEMBER = re.compile(r"(?:[\w+-][\w+.-]*/)*[\w+-][\w+.-]*", re.ASCII)
"""Allowed names of members. No part is empty or begins with a dot, so a member cannot be unpacked outside of its folder."""
MOST_MEMBERS = 100_000
LARGEST_MEMBER, MOST_BYTES = 2**28, 2**31
"""Largest size of a member, and of all members together, in bytes."""
ANOTHER = "Ask for another copy."
"""Advice at the end of an error about a damaged or changed archive."""

Members = Mapping[str, bytes]
"""The content of an archive by the names of its members."""


def write(file: Path, members: Members) -> None:
    """Write an archive atomically; UsageError if its folder does not exist."""
    temporary = file.with_name(f".{file.name}.{uuid4().hex}.tmp")
    try:
        with writing(file), zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(members):
                member = zipfile.ZipInfo(name, MADE)
                member.create_system, member.external_attr = UNIX, (stat.S_IFREG | 0o644) << 16
                archive.writestr(member, members[name])
        temporary.replace(file)
    except FileNotFoundError:
        raise UsageError(f"{file}: must be in a folder that exists, got none. Make the folder.") from None
    finally:
        temporary.unlink(missing_ok=True)


def read(file: Path) -> dict[str, bytes]:
    """Return the content of an archive.

    UsageError if it cannot be read, is no ZIP file, is damaged, or has members that an archive of this project cannot have.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            _check(file, members)
            return {member.filename: archive.read(member) for member in members}
    except zipfile.BadZipFile as error:
        raise UsageError(
            f"{file}: must be a whole ZIP file, got one that is not ({one_line(error)}). {ANOTHER}"
        ) from None
    except (RuntimeError, NotImplementedError, EOFError, zlib.error) as error:  # a password, an unknown compression
        raise UsageError(f"{file}: must be readable, got {one_line(error)}. {ANOTHER}") from None
    except OSError as error:
        raise UsageError(f"{file}: must be a readable file, got {error.strerror}. Check the path.") from None


def _check(file: Path, members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MOST_MEMBERS:
        raise UsageError(f"{file}: must have at most {MOST_MEMBERS:,} members, got {len(members):,}. {ANOTHER}")
    seen = set()
    for member in members:
        if not MEMBER.fullmatch(member.filename):
            raise UsageError(f"{file}: must have members within itself, got {member.filename!r}. {ANOTHER}")
        if member.filename in seen:
            raise UsageError(f"{file}: must have each member once, got {member.filename} twice. {ANOTHER}")
        if member.file_size > LARGEST_MEMBER:
            size = f"{member.filename} with {member.file_size:,}"
            raise UsageError(f"{file}: must have members of at most {LARGEST_MEMBER:,} bytes, got {size}. {ANOTHER}")
        seen.add(member.filename)
    if (total := sum(member.file_size for member in members)) > MOST_BYTES:
        raise UsageError(f"{file}: must hold at most {MOST_BYTES:,} bytes, got {total:,}. {ANOTHER}")


def digest(content: bytes) -> str:
    """Return the SHA-256 of a member."""
    return hashlib.sha256(content).hexdigest()
