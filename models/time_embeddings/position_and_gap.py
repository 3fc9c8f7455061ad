"""The sum of two learnable tables, one of the time and one of the gap.

Source: sums of learned embeddings of several indices as in Devlin et al. 2019, BERT, arXiv 1810.04805, section 3, here
of the time and the gap; the tables are those of `models/time_embeddings/position.py`.

Scaling: none; t and dt are the numbers of rows.
"""

from typing import Literal

from torch import Tensor

from models.time_embeddings.base import Codes, TimeEmbedding, TimeEmbeddingConfig, valid_events
from models.time_embeddings.position import PositionConfig, PositionGapConfig


class PositionAndGapConfig(TimeEmbeddingConfig):
    """Sum of a table of the time and a table of the gap: 2 T D parameters, N(0, 1).

    Formula: W[t] + V[dt]
    Represents: any sum of a function of the time and one of the gap; no interaction of the two.
    """

    name: Literal["position_and_gap"] = "position_and_gap"
    time_scale: Literal["auto", "raw"] = "auto"
    """Both mean the row number: a table has no row between two rows, so it cannot be fed t/T."""

    def build(self, *, horizon: float) -> "PositionAndGap":
        """Build two tables of `horizon` rows."""
        return PositionAndGap(dim=self.dim, horizon=horizon)


class PositionAndGap(TimeEmbedding):
    """W[t] + V[dt]."""

    def __init__(self, *, dim: int, horizon: float) -> None:
        """Build both tables, drawn from N(0, 1)."""
        super().__init__(dim)
        self.time = PositionConfig(dim=dim).build(horizon=horizon)
        self.gap = PositionGapConfig(dim=dim).build(horizon=horizon)

    def embed(self, times: Tensor, lengths: Tensor) -> Codes:
        """Return the codes of times (B, L), which must be whole numbers in [0, T); ModelError otherwise."""
        valid_BL = valid_events(times, lengths)
        times_ND, gaps_ND = (part.codes(times, lengths).of_each(valid_BL) for part in (self.time, self.gap))
        return Codes.of_events(times_ND + gaps_ND, valid_BL)
