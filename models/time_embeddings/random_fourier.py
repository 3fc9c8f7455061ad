"""Random Fourier features: cosines of frozen random frequencies and phases.

Source: Rahimi and Recht 2007, "Random Features for Large-Scale Kernel Machines", NeurIPS 20, algorithm 1:
sqrt(2/D) cos(w_i t + b_i), w_i ~ N(0, 1/s^2), b_i ~ U(0, 2 pi), for the Gaussian kernel of length scale s.

Scaling: raw times, s in time units; `unit` feeds t/T, and s is then a share of the horizon.
"""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from models.time_embeddings.base import PointwiseConfig, PointwiseEmbedding


class RandomFourierConfig(PointwiseConfig):
    """Cosines of frozen random frequencies and phases (random Fourier features). Nothing to train.

    Formula: sqrt(2/D) cos(w_i t + b_i), w_i ~ N(0, 1/s^2), b_i ~ U(0, 2 pi)
    Represents: a Gaussian kernel of time differences, of one length scale.
    """

    name: Literal["random_fourier"] = "random_fourier"
    length_scale: float = Field(10.0, gt=0)
    """Length scale s of the kernel, in time units: times further apart have almost unrelated codes."""

    def encoder(self, *, horizon: float) -> "RandomFourier":
        """Build the module; its frequencies do not depend on the horizon."""
        del horizon
        return RandomFourier(dim=self.dim, length_scale=self.length_scale)


class RandomFourier(PointwiseEmbedding):
    """sqrt(2/D) cos(w t + b), with w and b drawn once and stored, not trained."""

    frequencies: Tensor
    phases: Tensor

    def __init__(self, *, dim: int, length_scale: float) -> None:
        """Draw `dim` frequencies and phases."""
        super().__init__(dim)
        self.register_buffer("frequencies", torch.randn(dim) / length_scale)
        self.register_buffer("phases", math.tau * torch.rand(dim))

    def encode(self, times: Tensor) -> Tensor:
        """Return (U, D) codes of times (U,)."""
        phase_UD = times[:, None] * self.frequencies + self.phases
        return phase_UD.cos() * math.sqrt(2 / self.dim)
