"""A learnable table with one row per time step: the baseline.

Source: the learned position embeddings of Gehring et al. 2017, arXiv 1705.03122, section 3.1.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from models.time_embeddings.base import PointwiseEmbedding, TimeEmbeddingConfig


class PositionConfig(TimeEmbeddingConfig):
    """Learnable position table (baseline): T x D parameters, N(0, 1)."""

    name: Literal["position"] = "position"
    time_scale: Literal["auto", "raw"] = "auto"
    """Both mean the row number: a table has no row between two rows, so it cannot be fed t/T."""

    def build(self, *, horizon: float) -> "Position":
        """Build a table of `horizon` rows."""
        return Position(dim=self.dim, horizon=int(horizon))


class Position(PointwiseEmbedding):
    """Row t of a table W (T, D) is the code of time t."""

    def __init__(self, *, dim: int, horizon: int) -> None:
        """Allocate `horizon` rows of width `dim`, drawn from N(0, 1)."""
        super().__init__(dim)
        self.table = nn.Embedding(horizon, dim)

    def encode(self, times: Tensor) -> Tensor:
        """Look up the rows of times (U,), which must be whole numbers in [0, T); ValueError otherwise."""
        rows_U = times.to(torch.long)
        if (
            not torch.equal(rows_U.to(times.dtype), times)
            or rows_U.min() < 0
            or rows_U.max() >= self.table.num_embeddings
        ):
            bad = times[(rows_U != times) | (times < 0) | (times >= self.table.num_embeddings)][0].item()
            raise ValueError(
                f"model.embedding: event times must be whole numbers in [0, {self.table.num_embeddings}) for a position table, "
                f"got {bad}. Choose a continuous embedding or put the events on a grid."
            )
        codes_UD: Tensor = self.table(rows_U)
        return codes_UD
