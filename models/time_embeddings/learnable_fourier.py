"""Learnable Fourier features with an MLP.

Source: Li et al. 2021, "Learnable Fourier Features for Multi-Dimensional Spatial Positional Encoding", arXiv
2106.02795, algorithm 1: r = sqrt(1/F) [cos(t W), sin(t W)], code = GeLU(r W_1 + B_1) W_2 + B_2, with one position
group.

Scaling: raw times; W starts as N(0, 1/s^2), s in time units (the paper's gamma). `unit` feeds t/T, and s is then a
share of the horizon.

Letters: U distinct times, F Fourier features.
"""

from typing import Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from models.time_embeddings.base import PointwiseConfig, PointwiseEmbedding


class LearnableFourierConfig(PointwiseConfig):
    """Cosines and sines of learned frequencies, mixed by an MLP (learnable Fourier features).

    Formula: MLP(sqrt(1/F) [cos(w_i t), sin(w_i t)])
    Represents: smooth nonlinear functions of waves around one learned length scale.
    """

    name: Literal["learnable_fourier"] = "learnable_fourier"
    features: int = Field(32, ge=2, le=65_536)
    """Fourier features F before the MLP: cosines and sines of F/2 frequencies."""
    hidden_dim_mlp: int = Field(32, ge=1, le=65_536)
    """Width of the hidden layer of the MLP."""
    length_scale: float = Field(10.0, gt=0)
    """Length scale s of the start, in time units: frequencies are drawn from N(0, 1/s^2)."""

    @field_validator("features")
    @classmethod
    def _even(cls, features: int) -> int:
        if features % 2:
            raise ValueError("must be even, because sines and cosines come in pairs")
        return features

    def encoder(self, *, horizon: float) -> "LearnableFourier":
        """Build the module; its frequencies do not depend on the horizon."""
        del horizon
        return LearnableFourier(
            dim=self.dim, features=self.features, hidden=self.hidden_dim_mlp, length_scale=self.length_scale
        )


class LearnableFourier(PointwiseEmbedding):
    """MLP of cosines and sines of learned frequencies."""

    def __init__(self, *, dim: int, features: int, hidden: int, length_scale: float) -> None:
        """Draw `features`/2 frequencies and the MLP."""
        super().__init__(dim)
        self.frequencies = nn.Parameter(torch.randn(features // 2) / length_scale)
        self.mlp = nn.Sequential(nn.Linear(features, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def encode(self, times: Tensor) -> Tensor:
        """Return (U, D) codes of times (U,)."""
        phase_UF = times[:, None] * self.frequencies
        waves_UF = torch.cat([phase_UF.cos(), phase_UF.sin()], dim=-1)
        codes_UD: Tensor = self.mlp(waves_UF * waves_UF.shape[-1] ** -0.5)
        return codes_UD
