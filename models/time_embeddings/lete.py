"""LeTE: learnable Fourier series and splines of linear functions of time.

Source: Chen et al. 2025, "Rethinking Time Encoding via Learnable Transformation Functions", arXiv 2505.00887, and the
authors' repository chenxi1228/LeTE, whose weights load into this module by name.
Differs from it: the spline's weights are initialised (the authors leave them uninitialised), LayerNorm and scale are
kept if only one half is used, whole-number times work, and one matrix product replaces an N x d x d x K product. The
slopes are learned as logarithms (`slopes: log`); the authors learn them directly (`slopes: linear`).

Scaling: raw times; `unit` feeds t/T, for which most slopes have no effect.

Letters: U distinct times, D width of the code, F inputs of the Fourier half, S of the spline half, M harmonics,
G B-splines.
"""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models.basis import bspline_basis, frequency_ladder, uniform_knots
from models.time_embeddings.base import PointwiseConfig, PointwiseEmbedding

HARMONICS = 5
SPLINE_INTERVALS = 5
SPLINE_DEGREE = 3
SPLINE_WEIGHT_BOUND = 0.01


class LeTEFields(PointwiseConfig):
    """Fields of LeTE under each of its names."""

    dim: int = Field(32, ge=2, le=65_536)
    """Width D of the code of one event; at least 2, because a LayerNorm over one number is constant."""
    p: float = Field(0.5, ge=0, le=1)
    """Share of the dimensions that are Fourier series, rounded down; the others are splines."""
    layer_norm: bool = True
    """Normalise the code of each event."""
    scale: bool = True
    """Multiply the code by a learnable vector."""
    slopes: Literal["log", "linear"] = "log"
    """How the slopes are learned, which span nine powers of ten: `log` as their logarithms, so that a step changes each by a
    share of itself, `linear` as they are, as the authors do."""

    def encoder(self, *, horizon: float) -> "LeTE":
        """Build the module; its slopes do not depend on the horizon."""
        del horizon
        return LeTE(dim=self.dim, p=self.p, layer_norm=self.layer_norm, scale=self.scale, slopes=self.slopes)


class LeTEConfig(LeTEFields):
    """Learnable Fourier series and splines (LeTE).

    Formula: scale * LN([sum_im C_im cos(m x_i) + S_im sin(m x_i) + b ; sum_i U_i tanh(y_i) + sum_ig V_ig B_g(y_i)])
    Represents: sums of waves and of bumps of time, both learned, and of one size for every event.
    """

    name: Literal["lete"] = "lete"


class LeTEFourierConfig(LeTEFields):
    """LeTE with Fourier series alone (p = 1).

    Formula: scale * LN(sum_im C_im cos(m x_i) + S_im sin(m x_i) + b)
    Represents: sums of waves of learned frequencies and their harmonics.
    """

    name: Literal["lete_fourier"] = "lete_fourier"
    p: float = Field(1.0, ge=1, le=1)
    """All dimensions are Fourier series; that is what this name stands for."""


class LeTESplineConfig(LeTEFields):
    """LeTE with splines alone (p = 0).

    Formula: scale * LN(sum_i U_i tanh(y_i) + sum_ig V_ig B_g(y_i))
    Represents: steps and bumps, of which those of the steep slopes lie at the first times.
    """

    name: Literal["lete_spline"] = "lete_spline"
    p: float = Field(0.0, le=0, ge=0)
    """No dimension is a Fourier series; that is what this name stands for."""


class LeTEGapConfig(LeTEFields):
    """LeTE on dt.

    Formula: LeTE of dt
    Represents: waves and bumps of the gap; no absolute time.
    """

    name: Literal["lete_gap"] = "lete_gap"
    time_input: Literal["gap"] = "gap"
    """The gap is what this name stands for."""


