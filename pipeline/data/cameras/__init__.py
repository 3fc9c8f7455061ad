"""Recordings of event cameras in any supported format: one function that yields the recordings of a file, checked.

A reader is a function from a path to recordings. It checks that the file is complete; the order of times is checked here.
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
"""The reader for each ending."""
LABELLED = (".h5", ".hdf5")
"""Endings of files that contain the classes of their recordings."""
EVENT_BYTES: Mapping[str, int] = {".bin": 5, ".aedat": 8, ".h5": 4, ".hdf5": 4}
"""Bytes per event in an uncompressed file, by ending."""
COPIES = 16
"""Bytes of memory per byte of a file while it is read."""


def read_recordings(path: Path) -> Iterator[Recording]:
    """Yield the recordings in a file, each with at least one event; DataError if the file is damaged or incomplete."""
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
