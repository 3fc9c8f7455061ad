"""A synthetic task for tests, examples and first runs: it can be solved by event times alone, or by the number of events."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from pipeline.data.base import DatasetConfig
from pipeline.data.events import EventDataset
from pipeline.data.split import hashes
from pipeline.errors import check_memory

BYTES = 64
"""Memory in bytes per event while the sequences are drawn."""


class SyntheticConfig(DatasetConfig):
    """Events that crowd in one segment of the time axis: the class is which. Length and order say nothing.

    As a negative control, where `told_by` is `count`: the class is how many events there are, and times say nothing.
    """

    name: Literal["synthetic"] = "synthetic"
    train_size: int = Field(1024, ge=1)
    """Number of training sequences."""
    validation_size: int = Field(256, ge=0)
    """Number of validation sequences; 0 for none."""
    test_size: int = Field(256, ge=1)
    """Number of test sequences."""
    classes: int = Field(4, ge=2, le=32768)
    """Number of classes, which is the number of equal segments of the time axis."""
    horizon: int = Field(64, ge=2, le=32768)
    """Length of the time axis, in whole steps."""
    longest: int = Field(12, ge=1)
    """Most events in a sequence; lengths are uniform from 1."""
    noise: float = Field(0.25, ge=0, le=1)
    """Share of the events that fall anywhere instead of in the segment of the class."""
    told_by: Literal["time", "count"] = "time"
    """What tells the class: `time`, or `count`, by which the lengths are parted into classes, and times say nothing."""

    @model_validator(mode="after")
    def _has_lengths_for_classes(self) -> "SyntheticConfig":
        if self.told_by == "count" and self.longest < self.classes:
            raise ValueError(
                f"longest: must be at least classes, {self.classes}, where told_by is count, got {self.longest}"
            )
        return self

    def idle(self) -> set[str]:
        """Leave out `told_by` at `time`: it was the only way in earlier versions."""
        return super().idle() | ({"told_by"} if self.told_by == "time" else {"noise"})

    def read(self, folder: Path) -> tuple[EventDataset, EventDataset]:
        """Draw the sequences; `folder` is not used."""
        del folder
        sequences = self.train_size + self.validation_size + self.test_size
        what = f"{sequences} sequences of up to {self.longest} events"
        size = sequences * (self.longest + 1) / 2 * BYTES
        check_memory("data.train_size", what, size, "Lower data.train_size, data.test_size or data.longest.")
        return self._draw("train", self.train_size + self.validation_size), self._draw("test", self.test_size)

    def _draw(self, part: Literal["train", "test"], count: int) -> EventDataset:
        labels = torch.arange(count) % self.classes
        stream = 4 * self.split_seed + 2 * (part == "test")
        counted, drawn = self.told_by == "count", _uniform(stream, count)
        lengths = 1 + ((labels + drawn) / self.classes if counted else drawn).mul(self.longest).long()
        offsets = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
        draws = _uniform(stream + 1, 2 * int(offsets[-1])).reshape(2, -1)
        segment = torch.repeat_interleave(labels, lengths)
        anywhere = counted | (draws[0] < self.noise)
        place = torch.where(anywhere, draws[1], (segment + draws[1]) / self.classes)
        steps = (place * self.horizon).long()
        owner = torch.repeat_interleave(torch.arange(count), lengths)
        ascending = (owner * self.horizon + steps).sort().values % self.horizon
        return EventDataset(
            times=ascending.to(torch.int16),
            offsets=offsets,
            labels=labels,
            classes=self.classes,
            horizon=float(self.horizon),
            time_unit="step",
            name=self.name,
        )


def _uniform(stream: int, count: int) -> Tensor:
    """Return `count` float64 numbers in [0, 1), the same on every platform."""
    return torch.from_numpy((hashes(stream, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53)