class LeTE(PointwiseEmbedding):
    """Concatenated Fourier and spline halves, normalised and scaled; with linear slopes, parameter names are the authors'."""

    def __init__(self, *, dim: int, p: float, layer_norm: bool, scale: bool, slopes: Literal["log", "linear"]) -> None:
        """Give floor(p D) dimensions to the Fourier half and the others to the spline half."""
        super().__init__(dim)
        fourier, spline = math.floor(p * dim), dim - math.floor(p * dim)
        ladder = LogLadder if slopes == "log" else _linear_ladder
        self.w1_fourier = ladder(fourier) if fourier else None
        self.w2_fourier = FourierSum(fourier) if fourier else None
        self.w1_spline = ladder(spline) if spline else None
        self.w2_spline = SplineSum(spline) if spline else None
        self.layernorm = nn.LayerNorm(dim) if layer_norm else nn.Identity()
        self.scale_weight = nn.Parameter(torch.ones(dim)) if scale else None

    def raw_frequencies(self) -> list[Tensor]:
        """Return the slopes of both halves, or their logarithms, if times are not scaled."""
        lines = [line for line in (self.w1_fourier, self.w1_spline) if line is not None]
        learned = [line.exponent if isinstance(line, LogLadder) else line.weight for line in lines]
        return learned if self.time_factor == 1.0 else []

    def angular_frequencies(self) -> Tensor:
        """Return the slopes of the Fourier half (F,); a spline has no frequency."""
        if self.w1_fourier is None:
            return super().angular_frequencies()
        return self.time_factor * self.w1_fourier.weight.detach()[:, 0]

    def encode(self, times: Tensor) -> Tensor:
        """Return (U, D) codes of times (U,)."""
        halves = [
            combine(line(times[:, None]))
            for line, combine in ((self.w1_fourier, self.w2_fourier), (self.w1_spline, self.w2_spline))
            if line is not None and combine is not None
        ]
        codes_UD: Tensor = self.layernorm(torch.cat(halves, dim=-1))
        return codes_UD if self.scale_weight is None else codes_UD * self.scale_weight


class LogLadder(nn.Module):
    """y_i = 10^(e_i) t + b_i with learned e_i, from 0 down to -9."""

    def __init__(self, dim: int) -> None:
        """Start with the geometric ladder and without offsets."""
        super().__init__()
        self.out_features = dim
        self.exponent = nn.Parameter(frequency_ladder(dim).log10()[:, None])
        self.bias = nn.Parameter(torch.zeros(dim))

    @property
    def weight(self) -> Tensor:
        """The slopes (D, 1)."""
        return 10**self.exponent

    def forward(self, times_U1: Tensor) -> Tensor:
        """Return (U, D) of times (U, 1)."""
        return nn.functional.linear(times_U1, self.weight, self.bias)


def _linear_ladder(dim: int) -> nn.Linear:
    line = nn.Linear(1, dim)
    with torch.no_grad():
        line.weight.copy_(frequency_ladder(dim)[:, None])
        line.bias.zero_()
    return line


class FourierSum(nn.Module):
    """out_j = sum_i sum_m (C_jim cos(m x_i) + S_jim sin(m x_i)) + beta_j."""

    def __init__(self, dim: int) -> None:
        """Draw C and S, as one array [2][j][i][m], so that the output has unit variance over a cycle."""
        super().__init__()
        self.fourier_weight = nn.Parameter(torch.randn(2, dim, dim, HARMONICS) * (dim * HARMONICS) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Return (U, F) of x (U, F)."""
        harmonics_M = torch.arange(1, HARMONICS + 1, device=x.device, dtype=x.dtype)
        phase_UFM = x[..., None] * harmonics_M
        waves_UN = torch.stack([phase_UFM.cos(), phase_UFM.sin()], dim=1).flatten(1)
        weight_NF = self.fourier_weight.transpose(0, 1).flatten(1).T
        return torch.addmm(self.bias, waves_UN, weight_NF)


class SplineSum(nn.Module):
    """out_j = sum_i U_ji tanh(y_i) + sum_i sum_g V_jig B_g(y_i)."""

    grid: Tensor

    def __init__(self, dim: int) -> None:
        """Place cubic B-splines on five intervals of [-1, 1]; their weights start near zero."""
        super().__init__()
        self.base_weight = nn.Parameter(torch.empty(dim, dim))
        nn.init.kaiming_uniform_(self.base_weight, a=math.sqrt(5))
        self.spline_weight = nn.Parameter(torch.empty(dim, dim, SPLINE_INTERVALS + SPLINE_DEGREE))
        nn.init.uniform_(self.spline_weight, -SPLINE_WEIGHT_BOUND, SPLINE_WEIGHT_BOUND)
        self.register_buffer("grid", uniform_knots(-1, 1, SPLINE_INTERVALS, SPLINE_DEGREE).repeat(dim, 1))

    def forward(self, y: Tensor) -> Tensor:
        """Return (U, S) of y (U, S)."""
        splines_UN = bspline_basis(y, self.grid, SPLINE_DEGREE).flatten(1)
        return y.tanh() @ self.base_weight.T + splines_UN @ self.spline_weight.flatten(1).T
