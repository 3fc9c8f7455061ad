"""The logarithm of the gap.

Source: Li et al. 2018, "Time-Dependent Representation for Neural Event Sequence Prediction", arXiv 1708.00065,
whose time masks are computed from the logarithm of a duration.
Differs from it: log(1 + dt), finite for gaps of zero, fills all D columns, so that the recurrent layers have one size
for every encoding.

Scaling: log(1 + dt)/log(1 + T), in [0, 1]; `raw` feeds log(1 + dt), `unit` log(1 + dt/T).
"""

import math
from typing import Literal

from torch import Tensor

from models.time_embeddings.base import PointwiseConfig, PointwiseEmbedding


class LogGapConfig(PointwiseConfig):
    """The logarithm of the gap dt. No parameters.

    Formula: log(1 + dt) / log(1 + T)
    Represents: the order of magnitude of the gap; no absolute time.
    """

    name: Literal["log_gap"] = "log_gap"
    time_input: Literal["gap"] = "gap"
    """The gap is what this name stands for."""

    def encoder(self, *, horizon: float) -> "LogGap":
        """Build the module for gaps up to `horizon`."""
        return LogGap(dim=self.dim, unit=math.log1p(horizon) if self.time_scale == "auto" else 1.0)


class LogGap(PointwiseEmbedding):
    """Every column is log(1 + dt), in `unit`s. No parameters."""

    def __init__(self, *, dim: int, unit: float) -> None:
        """Keep the logarithm that is scaled to 1."""
        super().__init__(dim)
        self.unit = unit

    def encode(self, times: Tensor) -> Tensor:
        """Return (U, D) codes of gaps (U,)."""
        return (times[:, None].log1p() / self.unit).expand(-1, self.dim)
