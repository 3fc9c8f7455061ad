"""What every time embedding is: a module from event times to codes.

Letters: B sequences, L events (padded), U distinct times, D width of the code, T horizon of the dataset.
"""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models.config import Config

TimeScale = Literal["auto", "raw", "unit"]


class TimeEmbeddingConfig(Config):
    """Fields that all time embeddings have."""

    dim: int = Field(32, ge=1)
    """Width D of the code of one event."""
    time_scale: TimeScale = "auto"
    """Scale of the times that the embedding sees: `auto` is the map it was designed for, `raw` the dataset's own unit, `unit` t/T."""


def valid_events(times_BL: Tensor, lengths_B: Tensor) -> Tensor:
    """Return the (B, L) mask of the real events, False on padding."""
    return torch.arange(times_BL.shape[1], device=times_BL.device) < lengths_B[:, None].to(times_BL.device)


class TimeEmbedding(nn.Module, ABC):
    """Base of the time embeddings: times (B, L) in the dataset's unit -> codes (B, L, D) in the parameters' dtype.

    Under autocast it still computes in its own precision: in bf16 a raw time of 783 rounds to a multiple of 4.
    """

    def __init__(self, dim: int) -> None:
        """Keep the width `dim` of a code."""
        super().__init__()
        self.dim = dim

    def forward(self, times: Tensor, lengths: Tensor) -> Tensor:
        """Encode times (B, L), of which the first lengths (B,) of each row are real; codes on padding are arbitrary."""
        with torch.autocast(times.device.type, enabled=False):
            return self.embed(times, lengths)

    @abstractmethod
    def embed(self, times: Tensor, lengths: Tensor) -> Tensor:
        """Return the codes (B, L, D) of times (B, L); see `forward`."""

    def penalty(self) -> Tensor | None:
        """Return the regularisers of the last training forward as one scalar to add to the loss, or None."""
        return None

    def diagnostics(self) -> dict[str, float]:
        """Return named scalars that describe the last training forward, such as gate loads."""
        return {}


class PointwiseEmbedding(TimeEmbedding):
    """An embedding of each event by its own time alone, evaluated once on the distinct times of the batch."""

    def __init__(self, dim: int, time_factor: float = 1.0) -> None:
        """Keep `dim` and the factor that multiplies raw times before `encode` sees them."""
        super().__init__(dim)
        self.time_factor = time_factor

    @abstractmethod
    def encode(self, times: Tensor) -> Tensor:
        """Return the codes (U, D) of scaled times (U,)."""

    def embed(self, times: Tensor, lengths: Tensor) -> Tensor:
        """Encode the distinct real times and gather; gradients flow through the gather."""
        valid_BL = valid_events(times, lengths)
        times_U, index_N = torch.unique(times[valid_BL], return_inverse=True)
        if len(times_U) == 0:
            times_U = times.new_zeros(1)
        codes_UD = self.encode(times_U if self.time_factor == 1.0 else times_U * self.time_factor)
        index_BL = torch.zeros(times.shape, dtype=torch.long, device=times.device)
        index_BL[valid_BL] = index_N
        return nn.functional.embedding(index_BL, codes_UD)
