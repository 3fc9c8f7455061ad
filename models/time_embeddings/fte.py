"""Cosines of learned frequency and phase (functional time encoding).

Source: Xu et al. 2020, TGAT, arXiv 2002.07962, section 3.1, in the form of the authors' repository
StatsDLMathsRecomSys/Inductive-representation-learning-on-temporal-graphs: cos(w t + f).

Scaling: raw times; frequencies start at 1 down to 10^-9 radians per time unit, phases at 0. `unit` feeds t/T.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from models.basis import frequency_ladder
from models.time_embeddings.base import PointwiseConfig, PointwiseEmbedding


class FTEConfig(PointwiseConfig):
    """Cosines of learned frequency and phase (FTE, TGAT).

    Formula: cos(w_i t + f_i), w_i learned from 10^(-9 i/(D - 1))
    Represents: waves of learned frequency and phase; most start almost constant.
    """

    name: Literal["fte"] = "fte"

    def encoder(self, *, horizon: float) -> "FTE":
        """Build the module; its frequencies do not depend on the horizon."""
        del horizon
        return FTE(self.dim)


class FTE(PointwiseEmbedding):
    """cos(w t + f)."""

    def __init__(self, dim: int) -> None:
        """Start `dim` frequencies on a geometric ladder, and the phases at zero."""
        super().__init__(dim)
        self.frequencies = nn.Parameter(frequency_ladder(dim))
        self.phases = nn.Parameter(torch.zeros(dim))

    def encode(self, times: Tensor) -> Tensor:
        """Return (U, D) codes of times (U,)."""
        return (times[:, None] * self.frequencies + self.phases).cos()
