"""Time2Vec: one linear and many periodic functions of time.

Source: Kazemi et al. 2019, arXiv 1907.05321, equation 1: t2v(t)[0] = w_0 t + b_0, t2v(t)[i] = F(w_i t + b_i); F is the
sine, the triangle and mod are among the alternatives of section 5.
Differs from it: the paper does not give initial values of w and b. Phases are N(0, 1), and `frequency_init` chooses w; w_0 starts
T times smaller, because a linear column of several hundred saturates the gates of the next layer. Triangle and mod have the
sine's period and range: triangle(x) = (2/pi) arcsin(sin x), mod(x) = 2 frac(x/2pi) - 1.

Scaling: raw times; `unit` feeds t/T, for which N(0, 1) frequencies make less than one turn.

Letters: U distinct times, D width of the code.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models.basis import frequency_ladder
from models.time_embeddings.base import PointwiseConfig, PointwiseEmbedding

FrequencyInit = Literal["normal", "uniform", "log"]
Activation = Literal["sine", "triangle", "mod"]


class Time2VecConfig(PointwiseConfig):
    """A linear and D - 1 periodic functions of time (Time2Vec).

    Formula: [w_0 t + b_0, sin(w_i t + b_i)]
    Represents: a trend and waves of learned frequency and phase.
    """

    name: Literal["time2vec"] = "time2vec"
    dim: int = Field(32, ge=2, le=65_536)
    """Width D of the code of one event; at least 2, for the linear and one periodic function."""
    frequency_init: FrequencyInit = "normal"
    """Where the frequencies start, in radians per time unit: `normal` N(0, 1), `uniform` U(0, 1), `log` 1 down to 10^-9."""
    activation: Activation = "sine"
    """The periodic function: `sine`, `triangle` (wave) or `mod` (sawtooth), all of period 2 pi and range -1 to 1."""

    def encoder(self, *, horizon: float) -> "Time2Vec":
        """Build the module; only the slope of the linear column depends on the horizon."""
        frequencies = INITIALISERS[self.frequency_init](self.dim)
        frequencies[0] /= 1 if self.time_scale == "unit" else horizon
        return Time2Vec(frequencies=frequencies, phases=torch.randn(self.dim), activation=self.activation)


class Time2Vec(PointwiseEmbedding):
    """[w_0 t + b_0, F(w_i t + b_i)].

    The slope w_0 has the learning rate of the frequencies (`train.frequency_rate`), because it also multiplies raw times.
    """

    def __init__(self, *, frequencies: Tensor, phases: Tensor, activation: Activation) -> None:
        """Train `frequencies` and `phases` (D,), starting from the given values."""
        super().__init__(len(frequencies))
        self.frequencies = nn.Parameter(frequencies)
        self.phases = nn.Parameter(phases)
        self.activation = ACTIVATIONS[activation]

    def angular_frequencies(self) -> Tensor:
        """Return the frequencies of the waves, without the first, which is the slope of a line."""
        return super().angular_frequencies()[1:]

    def encode(self, times: Tensor) -> Tensor:
        """Return (U, D) codes of times (U,)."""
        lines_UD = times[:, None] * self.frequencies + self.phases
        return torch.cat([lines_UD[:, :1], self.activation(lines_UD[:, 1:])], dim=-1)


def triangle(x: Tensor) -> Tensor:
    """Return the triangle wave of slope 2/pi through zero: 1 at pi/2, -1 at -pi/2."""
    return 1 - 4 * ((x / math.tau + 0.25).remainder(1) - 0.5).abs()


def mod(x: Tensor) -> Tensor:
    """Return the sawtooth that rises from -1 at multiples of 2 pi to 1 at the next."""
    return 2 * (x / math.tau).remainder(1) - 1


INITIALISERS: dict[FrequencyInit, Callable[[int], Tensor]] = {
    "normal": torch.randn,
    "uniform": torch.rand,
    "log": frequency_ladder,
}
ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {"sine": torch.sin, "triangle": triangle, "mod": mod}
