"""Stacked Mamba blocks over the events, read at the last one.

Source: Gu and Dao 2023, "Mamba", arXiv 2312.00752, section 3.4: h + block(norm(h)), with a norm at the end.
Differs from it: sequences are concatenated instead of padded (`models/selective_scan.py`), and the output of a block has dropout,
which the authors' model does not have.

The backbone always computes in float32, because the compiled scan does, and because bf16 would round the step sizes.

Letters: N events of all sequences, concatenated, B sequences, L events (padded), D width of the input, H width of the state,
A sequences with events.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models.classifier import Classifier, ClassifierConfig
from models.selective_scan import NORM_EPSILON, MambaBlock, Ragged
from models.time_embeddings.base import Codes


class MambaClassifier(Classifier):
    """Layers: a linear map to width H, the blocks, a final norm."""

    def last_states(self, inputs: Codes, lengths: list[int]) -> Tensor:
        """Return the normed output (B, H) at the last event of each row."""
        inputs_BLD = inputs.padded()
        states_BH = inputs_BLD.new_zeros(len(lengths), self.head.in_features)
        alive = sum(length > 0 for length in lengths)
        if alive == 0:
            return states_BH
        events = Ragged.of(torch.tensor(lengths[:alive], device=inputs_BLD.device))
        index_N = torch.arange(len(events.rows), device=inputs_BLD.device)
        project, *blocks, norm = self.layers
        with torch.autocast(inputs_BLD.device.type, enabled=False):
            h_NH = project(events.flatten(inputs_BLD))
            for block in blocks:
                h_NH = h_NH + self.dropout(block(h_NH, index_N, None, events))
            last_AH = norm(h_NH[events.starts[1:] - 1])
        return torch.cat([last_AH, states_BH[alive:]])


class MambaConfig(ClassifierConfig):
    """Stacked Mamba blocks, whose step sizes follow the content of the events alone."""

    classifier = MambaClassifier

    name: Literal["mamba"] = "mamba"
    state_dim: int = Field(8, ge=1, le=100_000_000)
    """Width of the state of one channel."""

    def layers(self, input_dim: int) -> list[nn.Module]:
        """Build the map to width H, the blocks, and the final norm."""
        blocks = [
            MambaBlock(dim=self.hidden_dim, state_dim=self.state_dim, drive_dim=None) for _ in range(self.num_layers)
        ]
        return [
            nn.Linear(input_dim, self.hidden_dim),
            *blocks,
            nn.RMSNorm(self.hidden_dim, eps=NORM_EPSILON),
        ]
