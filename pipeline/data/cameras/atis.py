"""Recordings of the ATIS camera as in N-MNIST and N-Caltech101: `.bin`, five bytes per event.

Source: Orchard et al. 2015, doi 10.3389/fnins.2015.00437, and the reading functions that are distributed with the data.

- The bytes are x, y, and 24 big-endian bits: the polarity and 23 bits of microseconds.
- An entry at y = 240, below the last row of the sensor, is not an event: it adds 2^13 microseconds to all later times.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.data.cameras.recording import Recording, RecordingError

EVENT_BYTES = 5
OVERFLOW_ROW = 240
OVERFLOW_MICROSECONDS = 2**13


def read_bin(path: Path) -> Iterator[Recording]:
    """Yield the recording in a file."""
    content = np.fromfile(path, np.uint8)
    if len(content) % EVENT_BYTES:
        raise RecordingError(f"{len(content)} bytes, which are no whole number of events of {EVENT_BYTES} bytes")
    x, y, high, middle, low = content.reshape(-1, EVENT_BYTES).T
    microseconds = ((high & 0x7F).astype(np.int64) << 16) + (middle.astype(np.int64) << 8) + low
    overflows = y == OVERFLOW_ROW
    if overflows.any():
        microseconds += OVERFLOW_MICROSECONDS * np.cumsum(overflows)
    events = ~overflows
    yield Recording(microseconds[events], x[events], y[events], high[events] >> 7)
