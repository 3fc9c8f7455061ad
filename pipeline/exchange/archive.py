"""An archive of evidence as a ZIP file: the same members give the same bytes, and no member is taken before it was looked at.

Members are stored as they are: a compressed one would have other bytes by another version of zlib. Archives that somebody
has packed anew, compressed, are read all the same.
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
"""The time that all members have; ZIP knows none before."""
UNIX = 3
"""The system that ZIP is told to come from, whatever this one is."""
MEMBER = re.compile(r"(?:[\w+-][\w+.-]*/)*[\w+-][\w+.-]*", re.ASCII)
"""What a member may be called: no part of it begins with a dot, and none is empty, so that it lies below where it is put."""
MOST_MEMBERS = 100_000
LARGEST_MEMBER, MOST_BYTES = 2**28, 2**31
"""Most bytes of a member, and of all of them."""
ANOTHER = "Ask for another copy."
"""What to do about an archive that does not hold."""

Members = Mapping[str, bytes]
"""The content of an archive by the names of its members."""


def write(file: Path, members: Members) -> None:
    """Write an archive, whole or not at all."""
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
    """Return the content of an archive; UsageError where it is none, is broken, or holds what no archive of ours does."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            _check(file, members)
            return {member.filename: archive.read(member) for member in members}
    except zipfile.BadZipFile as error:
        raise UsageError(
            f"{file}: must be a whole ZIP file, got one that is not ({one_line(error)}). {ANOTHER}"
        ) from None
    except (RuntimeError, NotImplementedError, EOFError, zlib.error) as error:  # of a member: a password, a compression
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
