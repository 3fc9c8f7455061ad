"""Sines and cosines of fixed frequencies.

Source: Vaswani et al. 2017, arXiv 1706.03762, section 3.5: PE(t)[2i] = sin(t w_i), PE(t)[2i+1] = cos(t w_i),
w_i = max_freq^(-2i/D).
"""

from typing import Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor

from models.time_embeddings.base import PointwiseEmbedding, TimeEmbeddingConfig


class SinCosConfig(TimeEmbeddingConfig):
    """Fixed sines and cosines (Transformer positional encoding). No parameters."""

    name: Literal["sincos"] = "sincos"
    max_freq: float = Field(10_000.0, gt=1)
    """Base of the geometric frequency ladder: the longest wavelength is 2 pi max_freq."""

    @field_validator("dim")
    @classmethod
    def _even(cls, dim: int) -> int:
        if dim % 2:
            raise ValueError("must be even, because sines and cosines come in pairs")
        return dim

    def build(self, *, horizon: float) -> "SinCos":
        """Build the module for times up to `horizon`."""
        return SinCos(
            dim=self.dim, max_freq=self.max_freq, time_factor=1 / horizon if self.time_scale == "unit" else 1.0
        )


class SinCos(PointwiseEmbedding):
    """Interleaved sin(t w_i), cos(t w_i)."""

    frequencies: Tensor

    def __init__(self, *, dim: int, max_freq: float, time_factor: float) -> None:
        """Fix D/2 frequencies max_freq^(-2i/D), in radians per time unit."""
        super().__init__(dim, time_factor)
        exponents = torch.arange(0, dim, 2, dtype=torch.float64) / dim
        self.register_buffer("frequencies", (max_freq**-exponents).float(), persistent=False)

    def encode(self, times: Tensor) -> Tensor:
        """Return (U, D) codes of times (U,)."""
        phase_UF = times[:, None].to(self.frequencies.dtype) * self.frequencies
        return torch.stack([phase_UF.sin(), phase_UF.cos()], dim=-1).flatten(1)
