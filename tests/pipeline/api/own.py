"""Embeddings as a user writes them, in a module that no worker can import."""
# ruff: noqa: ARG002 - a constructor takes dim, whether or not it needs it

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.time_embeddings.base import PointwiseEmbedding, TimeEmbedding, valid_events

SCALE = 2 * math.pi
TABLE = torch.ones(3)
settings = {"kind": "waves"}


def wave(phase, kind=settings["kind"]):
    """A sine."""
    return torch.sin(phase) if kind == "waves" else functional.relu(phase)


class Base(nn.Module):
    """What several share."""

    def __init__(self, dim, waves=1):
        super().__init__()
        self.frequencies = nn.Parameter(torch.linspace(1, waves, dim) / 64)


class Waves(Base):
    """Sines of learned frequencies."""

    @staticmethod
    def phase(times: "Tensor", frequencies: Tensor) -> Tensor:
        return SCALE * times[:, None] * frequencies

    def forward(self, times):  # (U,) -> (U, D)
        return wave(self.phase(times, self.frequencies))


class Pointwise(PointwiseEmbedding):
    """A class of this project's kind, which is told the horizon."""

    def __init__(self, dim, horizon):
        super().__init__(dim)
        self.horizon = horizon

    def encode(self, times):
        return (times[:, None] / self.horizon).expand(-1, self.dim)


class Rank(TimeEmbedding):
    """The place in the sequence: it sees all of it."""

    def __init__(self, dim):
        super().__init__(dim)

    def embed(self, times, lengths):
        rank_BL = valid_events(times, lengths).cumsum(1).to(self.own.dtype)
        return rank_BL[..., None].expand(-1, -1, self.dim)


class WithTable(nn.Module):
    """It uses an object that was computed."""

    def __init__(self, dim):
        super().__init__()

    def forward(self, times):
        return TABLE * times


class WithArray(nn.Module):
    """It uses a package whose version counts, and forgets to make a tensor of what it gives."""

    def __init__(self, dim):
        super().__init__()

    def forward(self, times):
        return np.sin(times)


class TooNarrow(nn.Module):
    """Its codes have the wrong shape."""

    def __init__(self, dim):
        super().__init__()

    def forward(self, times):
        return times[:, None]


class WithoutDim(nn.Module):
    """Its constructor takes no width."""


class Unfinished(nn.Module):
    """It uses what is not there."""

    def __init__(self, dim):
        super().__init__()

    def forward(self, times):
        return not_there(times)  # noqa: F821 - the case


def local():
    """Return a class of a function, which uses a variable of it."""
    factor = 3.0

    class Local(Base):
        def forward(self, times):
            return factor * times[:, None] * self.frequencies

    return Local


MORE_WAVES = partial(Waves, waves=4)
