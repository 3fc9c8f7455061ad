"""The base classes of time embeddings, which are modules from event times to codes.

Letters: B sequences, L events (padded), N real events, concatenated, U distinct times, R rows that events index, D width of
the code, T horizon of the dataset.
"""

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple, Self

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from models.config import Config, ModelError

TimeScale = Literal["auto", "raw", "unit"]
TimeInput = Literal["absolute", "gap"]


class TimeEmbeddingConfig(Config):
    """Fields that all time embeddings have."""

    dim: int = Field(32, ge=1, le=65_536)
    """Width D of the code of one event."""
    time_scale: TimeScale = "auto"
    """Scale of the times that the embedding sees: `auto` is the map it was designed for, `raw` the dataset's own unit, `unit` t/T."""

    @abstractmethod
    def build(self, *, horizon: float) -> "TimeEmbedding":
        """Build the module for times below `horizon`."""


class PointwiseConfig(TimeEmbeddingConfig):
    """Fields of an embedding of one number per event, its time or the gap before it."""

    time_input: TimeInput = "absolute"
    """What of an event is encoded: `absolute` its time t, `gap` the time dt since the event before it, 0 for the first."""

    @abstractmethod
    def encoder(self, *, horizon: float) -> "PointwiseEmbedding":
        """Build the module for numbers up to `horizon`; `build` sets which numbers these are, and their scale."""

    def auto_factor(self, horizon: float) -> float:
        """Return the factor of raw times under `time_scale: auto`."""
        del horizon
        return 1.0

    def build(self, *, horizon: float) -> "PointwiseEmbedding":
        """Build the module for times below `horizon`."""
        embedding = self.encoder(horizon=horizon)
        embedding.time_input = self.time_input
        embedding.time_factor = {"auto": self.auto_factor(horizon), "raw": 1.0, "unit": 1 / horizon}[self.time_scale]
        return embedding


class WavePairsConfig(PointwiseConfig):
    """Fields of an embedding of sines and cosines in pairs, which needs an even width."""

    @field_validator("dim")
    @classmethod
    def _even(cls, dim: int) -> int:
        if dim % 2:
            raise ValueError("must be even, because sines and cosines come in pairs")
        return dim


def valid_events(times_BL: Tensor, lengths_B: Tensor) -> Tensor:
    """Return the (B, L) mask of the real events, False on padding."""
    return torch.arange(times_BL.shape[1], device=times_BL.device) < lengths_B[:, None].to(times_BL.device)


def check_ascent(gaps_U: Tensor) -> None:
    """Raise `ModelError` if sorted distinct gaps (U,) contain a negative one."""
    if gaps_U[0] < 0:
        raise ModelError(
            f"model.embedding: event times of a sequence must ascend, got a gap of {gaps_U[0].item():g}. Sort the events."
        )


class Codes(NamedTuple):
    """The codes of events; an embedding that knows which events have equal codes stores each distinct code once."""

    rows: Tensor
    """(R, D); at least one row."""
    row_of_event: Tensor
    """(B, L): the row of each event; any valid row on padding."""
    shared: bool = True
    """Whether events may share rows; otherwise each real event has a row of its own."""

    @classmethod
    def of_events(cls, codes_ND: Tensor, valid_BL: Tensor) -> Self:
        """Return codes with a row (N, D) for each real event, in the order of the mask (B, L)."""
        row_of_BL = valid_BL.flatten().cumsum(0).sub(1).clamp_min(0).view(valid_BL.shape)
        return cls(codes_ND if len(codes_ND) else codes_ND.new_zeros(1, codes_ND.shape[1]), row_of_BL, shared=False)

    def of_each(self, valid_BL: Tensor) -> Tensor:
        """Return the codes (N, D) of the real events, in the order of the mask (B, L)."""
        return nn.functional.embedding(self.row_of_event[valid_BL], self.rows)

    def padded(self) -> Tensor:
        """Return the codes (B, L, D); arbitrary on padding, but finite."""
        return nn.functional.embedding(self.row_of_event, self.rows)


