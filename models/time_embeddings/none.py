"""No time: every event has the same code, so the model sees only the number of events.

Source: the control of `docs/models.md`; what a classifier reaches with it is the floor of every encoding.
"""

from typing import Literal

import torch
from torch import Tensor

from models.time_embeddings.base import PointwiseEmbedding, TimeEmbeddingConfig


class NoTimeConfig(TimeEmbeddingConfig):
    """No time: a constant code for every event.

    Formula: 1
    Represents: the number of events alone.
    """

    name: Literal["none"] = "none"

    def build(self, *, horizon: float) -> "NoTime":
        """Build the module, which does not depend on the horizon."""
        del horizon
        return NoTime(self.dim)


class NoTime(PointwiseEmbedding):
    """The code of every event is a vector of ones. No parameters."""

    def encode(self, times: Tensor) -> Tensor:
        """Return ones (U, D) for any times (U,)."""
        return torch.ones(len(times), self.dim, dtype=times.dtype, device=times.device)
