"""A learnable table with one row per time step: the baseline.

Source: the learned position embeddings of Gehring et al. 2017, arXiv 1705.03122, section 3.1.

Scaling: none; t is the number of a row.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from models.config import ModelError
from models.time_embeddings.base import PointwiseConfig, PointwiseEmbedding

MOST_NUMBERS = 2**27
"""Most numbers of a table: half a gigabyte, plus three times that for its gradient and Adam's two averages."""


class TableFields(PointwiseConfig):
    """Fields of a learnable table under each of its names."""

    time_scale: Literal["auto", "raw"] = "auto"
    """Both mean the row number: a table has no row between two rows, so it cannot be fed t/T."""

    def encoder(self, *, horizon: float) -> "Position":
        """Build a table of `horizon` rows."""
        return Position(dim=self.dim, horizon=math.ceil(horizon))


class PositionConfig(TableFields):
    """Learnable position table (baseline): T x D parameters, N(0, 1).

    Formula: W[t]
    Represents: any function of whole-number times; neighbours share nothing.
    """

    name: Literal["position"] = "position"


class PositionGapConfig(TableFields):
    """Learnable table of the gap dt: T x D parameters, N(0, 1).

    Formula: W[dt]
    Represents: any function of whole-number gaps; no absolute time.
    """

    name: Literal["position_gap"] = "position_gap"
    time_input: Literal["gap"] = "gap"
    """The gap is what this name stands for."""


class Position(PointwiseEmbedding):
    """Row t of a table W (T, D) is the code of time t."""

    def __init__(self, *, dim: int, horizon: int) -> None:
        """Allocate `horizon` rows of width `dim`, drawn from N(0, 1); ModelError for more than `MOST_NUMBERS` numbers."""
        super().__init__(dim)
        if horizon * dim > MOST_NUMBERS:
            raise ModelError(
                f"model.embedding: a table must have at most {MOST_NUMBERS:,} numbers, got {horizon:,} rows of {dim}. "
                "Give times in a coarser unit, or choose an encoding without a table."
            )
        self.table = nn.Embedding(horizon, dim)

    def check(self, times: Tensor, gaps: Tensor) -> None:
        """Raise `ModelError` unless the looked-up times or gaps (N,) are whole numbers in [0, T)."""
        whole_numbers(gaps if self.time_input == "gap" else times, self.table.num_embeddings)

    def encode(self, times: Tensor) -> Tensor:
        """Return the rows (U, D) of times (U,), which must be whole numbers in [0, T); ModelError otherwise."""
        codes_UD: Tensor = self.table(whole_numbers(times, self.table.num_embeddings))
        return codes_UD


def whole_numbers(times: Tensor, horizon: int) -> Tensor:
    """Return times (N,) as indices; ModelError unless they are whole numbers in [0, `horizon`)."""
    rows = times.to(torch.long)
    bad = times[(rows != times) | (rows < 0) | (rows >= horizon)]
    if len(bad):
        raise ModelError(
            f"model.embedding: event times must be whole numbers in [0, {horizon}) for a position table, "
            f"got {bad[0].item():.7g}. Leave the table out, choose a continuous embedding, or put the events on a grid."
        )
    return rows
