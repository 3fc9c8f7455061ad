"""The time code of multi-time attention networks.

Source: Shukla and Marlin 2021, arXiv 2101.10318, section 3: phi(t)[0] = w_0 t + b_0, phi(t)[i] = sin(w_i t + b_i) of
times in [0, 1].
Differs from it: there is a single embedding instead of one per attention head. The functions are those of Time2Vec; only the scale
of time and the initial values, which are those of a linear layer with one input, are different.

Scaling: t/T, as in the paper; frequencies start as U(-1, 1), so every wave makes less than a sixth of a turn.
"""

from typing import Literal

import torch
from pydantic import Field

from models.time_embeddings.base import PointwiseConfig
from models.time_embeddings.time2vec import Time2Vec


class MTANConfig(PointwiseConfig):
    """A linear and D - 1 sine functions of time in [0, 1] (mTAN).

    Formula: [w_0 t/T + b_0, sin(w_i t/T + b_i)]
    Represents: a trend and slow waves, until the frequencies have grown.
    """

    name: Literal["mtan"] = "mtan"
    dim: int = Field(32, ge=2, le=65_536)
    """Width D of the code of one event; at least 2, for the linear and one periodic function."""

    def encoder(self, *, horizon: float) -> Time2Vec:
        """Build the module; `auto_factor` scales the times."""
        del horizon
        frequencies, phases = 2 * torch.rand(2, self.dim) - 1
        return Time2Vec(frequencies=frequencies, phases=phases, activation="sine")

    def auto_factor(self, horizon: float) -> float:
        """Return 1/T."""
        return 1 / horizon
