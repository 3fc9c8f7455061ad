"""A cache of large files: their events in compact form, stored under the digest of the file's content and mapped into memory.

A file of at least `LARGE_BYTES` is read once. Its compact form, some bytes per event, lies in `events/DIGEST` of the data folder with
the digests of its parts, which are checked at every reading. It may be deleted at any time: it is then created again.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pipeline.data.events import DataError
from pipeline.data.grouping import About, Grouped

LARGE_BYTES = 2**25
"""Smallest file that is cached, in bytes; a smaller one is read so fast that a cache is not worth it."""
ARRAYS = ("times", "offsets", "labels", "features", "groups")
ABOUT_FILE = "about.json"
DIGESTS_FILE = "digests.json"


def kept(digest: str, folder: Path, make: Callable[[Path], Grouped]) -> Grouped:
    """Return the events that are cached under `digest` below `folder`, or made by `make` first; DataError if the disk is full."""
    place = folder / "events" / digest
    try:
        if not place.is_dir():
            place.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(prefix=".partial-", dir=place.parent) as scratch:
                _write(make(Path(scratch)), Path(scratch))
                _publish(Path(scratch) / "kept", place)
        if json.loads((place / DIGESTS_FILE).read_text(encoding="utf-8")) != _digests(place):
            raise ValueError("others, which have changed since they were written")  # noqa: TRY301 - handled like any other problem
        about = About(**json.loads((place / ABOUT_FILE).read_text(encoding="utf-8")))
        # Mapped copy-on-write, because torch does not accept read-only arrays.
        arrays = {name: _mapped(place / f"{name}.npy") for name in ARRAYS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{place}: must hold the events of the file, or have room for them, got {' '.join(str(error).split())}. "
            "Delete the folder, make room, or point EVENT_DATA_DIR elsewhere."
        ) from error
    return Grouped(**arrays, about=about)


def _write(grouped: Grouped, scratch: Path) -> None:
    """Store the arrays in the folder `kept`: arrays that lie in files are moved, not written again."""
    target = scratch / "kept"
    target.mkdir()
    times = scratch / ("short_times.npy" if grouped.times.dtype == np.int16 else "times.npy")
    times.rename(target / "times.npy")
    (scratch / "features.npy").rename(target / "features.npy")
    np.save(target / "offsets.npy", grouped.offsets)
    np.save(target / "labels.npy", grouped.labels)
    np.save(target / "groups.npy", grouped.groups)
    (target / ABOUT_FILE).write_text(json.dumps(asdict(grouped.about)), encoding="utf-8")
    (target / DIGESTS_FILE).write_text(json.dumps(_digests(target)), encoding="utf-8")


def _digests(place: Path) -> dict[str, str]:
    """Return the SHA-256 of each part, by file name."""
    digests = {}
    for name in (*(f"{array}.npy" for array in ARRAYS), ABOUT_FILE):
        with (place / name).open("rb") as file:
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _publish(made: Path, place: Path) -> None:
    try:
        made.rename(place)
    except OSError:
        if not place.is_dir():  # otherwise another process has created the same
            raise


def _mapped(file: Path) -> np.ndarray:
    array: np.ndarray = np.load(file, mmap_mode="c", allow_pickle=False)
    return array
