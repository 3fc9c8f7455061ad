"""Recordings in HDF5: spikes as in the Heidelberg data sets SHD and SSC, and events as tonic's disk cache writes them.

Source: Cramer et al. 2022, doi 10.1109/TNNLS.2020.3044364, for `spikes/times` in seconds, `spikes/units`, `labels` and `extra/keys`;
the package tonic for `data/0`, an array with the fields t in microseconds, x, y and p, and its class `target/0`.

- A spike is an event at x = its unit, y = 0, of polarity 1, as in tonic. Spikes are sorted by time, because files may have any order.
- Links to other files, and arrays that are stored in other files, are refused.
- The package h5py is not a dependency of the project: users of such files install it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.cameras.recording import Recording, RecordingError
from pipeline.errors import UsageError, check_memory

UNREADABLE = (OSError, RuntimeError, ValueError, LookupError, TypeError, OverflowError, MemoryError)
"""Errors of h5py for a file that is not valid HDF5."""
MICROSECONDS = 1_000_000
LARGEST_SECONDS = 2**53 / MICROSECONDS
COPIES = 4
"""Number of copies of an array in memory while it is read."""


def read_hdf5(path: Path) -> Iterator[Recording]:
    """Yield the recordings in a file."""
    try:
        import h5py  # noqa: PLC0415 - not always installed
    except ImportError:
        remedy = "Install it with `pip install h5py`, and run the command again."
        raise RecordingError("HDF5, which needs a package that is not installed", remedy) from None
    try:
        with h5py.File(path, "r") as file:
            if "spikes" in file:
                yield from _spikes(file)
            else:
                yield _cached(file)
    except (RecordingError, UsageError):
        raise
    except UNREADABLE as error:
        raise RecordingError(f"an error of HDF5 ({error})") from error


def _spikes(file: Any) -> Iterator[Recording]:  # noqa: ANN401 - h5py is untyped
    times, units, labels = (_array(file, place) for place in ("spikes/times", "spikes/units", "labels"))
    if not times.shape == units.shape == labels.shape == (labels.size,) or labels.dtype.kind not in "iu":
        raise RecordingError("spikes/times, spikes/units and labels that are not one for each recording")
    names = [_text(name) for name in _array(file, "extra/keys")[()]] if "extra/keys" in file else []
    for number, label in enumerate(labels[()].tolist()):
        if names and not 0 <= label < len(names):
            raise RecordingError(f"the label {label}, where extra/keys has {len(names)} names")
        seconds, x = np.asarray(times[number], np.float64), np.asarray(units[number])
        if seconds.shape != x.shape or x.dtype.kind not in "iu":
            raise RecordingError(f"times and units of recording {number} that do not fit to one another")
        if not ((seconds >= 0) & (seconds < LARGEST_SECONDS)).all():
            raise RecordingError(f"a time in recording {number} that is no number of seconds from 0 on")
        order = np.argsort(seconds, kind="stable")
        microseconds = np.rint(seconds[order] * MICROSECONDS).astype(np.int64)
        label = names[label] if names else label  # noqa: PLW2901 - its name
        yield Recording(microseconds, x[order], np.zeros(len(x)), np.ones(len(x)), label)


def _cached(file: Any) -> Recording:  # noqa: ANN401
    events, target = _array(file, "data/0"), _array(file, "target/0")
    fields = events.dtype.names or ()
    if len(events.shape) != 1 or not {"t", "x", "p"} <= set(fields) or len(file["data"]) > 1:
        raise RecordingError("data that are not one array of events with the fields t, x, y and p")
    kinds = {name: events.dtype[name].kind for name in ("t", "x", "y", "p") if name in fields}
    if kinds["t"] not in "iu" or not set(kinds.values()) <= set("iub"):
        raise RecordingError("events with fields that are not whole numbers")
    if target.shape != () or target.dtype.kind not in "iuO":
        raise RecordingError("a target that is not one whole number or text")
    label = target[()]
    label = int(label) if target.dtype.kind in "iu" else _text(label)
    values = events[()]
    y = values["y"] if "y" in fields else np.zeros(len(values))
    return Recording(values["t"].astype(np.int64), values["x"], y, values["p"], label)


def _array(file: Any, place: str) -> Any:  # noqa: ANN401
    """Return an array of the file without reading it; RecordingError if it is not stored in the file, or does not fit into memory."""
    import h5py  # noqa: PLC0415

    node = file
    for name in place.split("/"):
        if not isinstance(node, h5py.Group) or not isinstance(node.get(name, getlink=True), h5py.HardLink):
            raise RecordingError("HDF5 with neither spikes/times, spikes/units and labels nor data/0 and target/0")
        node = node[name]
    if not isinstance(node, h5py.Dataset) or node.is_virtual or node.external:
        raise RecordingError(f"{place} that is no array of its own")
    size = COPIES * (node.size or 0) * node.dtype.itemsize
    check_memory(str(file.filename), f"{node.size} values of {place}", size, "Cut it into shorter recordings.")
    return node


def _text(value: Any) -> str:  # noqa: ANN401
    if not isinstance(value, bytes | str):
        raise RecordingError(f"a name {value!r} that is no text")
    return value.decode() if isinstance(value, bytes) else value
