"""The feature map of Mercer's theorem: truncated Fourier series of learned base frequencies.

Source: Xu et al. 2019, "Self-attention with Functional Time Representation Learning", arXiv 1911.12864, the map of
Mercer's theorem: [..., sqrt(c_2j) cos(j w t), sqrt(c_2j+1) sin(j w t), ...] for each base frequency w (there pi/omega), side by side.
Differs from it: sqrt(c) is the parameter, and starts at 1; the constant of each series is left out, because the next layer
has a bias; base frequencies start between 1 and 1/T, so that no sine vanishes on whole numbers. The authors' code adds the
terms of each base and a bias, instead of concatenating them.

Scaling: raw times; base frequencies from 1 down to 1/T radians per time unit. `unit` feeds t/T.

Letters: U distinct times, F base frequencies, J degree.
"""

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from models.time_embeddings.base import PointwiseConfig, PointwiseEmbedding


class MercerConfig(PointwiseConfig):
    """Truncated Fourier series of learned base frequencies, each term weighted (Mercer).

    Formula: [a_ij cos(j w_i t), b_ij sin(j w_i t)], j = 1..degree
    Represents: periodic kernels of time differences, with harmonics, at a few learned periods.
    """

    name: Literal["mercer"] = "mercer"
    degree: int = Field(4, ge=1, le=65_536)
    """Harmonics J of each base frequency; `dim` must be a multiple of 2 J."""

    @model_validator(mode="after")
    def _splits(self) -> Self:
        if self.dim % (2 * self.degree):
            raise ValueError(f"dim: must be a multiple of 2 degree ({2 * self.degree}), got {self.dim}")
        return self

    def encoder(self, *, horizon: float) -> "Mercer":
        """Build the module with base frequencies down to 1/`horizon`."""
        return Mercer(bases=self.dim // (2 * self.degree), degree=self.degree, horizon=horizon)


class Mercer(PointwiseEmbedding):
    """[a cos(j w t), b sin(j w t)]: all cosines of a base, then all its sines, then the next base."""

    harmonics: Tensor

    def __init__(self, *, bases: int, degree: int, horizon: float) -> None:
        """Start `bases` base frequencies from 1 down to 1/`horizon`, in equal ratios."""
        super().__init__(2 * bases * degree)
        self.frequencies = nn.Parameter(horizon ** -torch.linspace(0, 1, bases))
        self.amplitudes = nn.Parameter(torch.ones(bases, 2 * degree))
        self.register_buffer("harmonics", torch.arange(1, degree + 1).float(), persistent=False)

    def encode(self, times: Tensor) -> Tensor:
        """Return (U, D) codes of times (U,)."""
        phase_UF = times[:, None] * self.frequencies
        phase_UFJ = phase_UF[..., None] * self.harmonics
        return (torch.cat([phase_UFJ.cos(), phase_UFJ.sin()], dim=-1) * self.amplitudes).flatten(1)
