"""Cosines of fixed frequencies (GraphMixer).

Source: Cong et al. 2023, "Do We Really Need Complicated Model Architectures For Temporal Networks?", arXiv 2302.11636,
section 3.1: cos(w_i t) with w_i = alpha^(-(i-1)/beta), i = 1..D, and alpha = beta = sqrt(D).
Differs from published implementations, not from the paper: those take the frequencies 10^-linspace(0, 9, D).

Scaling: raw times; `unit` feeds t/T, for which almost all of the width is lost.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from models.time_embeddings.base import PointwiseConfig, PointwiseEmbedding


class GraphMixerConfig(PointwiseConfig):
    """Cosines of fixed frequencies (GraphMixer). No parameters.

    Formula: cos(w_i t), w_i = alpha^(-(i - 1)/beta), alpha = beta = sqrt(D)
    Represents: distances in time at fixed scales, up to the sign.
    """

    name: Literal["graphmixer"] = "graphmixer"

    def encoder(self, *, horizon: float) -> "GraphMixer":
        """Build the module; its frequencies do not depend on the horizon."""
        del horizon
        return GraphMixer(self.dim)


class GraphMixer(PointwiseEmbedding):
    """cos(w t). No parameters."""

    frequencies: Tensor

    def __init__(self, dim: int) -> None:
        """Fix `dim` frequencies, in radians per time unit."""
        super().__init__(dim)
        exponents = torch.arange(dim, dtype=torch.float64) / math.sqrt(dim)
        self.register_buffer("frequencies", (math.sqrt(dim) ** -exponents).float(), persistent=False)

    def encode(self, times: Tensor) -> Tensor:
        """Return (U, D) codes of times (U,)."""
        return (times[:, None] * self.frequencies).cos()
