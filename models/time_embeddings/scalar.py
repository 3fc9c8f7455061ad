"""Time as one number.

Source: the common baseline of event sequence models, for instance Kazemi et al. 2019, arXiv 1907.05321, which
compares with an LSTM that is fed the time itself.
Differs from it: the number fills all D columns, so that the recurrent layers have one size for every encoding.

Scaling: t/T (or dt/T); `raw` feeds t itself.
"""

from typing import Literal

from torch import Tensor

from models.time_embeddings.base import PointwiseConfig, PointwiseEmbedding


class ScalarConfig(PointwiseConfig):
    """The time itself, as a share of the horizon. No parameters.

    Formula: t/T
    Represents: a straight line; the recurrent layers must bend it.
    """

    name: Literal["scalar"] = "scalar"

    def encoder(self, *, horizon: float) -> "Scalar":
        """Build the module; `auto_factor` scales the times."""
        del horizon
        return Scalar(self.dim)

    def auto_factor(self, horizon: float) -> float:
        """Return 1/T."""
        return 1 / horizon


class Scalar(PointwiseEmbedding):
    """Every column is the scaled time. No parameters."""

    def encode(self, times: Tensor) -> Tensor:
        """Return (U, D) codes of times (U,)."""
        return times[:, None].expand(-1, self.dim)
