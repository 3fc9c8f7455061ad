"""A run as the store knows it, and a row of its metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

EPOCH = "train/epoch"
"""The metric that counts the epochs of a run."""
SEALED = "sha256/"
"""How the tag of a run begins that holds the digest of a file, by its path among the artifacts."""
Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class Run:
    """A run as the store knows it."""

    id: str
    name: str
    status: str
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    """The last value of each metric."""

    @property
    def epochs(self) -> int:
        """How many epochs are recorded."""
        return int(max(self.metrics.get(name, 0) for name in (EPOCH, "epoch")))  # earlier versions wrote `epoch`


@dataclass(frozen=True)
class Row:
    """Metrics of a run at one step."""

    step: int
    milliseconds: int
    """Time of recording, in milliseconds since 1970."""
    metrics: Mapping[str, float]
