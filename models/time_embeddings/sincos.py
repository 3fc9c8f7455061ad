"""Sines and cosines of geometric frequencies, fixed or learned.

Source: Vaswani et al. 2017, arXiv 1706.03762, section 3.5: PE(t)[2i] = sin(t w_i), PE(t)[2i+1] = cos(t w_i),
w_i = max_freq^(-2i/D).
Differs from it: `sincos_learned` starts with these frequencies and trains them.

Scaling: raw times; `unit` feeds t/T, for which almost all of the width is lost.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models.time_embeddings.base import PointwiseEmbedding, WavePairsConfig


class SinCosFields(WavePairsConfig):
    """Fields of the geometric sines and cosines."""

    max_freq: float = Field(10_000.0, gt=1)
    """Base of the geometric frequency ladder: the longest wavelength is 2 pi max_freq."""


class SinCosConfig(SinCosFields):
    """Fixed sines and cosines (Transformer positional encoding). No parameters.

    Formula: [sin(t w_i), cos(t w_i)], w_i = max_freq^(-2i/D)
    Represents: shifts in time as rotations, at fixed scales.
    """

    name: Literal["sincos"] = "sincos"

    def encoder(self, *, horizon: float) -> "SinCos":
        """Build the module; its frequencies do not depend on the horizon."""
        del horizon
        return SinCos(dim=self.dim, max_freq=self.max_freq, learned=False)


class LearnedSinCosConfig(SinCosFields):
    """Sines and cosines of learned frequencies, started as in the Transformer.

    Formula: [sin(t w_i), cos(t w_i)], w_i learned from max_freq^(-2i/D)
    Represents: shifts in time as rotations, at scales that move to where the data needs them.
    """

    name: Literal["sincos_learned"] = "sincos_learned"

    def encoder(self, *, horizon: float) -> "SinCos":
        """Build the module; its frequencies do not depend on the horizon."""
        del horizon
        return SinCos(dim=self.dim, max_freq=self.max_freq, learned=True)


class SinCos(PointwiseEmbedding):
    """Interleaved sin(t w_i), cos(t w_i)."""

    frequencies: Tensor

    def __init__(self, *, dim: int, max_freq: float, learned: bool) -> None:
        """Start D/2 frequencies at max_freq^(-2i/D), in radians per time unit."""
        super().__init__(dim)
        exponents = torch.arange(0, dim, 2, dtype=torch.float64) / dim
        frequencies = (max_freq**-exponents).float()
        if learned:
            self.frequencies = nn.Parameter(frequencies)
        else:
            self.register_buffer("frequencies", frequencies, persistent=False)

    def encode(self, times: Tensor) -> Tensor:
        """Return (U, D) codes of times (U,)."""
        phase_UF = times[:, None] * self.frequencies
        return torch.stack([phase_UF.sin(), phase_UF.cos()], dim=-1).flatten(1)
