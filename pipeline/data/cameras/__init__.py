"""Recordings of event cameras, of whatever kind: one door that gives those in a file, checked.

A reader is a function from a path to its recordings. It checks that the file is whole; that times ascend is checked here.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline.data.cameras.aedat import read_aedat
from pipeline.data.cameras.atis import read_bin
from pipeline.data.cameras.hdf5 import read_hdf5
from pipeline.data.cameras.recording import Recording, RecordingError
from pipeline.data.events import DataError
from pipeline.errors import check_memory

READERS: Mapping[str, Callable[[Path], Iterator[Recording]]] = {
    ".bin": read_bin,
    ".aedat": read_aedat,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
}
"""The reader of each ending."""
LABELLED = (".h5", ".hdf5")
"""Endings of files that say the classes of what they hold."""
EVENT_BYTES: Mapping[str, int] = {".bin": 5, ".aedat": 8, ".h5": 4, ".hdf5": 4}
"""Bytes of an event in a file that is not compressed."""
COPIES = 16
"""Bytes of memory for each of a file while it is read."""


def read_recordings(path: Path) -> Iterator[Recording]:
    """Yield the recordings in a file, each with an event or more; DataError unless it is whole."""
    what = f"a recording of {path.stat().st_size:,} bytes"
    check_memory(str(path), what, COPIES * path.stat().st_size, "Cut it into shorter recordings.")
    try:
        for recording in READERS[path.suffix.lower()](path):
            _check(recording)
            yield recording
    except (OSError, RecordingError) as error:
        got = " ".join(str(error).split())
        remedy = getattr(error, "remedy", "Correct its permissions, or take it out of the folder.")
        raise DataError(f"{path}: must be a whole recording, got {got}. {remedy}") from error


def _check(recording: Recording) -> None:
    times = recording.microseconds
    if not len(times):
        raise RecordingError("one without events")
    back = np.flatnonzero(np.diff(times) < 0)
    if len(back):
        at = int(back[0]) + 1
        remedy = "Cut it where its clock was set back, or take it out of the folder."
        raise RecordingError(f"a time that goes back from {times[at - 1]} to {times[at]} us at event {at + 1}", remedy)
