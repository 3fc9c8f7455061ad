"""One-dimensional bases: B-splines, and learnable functions R -> R^D made of sines, Gaussians and wavelets.

Source: de Boor 1978, "A Practical Guide to Splines", chapter IX (the recursion); the three learnable bases are the
experts of KAN-MAMMOTE's mixture (repository MichaelScodaeng/kan-mammote), with the scales of `docs/models.md`.
Differs from it: every parameter belongs to one output dimension, and the scales follow from the horizon.

Letters: U values, D output dimensions, K functions per dimension, I inputs, G B-splines, T horizon of the dataset.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

Wavelet = Literal["mexican_hat", "morlet"]
MORLET_FREQUENCY = 5.0
FREQUENCY_JITTER = 0.05
SLOWEST_EXPONENT = 9


def bspline_basis(values: Tensor, knots: Tensor, degree: int = 3) -> Tensor:
    """Return the B-splines (..., G) of `degree` on ascending `knots` (..., G + degree + 1) at `values` (...).

    Zero outside the knots; the splines sum to 1 between the knots `degree` places from either end.
    """
    x = values[..., None]
    basis = ((x >= knots[..., :-1]) & (x < knots[..., 1:])).to(values.dtype)
    for k in range(1, degree + 1):
        rising = (x - knots[..., : -k - 1]) / (knots[..., k:-1] - knots[..., : -k - 1])
        falling = (knots[..., k + 1 :] - x) / (knots[..., k + 1 :] - knots[..., 1:-k])
        basis = rising * basis[..., :-1] + falling * basis[..., 1:]
    return basis


def uniform_knots(low: float, high: float, intervals: int, degree: int = 3) -> Tensor:
    """Return the `intervals` + 2 `degree` + 1 ascending knots of equal intervals on [low, high], with `degree` more on either side."""
    step = (high - low) / intervals
    return torch.arange(-degree, intervals + degree + 1, dtype=torch.float64).mul(step).add(low).float()


def frequency_ladder(count: int) -> Tensor:
    """Return `count` frequencies (count,) from 1 down to 10^-9 radians per time unit, in equal ratios."""
    return 10 ** -torch.linspace(0, SLOWEST_EXPONENT, count)


class FourierBasis(nn.Module):
    """a_0 + sum_j (a_j cos(l_j u) + b_j sin(l_j u)) with learnable real frequencies l_j, per dimension."""

    def __init__(self, *, dim: int, functions: int, horizon: float) -> None:
        """Spread the frequencies from half a cycle over u in [-1, 1] to one cycle per two time units."""
        super().__init__()
        cycles = torch.logspace(math.log10(0.5), math.log10(max(horizon / 2, 1.0)), functions)
        jitter = 1 + FREQUENCY_JITTER * torch.randn(dim, functions)
        self.frequencies = nn.Parameter(math.pi * cycles * jitter)
        amplitude = functions**-0.5  # the mean square of the sum is then 1
        self.cosines = nn.Parameter(amplitude * torch.randn(dim, functions))
        self.sines = nn.Parameter(amplitude * torch.randn(dim, functions))
        self.offset = nn.Parameter(torch.zeros(dim))

    def forward(self, values: Tensor) -> Tensor:
        """Return (U, D) of values u (U,)."""
        phase_UDK = values[:, None, None] * self.frequencies
        return self.offset + (phase_UDK.cos() * self.cosines + phase_UDK.sin() * self.sines).sum(-1)


class GaussianBasis(nn.Module):
    """sum_j v_j exp(-((u - c_j) / w_j)^2 / 2), per dimension."""

    def __init__(self, *, dim: int, functions: int) -> None:
        """Spread the centres over [-1, 1], each with the distance of two neighbours as its width."""
        super().__init__()
        self.centres = nn.Parameter(torch.linspace(-1, 1, functions).repeat(dim, 1))
        self.log_widths = nn.Parameter(torch.full((dim, functions), math.log(2 / functions)))
        self.weights = nn.Parameter(torch.randn(dim, functions))

    def forward(self, values: Tensor) -> Tensor:
        """Return (U, D) of values u (U,)."""
        x_UDK = (values[:, None, None] - self.centres) * (-self.log_widths).exp()
        return ((-0.5 * x_UDK.square()).exp() * self.weights).sum(-1)


class WaveletBasis(nn.Module):
    """sum_j v_j psi((u - shift_j) / scale_j), per dimension; psi is a Mexican hat or a Morlet wavelet."""

    def __init__(self, *, dim: int, functions: int, horizon: float, wavelet: Wavelet) -> None:
        """Draw the shifts over [-1, 1] and spread the scales from two time units to half the horizon."""
        super().__init__()
        self.wavelet = wavelet
        self.shifts = nn.Parameter(2 * torch.rand(dim, functions) - 1)
        scales = torch.logspace(math.log10(min(4 / horizon, 1.0)), 0, functions)
        self.log_scales = nn.Parameter(scales.log().repeat(dim, 1))
        self.weights = nn.Parameter(torch.randn(dim, functions))

    def forward(self, values: Tensor) -> Tensor:
        """Return (U, D) of values u (U,)."""
        x_UDK = (values[:, None, None] - self.shifts) * (-self.log_scales).exp()
        square_UDK = x_UDK.square()
        wave_UDK = 1 - square_UDK if self.wavelet == "mexican_hat" else (MORLET_FREQUENCY * x_UDK).cos()
        return (wave_UDK * (-0.5 * square_UDK).exp() * self.weights).sum(-1)
