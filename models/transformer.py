"""A causal Transformer encoder over the events, read at the last one.

Source: Vaswani et al. 2017, arXiv 1706.03762, section 3; the norm before each part as in Xiong et al. 2020, arXiv
2002.04745.
Differs from it: there is no position code besides the time embedding, because it would obscure the comparison of embeddings. A
learned vector precedes the events, like the start token of language models: without it, attention over events of the same code,
as with `none`, would give the same mean for any number of events. With `none`, the model sees the number of events but not their
order.

Letters: B sequences, L events (padded), H width of the state, N heads, E width of a head (H / N).
"""

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from models.classifier import Classifier, ClassifierConfig
from models.time_embeddings.base import Codes


class TransformerBlock(nn.Module):
    """h + attention(norm(h)), then h + feedforward(norm(h))."""

    def __init__(self, *, dim: int, num_heads: int, feedforward_dim: int, dropout: float) -> None:
        """Build a block of width `dim`, which must be divisible by `num_heads`."""
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = nn.LayerNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.attention_out = nn.Linear(dim, dim)
        self.feedforward = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, feedforward_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(feedforward_dim, dim),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, h_BLH: Tensor) -> Tensor:
        """Return h (B, L, H); an event attends to itself and to the events before it."""
        parts_BLNE = self.query_key_value(self.attention_norm(h_BLH)).unflatten(-1, (3 * self.num_heads, -1))
        query_BNLE, key_BNLE, value_BNLE = parts_BLNE.transpose(1, 2).chunk(3, dim=1)
        mixed_BNLE = nn.functional.scaled_dot_product_attention(
            query_BNLE, key_BNLE, value_BNLE, dropout_p=self.dropout.p if self.training else 0.0, is_causal=True
        )
        h_BLH = h_BLH + self.dropout(self.attention_out(mixed_BNLE.transpose(1, 2).flatten(2)))
        out_BLH: Tensor = h_BLH + self.dropout(self.feedforward(h_BLH))
        return out_BLH


class Start(nn.Module):
    """Puts a learned vector before the events; it is also the initial state, for a sequence without events."""

    def __init__(self, dim: int) -> None:
        """Draw the vector from N(0, 1), the scale of normalised inputs."""
        super().__init__()
        self.vector = nn.Parameter(torch.randn(dim))

    def forward(self, h_BLH: Tensor) -> Tensor:
        """Return (B, 1 + L, H) of h (B, L, H)."""
        return torch.cat([self.vector.to(h_BLH.dtype).expand(len(h_BLH), 1, -1), h_BLH], dim=1)


class TransformerClassifier(Classifier):
    """Layers: a linear map to width H, the start, the blocks, a final norm."""

    def last_states(self, inputs: Codes, lengths: list[int]) -> Tensor:
        """Return the normed output (B, H) at the last event of each row."""
        # Padding comes after the events, so the causal mask hides it. The start is at 0, so the last event is at the length.
        codes_BLD, (project, *body, norm) = inputs.padded(), self.layers
        with torch.autocast(codes_BLD.device.type, enabled=False):  # bf16 would give neighbouring times one code
            outputs_BLH = project(codes_BLD)
        for layer in body:
            outputs_BLH = layer(outputs_BLH)
        rows_B = torch.arange(len(lengths), device=outputs_BLH.device)
        states_BH: Tensor = norm(outputs_BLH[rows_B, torch.tensor(lengths, device=outputs_BLH.device)])
        return states_BH


class TransformerConfig(ClassifierConfig):
    """Causal Transformer encoder (pre-norm): all that it knows of time is the embedding."""

    classifier = TransformerClassifier

    name: Literal["transformer"] = "transformer"
    num_heads: int = Field(4, ge=1)
    """Number of attention heads; divides `hidden_dim`."""
    feedforward_dim: int = Field(128, ge=1, le=100_000_000)
    """Width of the hidden layer of each feedforward part."""

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> "TransformerConfig":
        if self.hidden_dim % self.num_heads:
            raise ValueError(f"num_heads: must divide hidden_dim {self.hidden_dim}, got {self.num_heads}")
        return self

    def layers(self, input_dim: int) -> list[nn.Module]:
        """Build the map to width H, the start, the blocks, and the final norm."""
        blocks = [
            TransformerBlock(
                dim=self.hidden_dim,
                num_heads=self.num_heads,
                feedforward_dim=self.feedforward_dim,
                dropout=self.dropout,
            )
            for _ in range(self.num_layers)
        ]
        project, start = nn.Linear(input_dim, self.hidden_dim), Start(self.hidden_dim)
        return [project, start, *blocks, nn.LayerNorm(self.hidden_dim)]
