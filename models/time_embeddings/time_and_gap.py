"""Time and gap as two numbers.

Source: the time gap as an input of a recurrent network as in Du et al. 2016, RMTPP, doi 10.1145/2939672.2939875,
with the time itself beside it.
Differs from it: the two numbers fill half of the D columns each, so that the recurrent layers have one size for every
encoding.

Scaling: [t/T, dt/T]; `raw` feeds [t, dt].
"""

from typing import Literal

import torch
from pydantic import field_validator
from torch import Tensor

from models.time_embeddings.base import Codes, TimeEmbedding, TimeEmbeddingConfig, valid_events
from models.time_embeddings.scalar import ScalarConfig


class TimeAndGapConfig(TimeEmbeddingConfig):
    """The time and the gap dt, as shares of the horizon. No parameters.

    Formula: [t/T, dt/T]
    Represents: two straight lines, one of the time and one of the gap.
    """

    name: Literal["time_and_gap"] = "time_and_gap"

    @field_validator("dim")
    @classmethod
    def _even(cls, dim: int) -> int:
        if dim % 2:
            raise ValueError("must be even, because time and gap fill half of the columns each")
        return dim

    def build(self, *, horizon: float) -> "TimeAndGap":
        """Build the module for times below `horizon`."""
        return TimeAndGap(config=self, horizon=horizon)


class TimeAndGap(TimeEmbedding):
    """Columns of the scaled time, then columns of the scaled gap. No parameters."""

    def __init__(self, *, config: TimeAndGapConfig, horizon: float) -> None:
        """Build a scalar encoding of the time, and one of the gap."""
        super().__init__(config.dim)
        half, scale = config.dim // 2, config.time_scale
        self.time = ScalarConfig(dim=half, time_scale=scale).build(horizon=horizon)
        self.gap = ScalarConfig(dim=half, time_scale=scale, time_input="gap").build(horizon=horizon)

    def embed(self, times: Tensor, lengths: Tensor) -> Codes:
        """Return the codes of times (B, L)."""
        valid_BL = valid_events(times, lengths)
        halves = [part.codes(times, lengths).of_each(valid_BL) for part in (self.time, self.gap)]
        return Codes.of_events(torch.cat(halves, dim=-1), valid_BL)
