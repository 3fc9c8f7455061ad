"""What a reader of recordings gives: the events of a recording in the order of the file, and its class where the file says it.

Letters: N events.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEATURES = ("x", "y", "polarity")


@dataclass(frozen=True)
class Recording:
    """Events (N,) of whole numbers."""

    microseconds: NDArray[np.int64]
    """Times by the clock of the recording."""
    x: NDArray[Any]
    y: NDArray[Any]
    polarity: NDArray[Any]
    """1 where the light became brighter, 0 where it became darker."""
    label: int | str | None = None
    """The class; None where the folder of the file is called by it."""


class RecordingError(ValueError):
    """A file that is no whole recording: what it is instead, and what to do."""

    def __init__(self, got: str, remedy: str = "Copy it again, or take it out of the folder.") -> None:
        """Keep what to do beside what is said."""
        super().__init__(got)
        self.remedy = remedy
