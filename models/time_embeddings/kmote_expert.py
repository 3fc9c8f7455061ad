"""A single expert of K-MOTE, without router, mixture or Mamba.

Source: the experts of the design documents of repositories MichaelScodaeng/kan-mammote and kan-mammotev2; the bases are
those of `models/basis.py` and pykan's spline of `models/kan.py`.
Differs from it: a single expert needs no gate; one LayerNorm with weights replaces the two of the mixture.

Scaling: u = 2t/T - 1, or s = 2 log(1 + dt)/log(1 + T) - 1 of the gap; `raw` and `unit` replace both.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models.basis import Wavelet
from models.kmote import ExpertKind, expert_input, expert_of, input_slope, wave_frequencies
from models.time_embeddings.base import PointwiseConfig, PointwiseEmbedding


class KMOTEExpertFields(PointwiseConfig):
    """Fields of a lone expert of each kind."""

    kind: ClassVar[ExpertKind]

    dim: int = Field(32, ge=2, le=65_536)
    """Width D of the code of one event; at least 2, because a LayerNorm over one number is constant."""

    def encoder(self, *, horizon: float) -> "KMOTEExpert":
        """Build the expert for times below `horizon`."""
        grid_size: int = getattr(self, "kan_grid_size", 5)
        wavelet: Wavelet = getattr(self, "wavelet", "mexican_hat")
        expert = expert_of(self.kind, dim=self.dim, grid_size=grid_size, horizon=horizon, wavelet=wavelet)
        return KMOTEExpert(dim=self.dim, expert=expert, horizon=horizon, mapped=self.time_scale == "auto")


class KMOTEFourierConfig(KMOTEExpertFields):
    """The Fourier expert of K-MOTE alone.

    Formula: LN(a_0 + sum_j a_j cos(l_j u) + b_j sin(l_j u)), own l, a, b in each dimension
    Represents: sums of 16 waves of learned frequency, from half a cycle over the horizon to one in two time units.
    """

    kind = "fourier"
    name: Literal["kmote_fourier"] = "kmote_fourier"


class KMOTESplineConfig(KMOTEExpertFields):
    """The spline expert of K-MOTE alone: a pykan layer.

    Formula: LN(c_s sum_g v_g B_g(u) + c_b SiLU(u)), own c, v in each dimension
    Represents: smooth curves over the horizon with one bend per grid interval.
    """

    kind = "spline"
    name: Literal["kmote_spline"] = "kmote_spline"
    kan_grid_size: int = Field(5, ge=2, le=1000)
    """Grid intervals of the spline."""


class KMOTEGaussianConfig(KMOTEExpertFields):
    """The Gaussian expert of K-MOTE alone.

    Formula: LN(sum_j v_j exp(-((u - c_j)/w_j)^2 / 2)), own c, w, v in each dimension
    Represents: 16 bumps of learned place and width.
    """

    kind = "gaussian"
    name: Literal["kmote_gaussian"] = "kmote_gaussian"


class KMOTEWaveletConfig(KMOTEExpertFields):
    """The wavelet expert of K-MOTE alone.

    Formula: LN(sum_j v_j psi((u - shift_j)/scale_j)), own shift, scale, v in each dimension
    Represents: local waves at 16 scales, from two time units to half the horizon.
    """

    kind = "wavelet"
    name: Literal["kmote_wavelet"] = "kmote_wavelet"
    wavelet: Wavelet = "mexican_hat"
    """Mother wavelet: `mexican_hat` or `morlet`."""


class KMOTEExpert(PointwiseEmbedding):
    """LN(phi(u))."""

    def __init__(self, *, dim: int, expert: nn.Module, horizon: float, mapped: bool) -> None:
        """Put a LayerNorm after `expert` and, if `mapped`, the map to [-1, 1] before it."""
        super().__init__(dim)
        self.expert, self.horizon, self.mapped = expert, horizon, mapped
        self.norm = nn.LayerNorm(dim)

    def raw_frequencies(self) -> list[Tensor]:
        """Return the frequencies of a Fourier expert that receives raw times."""
        return [] if self.mapped or self.time_factor != 1.0 else wave_frequencies(self)

    def angular_frequencies(self) -> Tensor:
        """Return the frequencies of a Fourier expert; empty for logarithms of gaps, in which waves have no constant period."""
        slope = input_slope(self.horizon, self.time_input) if self.mapped else self.time_factor
        held = [slope * own.detach().flatten() for own in wave_frequencies(self.expert) if slope]
        return torch.cat([super().angular_frequencies(), *held])

    def encode(self, times: Tensor) -> Tensor:
        """Return (U, D) codes of times or gaps (U,)."""
        values_U = expert_input(times, self.horizon, self.time_input) if self.mapped else times
        codes_UD: Tensor = self.norm(self.expert(values_U))
        return codes_UD
