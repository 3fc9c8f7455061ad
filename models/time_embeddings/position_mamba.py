"""A learnable position table followed by KAN-MAMMOTE's Mamba block: the Mamba block without the KAN.

Source: the control of `docs/models.md`; the table is that of `models/time_embeddings/position.py`, the block that of
Gu and Dao 2023, arXiv 2312.00752, as in KAN-MAMMOTE (`models/selective_scan.py`).
Differs from it: the step sizes depend only on the block's own input, because FasterKAN is left out.

- The table and the first projections are computed once on the distinct times of a batch.

Scaling: none; t is the number of a row.

Letters: B sequences, L events (padded), N real events, concatenated, U distinct times, D width of the code, M width of the
Mamba block, R rows that events index.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models.selective_scan import MambaBlock, Ragged
from models.time_embeddings.base import Codes, TimeEmbedding, TimeEmbeddingConfig, valid_events
from models.time_embeddings.position import PositionConfig


class PositionMambaConfig(TimeEmbeddingConfig):
    """Learnable position table with KAN-MAMMOTE's Mamba block, undriven.

    Formula: LN(W[t_k] + V h_k), h = Mamba(W[t])
    Represents: any function of whole-number times, and what earlier events leave behind.
    """

    name: Literal["position_mamba"] = "position_mamba"
    dim: int = Field(32, ge=2, le=65_536)
    """Width D of the code of one event; at least 2, because a LayerNorm over one number is constant."""
    time_scale: Literal["auto", "raw"] = "auto"
    """Both mean the row number: a table has no row between two rows, so it cannot be fed t/T."""
    num_mamba_layers: int = Field(1, ge=1, le=1000)
    """Stacked Mamba blocks."""
    hidden_dim_mamba: int = Field(32, ge=1, le=65_536)
    """Width M of the Mamba blocks."""
    state_dim_mamba: int = Field(8, ge=1, le=65_536)
    """Width of the state of one channel of a Mamba block."""

    def build(self, *, horizon: float) -> "PositionMamba":
        """Build the module for times below `horizon`."""
        return PositionMamba(config=self, horizon=horizon)


class PositionMamba(TimeEmbedding):
    """emb_k = LN(W[t_k] + V h_k), with h from Mamba blocks over the rows of W."""

    def __init__(self, *, config: PositionMambaConfig, horizon: float) -> None:
        """Build the table, the projection into the blocks, the blocks, and the projection out of them."""
        super().__init__(config.dim)
        width, state = config.hidden_dim_mamba, config.state_dim_mamba
        self.position = PositionConfig(dim=config.dim).build(horizon=horizon)
        self.enter = nn.Linear(config.dim, width)
        self.blocks = nn.ModuleList(
            MambaBlock(dim=width, state_dim=state, drive_dim=None) for _ in range(config.num_mamba_layers)
        )
        self.leave = nn.Linear(width, config.dim)
        self.norm = nn.LayerNorm(config.dim)

    def embed(self, times: Tensor, lengths: Tensor) -> Codes:
        """Return the codes of times (B, L), which must be whole numbers in [0, T); ModelError otherwise."""
        events = Ragged.of(lengths.to(times.device))
        if len(events.rows) == 0:
            return Codes.of_events(times.new_zeros(0, self.dim), valid_events(times, lengths))
        times_U, index_N = torch.unique(events.flatten(times), return_inverse=True)
        codes_UD = self.position.encode(times_U)
        codes_ND = nn.functional.embedding(index_N, codes_UD)
        hidden_RM = self.enter(codes_UD)
        for block in self.blocks:
            hidden_RM = nn.functional.embedding(index_N, hidden_RM) + block(hidden_RM, index_N, None, events)
            index_N = torch.arange(len(index_N), device=index_N.device)
        return Codes(self.norm(codes_ND + self.leave(hidden_RM)), events.places(times.shape[1]), shared=False)
