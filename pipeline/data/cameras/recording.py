"""The result of a reader of recordings: the events of a recording in the order of the file, and its class if the file has it.

Letters: N events.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEATURES = ("x", "y", "polarity")


@dataclass(frozen=True)
class Recording:
    """A recording: arrays (N,) of whole numbers."""

    microseconds: NDArray[np.int64]
    """Times in microseconds, by the clock of the recording."""
    x: NDArray[Any]
    y: NDArray[Any]
    polarity: NDArray[Any]
    """1 if the pixel became brighter, 0 if it became darker."""
    label: int | str | None = None
    """The class; None if the name of the file's folder is the class."""


class RecordingError(ValueError):
    """An error in a recording: what was found instead of a complete recording, and a remedy."""

    def __init__(self, got: str, remedy: str = "Copy it again, or take it out of the folder.") -> None:
        """Keep the remedy besides the message."""
        super().__init__(got)
        self.remedy = remedy
