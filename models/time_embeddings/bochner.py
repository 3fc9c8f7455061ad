"""The feature map of Bochner's theorem: cosines and sines of learned frequencies, of unit norm.

Source: Xu et al. 2019, "Self-attention with Functional Time Representation Learning", arXiv 1911.12864, the map of
Bochner's theorem: sqrt(1/d) [cos(w_1 t), sin(w_1 t), ..., cos(w_d t), sin(w_d t)] with d frequencies, here d = D/2.
Differs from it: the frequencies start on a geometric ladder instead of samples of a distribution. The authors' code learns
log10 frequencies, different ones for cosines and sines, and an amplitude for each.

Scaling: raw times; frequencies start at 1 down to 10^-9 radians per time unit. `unit` feeds t/T.

Letters: U distinct times, F frequencies.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from models.basis import frequency_ladder
from models.time_embeddings.base import PointwiseEmbedding, WavePairsConfig


class BochnerConfig(WavePairsConfig):
    """Cosines and sines of learned frequencies, of unit norm (Bochner, FTR).

    Formula: sqrt(2/D) [cos(w_i t), sin(w_i t)], w_i learned from 10^(-9 i/(D/2 - 1))
    Represents: a kernel of time differences with a learned spectrum.
    """

    name: Literal["bochner"] = "bochner"

    def encoder(self, *, horizon: float) -> "Bochner":
        """Build the module; its frequencies do not depend on the horizon."""
        del horizon
        return Bochner(self.dim)


class Bochner(PointwiseEmbedding):
    """sqrt(1/F) [cos(w t), sin(w t)], interleaved."""

    def __init__(self, dim: int) -> None:
        """Start dim/2 frequencies on a geometric ladder."""
        super().__init__(dim)
        self.frequencies = nn.Parameter(frequency_ladder(dim // 2))

    def encode(self, times: Tensor) -> Tensor:
        """Return (U, D) codes of times (U,)."""
        phase_UF = times[:, None] * self.frequencies
        return torch.stack([phase_UF.cos(), phase_UF.sin()], dim=-1).flatten(1) / math.sqrt(len(self.frequencies))