class TimeEmbedding(nn.Module, ABC):
    """Base class of time embeddings: times (B, L) in the dataset's unit -> codes (B, L, D) in the parameters' dtype.

    Autocast has no effect on it, because a raw time of 783 would be rounded to a multiple of 4 in bf16.
    """

    own: Tensor

    def __init__(self, dim: int) -> None:
        """Keep the width `dim` of a code, and a scalar buffer that has the module's dtype even without parameters."""
        super().__init__()
        self.dim = dim
        self.register_buffer("own", torch.zeros(()), persistent=False)

    def forward(self, times: Tensor, lengths: Tensor) -> Tensor:
        """Return codes (B, L, D) of times (B, L), of which the first `lengths` (B,) are real; codes on padding are arbitrary but finite."""
        return self.codes(times, lengths).padded()

    def codes(self, times: Tensor, lengths: Tensor) -> Codes:
        """Return the codes of times (B, L) as `forward` does, with shared codes stored once."""
        with torch.autocast(times.device.type, enabled=False):
            codes = self.embed(times.to(self.own.dtype), lengths)
            if isinstance(codes, Codes):
                return codes
            valid_BL = valid_events(times, lengths)
            return Codes.of_events(codes[valid_BL], valid_BL)

    @abstractmethod
    def embed(self, times: Tensor, lengths: Tensor) -> Tensor | Codes:
        """Return the codes (B, L, D) of times (B, L) in the module's dtype, or `Codes` with each distinct code once; see `forward`."""

    def check(self, times: Tensor, gaps: Tensor) -> None:
        """Raise `ModelError` unless every event of a data set has a code: raw times (N,), and the gaps (N,) before them."""
        for part in self.children():
            if isinstance(part, TimeEmbedding):
                part.check(times, gaps)

    def raw_frequencies(self) -> list[Tensor]:
        """Return the parameters that multiply raw times in waves or splines; a small step of them changes the phase at late times much."""
        return []

    def angular_frequencies(self) -> Tensor:
        """Return the frequencies (F,) of the waves in the code, in radians per time unit of the data set.

        They are frequencies of the gap if that is encoded, and the base frequencies of Fourier series. Empty if there are no waves, or
        if they have no constant period.
        """
        return self.own.new_zeros(0)

    def penalty(self) -> Tensor | None:
        """Return the regularisers of the last forward pass in training as a scalar to add to the loss, or None."""
        return None

    def diagnostics(self) -> dict[str, float]:
        """Return named scalars that describe the last forward pass in training, such as gate loads."""
        return {}


class PointwiseEmbedding(TimeEmbedding):
    """An embedding of each event by only its time or gap, evaluated once on the distinct numbers of the batch."""

    time_input: TimeInput = "absolute"

    def __init__(self, dim: int, time_factor: float = 1.0) -> None:
        """Keep `dim`, and the factor that multiplies raw times or gaps before `encode`."""
        super().__init__(dim)
        self.time_factor = time_factor

    @abstractmethod
    def encode(self, times: Tensor) -> Tensor:
        """Return the codes (U, D) of scaled times or gaps (U,)."""

    def raw_frequencies(self) -> list[Tensor]:
        """Return the parameter `frequencies`, if there is one and times are not scaled."""
        own = getattr(self, "frequencies", None)
        return [own] if isinstance(own, nn.Parameter) and self.time_factor == 1.0 else []

    def angular_frequencies(self) -> Tensor:
        """Return the parameter or buffer `frequencies` (F,) times the factor of raw times; empty if there is none."""
        own = getattr(self, "frequencies", None)
        return self.time_factor * own.detach() if isinstance(own, Tensor) else super().angular_frequencies()

    def inputs(self, times: Tensor) -> Tensor:
        """Return the unscaled numbers to encode (B, L): the times, or the gaps before them; arbitrary on padding."""
        return times.diff(dim=1, prepend=times[:, :1]) if self.time_input == "gap" else times

    def embed(self, times: Tensor, lengths: Tensor) -> Codes:
        """Return the codes of the distinct real times or gaps of (B, L); `ModelError` for a negative gap."""
        valid_BL = valid_events(times, lengths)
        times_U, index_N = torch.unique(self.inputs(times)[valid_BL], return_inverse=True)
        if len(times_U) == 0:
            times_U = times.new_zeros(1)
        if self.time_input == "gap":
            check_ascent(times_U)
        codes_UD = self.encode(times_U if self.time_factor == 1.0 else times_U * self.time_factor)
        index_BL = torch.zeros(times.shape, dtype=torch.long, device=times.device)
        index_BL[valid_BL] = index_N
        return Codes(codes_UD, index_BL)
