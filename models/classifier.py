"""The classifiers: [time code ; features] -> backbone -> state after the last event -> dropout -> logits.

This module has the base class of all backbones, and the recurrent backbones; `models/registry.py` lists all of them.

- A batch is sorted by length before the backbone processes it, and the logits are restored to the original order.
- An LSTM runs compiled if the machine supports it (`models/lstm/`). Otherwise the recurrent backbones cut the batch in time: each
  stretch of events is computed only for the sequences that have not ended. In both cases the results are those of a packed
  sequence; `python -m pipeline bench` compares the speed with it.

Letters: B sequences, L events (padded), D width of the input, H width of the state, C classes, A sequences with events.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.config import Config, ModelError
from models.lstm.choice import runs_compiled
from models.time_embeddings import AnyTimeEmbedding, TimeEmbedding
from models.time_embeddings.base import Codes, PointwiseConfig, valid_events
from models.time_embeddings.position import PositionConfig

CALL_COST_EVENTS = 100
"""Fixed cost of a recurrent call in padded events: a cut must save more than this."""
CUT_CANDIDATES = 24
"""Number of candidate places for cuts: quantiles of the lengths of the batch."""


class ClassifierConfig(Config, ABC):
    """Fields that the classifiers have on every backbone."""

    classifier: ClassVar[type["Classifier"]]

    name: str
    """Which backbone."""
    embedding: AnyTimeEmbedding = PositionConfig()
    """The time embedding: what the models of a comparison differ in."""
    hidden_dim: int = Field(128, ge=1, le=100_000_000)
    """Width H of the state."""
    num_layers: int = Field(2, ge=1, le=1000)
    """Number of stacked layers."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Dropout rate in or between the layers and before the linear head."""
    checkpoint_embedding: bool = False
    """Recompute the encoder in the backward pass instead of storing its activations: slower, less memory."""
    freeze_embedding: bool = False
    """Control: keep the encoder at its initial values, and train the rest."""
    shuffle_times: bool = False
    """Control: swap the codes of the times 0..T-1 by one random permutation per seed; which events coincide stays, nearness goes."""

    @model_validator(mode="after")
    def _shuffles_absolute_times(self) -> "ClassifierConfig":
        if self.shuffle_times and not (
            isinstance(self.embedding, PointwiseConfig) and self.embedding.time_input == "absolute"
        ):
            raise ValueError(
                f"shuffle_times: must be false where an encoder sees more than the time of an event, got true for {self.embedding.name}"
            )
        return self

    @abstractmethod
    def layers(self, input_dim: int) -> list[nn.Module]:
        """Build the layers of the backbone for inputs of width `input_dim`."""

    def build(self, *, horizon: float, feature_dim: int, classes: int) -> "Classifier":
        """Build the module for times below `horizon`, in time units, `feature_dim` features per event, and `classes` classes."""
        # The layers and the head draw their initial values first, so that models that differ only in the embedding start with the
        # same weights of the backbone for the same seed.
        layers, head = self.layers(self.embedding.dim + feature_dim), nn.Linear(self.hidden_dim, classes)
        embedding = self.embedding.build(horizon=horizon)
        return self.classifier(
            layers=layers,
            head=head,
            embedding=embedding,
            dropout=self.dropout,
            checkpoint_embedding=self.checkpoint_embedding,
            freeze_embedding=self.freeze_embedding,
            time_order=torch.randperm(math.ceil(horizon)) if self.shuffle_times else None,
        )


class Classifier(nn.Module, ABC):
    """Logits (B, C) of sequences of timed events; subclasses are the backbones."""

    time_order: Tensor | None

    def __init__(
        self,
        *,
        layers: Sequence[nn.Module],
        head: nn.Linear,
        embedding: TimeEmbedding,
        dropout: float,
        checkpoint_embedding: bool,
        freeze_embedding: bool,
        time_order: Tensor | None,
    ) -> None:
        """Stack `layers` between an `embedding` and a linear `head`; `time_order` (T,) permutes the times, if given."""
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.head = head
        self.embedding = embedding.requires_grad_(requires_grad=False).eval() if freeze_embedding else embedding
        self.dropout = nn.Dropout(dropout)
        self.checkpoint_embedding = checkpoint_embedding
        self.freeze_embedding = freeze_embedding
        self.register_buffer("time_order", time_order)

    def train(self, mode: bool = True) -> Self:
        """Set the mode. A frozen embedding stays in evaluation mode, without noise and regularisers of training."""
        super().train(mode)
        if self.freeze_embedding:
            self.embedding.eval()
        return self

    def forward(self, times: Tensor, features: Tensor | None, lengths: Tensor) -> Tensor:
        """Return logits (B, C) of times (B, L), in time units, with features (B, L, F) or None.

        The first `lengths` (B,) events of each row are real. ModelError if the embedding does not accept a time.
        """
        order_B = lengths.argsort(descending=True, stable=True)
        sorted_lengths = lengths[order_B].tolist()
        longest = max(sorted_lengths[0], 1)
        rows = order_B.to(times.device)
        times_BL = times[rows, :longest]
        lengths_B = lengths[order_B].to(times.device)
        if self.time_order is not None:
            times_BL = _reordered(times_BL, lengths_B, self.time_order)
        inputs = self._encode(times_BL, lengths_B)
        if features is not None:
            valid_BL = valid_events(times_BL, lengths_B)
            codes_ND, features_NF = inputs.of_each(valid_BL), features[rows, :longest][valid_BL]
            inputs = Codes.of_events(torch.cat([codes_ND, features_NF.to(codes_ND.dtype)], dim=-1), valid_BL)
        states_BH = self.last_states(inputs, sorted_lengths)
        logits_BC: Tensor = self.head(self.dropout(states_BH))
        return logits_BC[torch.empty_like(rows).scatter_(0, rows, torch.arange(len(rows), device=rows.device))]

    def _encode(self, times_BL: Tensor, lengths_B: Tensor) -> Codes:
        if self.checkpoint_embedding and torch.is_grad_enabled():
            codes: Codes = checkpoint(self.embedding.codes, times_BL, lengths_B, use_reentrant=False)
            return codes
        return self.embedding.codes(times_BL, lengths_B)

    def check(self, times: Tensor, gaps: Tensor) -> None:
        """Raise `ModelError` unless the model accepts every event of a data set: raw times (N,), and the gaps (N,) before them."""
        if self.time_order is not None:
            _check_reorders(times, len(self.time_order))
        self.embedding.check(times, gaps)

    @abstractmethod
    def last_states(self, inputs: Codes, lengths: list[int]) -> Tensor:
        """Return the state (B, H) after the last event of each row; `lengths` descend, 0 gives the initial state."""

    def penalty(self) -> Tensor | None:
        """Return the embedding's regularisers of the last forward pass in training, a scalar, or None."""
        return self.embedding.penalty()

    def diagnostics(self) -> dict[str, float]:
        """Return the embedding's diagnostic scalars of the last forward pass in training, by name."""
        return self.embedding.diagnostics()


def _reordered(times_BL: Tensor, lengths_B: Tensor, order_T: Tensor) -> Tensor:
    """Return order[t] (B, L) for real times, which must be whole numbers in [0, T); `ModelError` otherwise."""
    real_BL = times_BL.masked_fill(~valid_events(times_BL, lengths_B), 0)
    _check_reorders(real_BL, len(order_T))
    return order_T[real_BL.long()].to(times_BL.dtype)


def _check_reorders(times: Tensor, horizon: int) -> None:
    if bool(((times != times.floor()) | (times < 0) | (times >= horizon)).any()):
        raise ModelError(
            f"model.shuffle_times: event times must be whole numbers in [0, {horizon}), got others. Set it to false."
        )


class RecurrentConfig(ClassifierConfig):
    """Fields of a recurrent classifier."""

    cell: ClassVar[type[nn.LSTM] | type[nn.GRU]]

    def layers(self, input_dim: int) -> list[nn.Module]:
        """Build single-layer, time-major recurrent layers."""
        widths = [input_dim, *[self.hidden_dim] * self.num_layers]
        return [self.cell(width, self.hidden_dim) for width in widths[:-1]]


class RecurrentClassifier(Classifier):
    """Stacked single-layer recurrent layers, time-major."""

    compiled = True
    """Whether stacks of LSTM layers may run compiled if the machine supports it; otherwise torch runs them layer by layer."""

    def last_states(self, inputs: Codes, lengths: list[int]) -> Tensor:
        """Return the top layer's state (B, H) after the last event of each row."""
        layers = [layer for layer in self.layers if isinstance(layer, nn.LSTM)]
        if self.compiled and layers and runs_compiled(inputs.rows):
            from models.lstm.function import last_states  # noqa: PLC0415 - numba takes half a second to import

            rate, rounds = self.dropout.p if self.training else 0.0, torch.is_autocast_enabled("cpu")
            with torch.autocast("cpu", enabled=False):
                return last_states(
                    layers, inputs.rows, inputs.row_of_event, lengths, rate, shared=inputs.shared, rounds=rounds
                )
        return self._last_states_in_torch(inputs.padded(), lengths)

    def _last_states_in_torch(self, inputs_BLD: Tensor, lengths: list[int]) -> Tensor:
        inputs_LBD = inputs_BLD.transpose(0, 1)
        cuts = cut_in_time(lengths)
        states: list[Tensor | tuple[Tensor, Tensor] | None] = [None] * len(self.layers)
        finals: list[Tensor] = []
        alive = sum(length > 0 for length in lengths)
        if alive < len(lengths):
            finals.append(inputs_LBD.new_zeros(len(lengths) - alive, self.head.in_features))
        stretches = inputs_LBD.tensor_split(cuts[:-1]) if cuts else ()
        for start, stretch_LBD in zip([0, *cuts], stretches, strict=False):
            outputs = stretch_LBD[:, :alive]
            for depth, layer in enumerate(self.layers):
                state = _first_rows(states[depth], alive)
                if depth:
                    outputs, states[depth] = layer(self.dropout(outputs), state)
                else:
                    outputs, states[depth] = _run_on_codes(layer, outputs, state)
            going_on = sum(length > start + len(stretch_LBD) for length in lengths)
            last = torch.tensor(lengths[going_on:alive], device=outputs.device) - 1 - start
            finals.append(outputs[last, torch.arange(going_on, alive, device=outputs.device)].to(inputs_LBD.dtype))
            alive = going_on
        return torch.cat(finals[::-1])


class LSTMConfig(RecurrentConfig):
    """Stacked LSTM: the default backbone."""

    cell = nn.LSTM
    classifier = RecurrentClassifier
    name: Literal["lstm"] = "lstm"


class GRUConfig(RecurrentConfig):
    """Stacked GRU: a second backbone, because a claim about encodings should not hang on one."""

    cell = nn.GRU
    classifier = RecurrentClassifier
    name: Literal["gru"] = "gru"


def _run_on_codes(
    layer: nn.Module, codes_LBD: Tensor, state: Tensor | tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
    """Run the first layer, which reads codes (L, B, D); in bf16, each number is split into a rounded part and the remainder.

    With a single bf16 number, neighbouring times would have the same code: bf16 distinguishes only 453 of the 784 codes t/T. The
    layer multiplies both parts by the same weights and adds the products in float32.
    """
    assert isinstance(layer, nn.LSTM | nn.GRU)  # noqa: S101 - the config builds it
    if not torch.is_autocast_enabled(codes_LBD.device.type):
        result: tuple[Tensor, Tensor | tuple[Tensor, Tensor]] = layer(codes_LBD, state)
        return result
    weight, *others = layer.all_weights[0]
    parts_LBD, weights = torch.cat(in_two_parts(codes_LBD), dim=-1), [weight.repeat(1, 2), *others]
    settings = (True, 1, 0.0, layer.training, False, False)
    zeros = codes_LBD.new_zeros(1, codes_LBD.shape[1], layer.hidden_size)
    if isinstance(layer, nn.LSTM):
        both = state if isinstance(state, tuple) else (zeros, zeros)
        outputs, hidden, cell = torch.lstm(parts_LBD, both, weights, *settings)
        return outputs, (hidden, cell)
    return torch.gru(parts_LBD, state if isinstance(state, Tensor) else zeros, weights, *settings)


def in_two_parts(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes rounded to bf16, and the remainder rounded to bf16; together they keep 16 significant bits of a number."""
    rounded = codes.bfloat16()
    return rounded, (codes - rounded.to(codes.dtype)).bfloat16()


def _first_rows(state: Tensor | tuple[Tensor, Tensor] | None, rows: int) -> Tensor | tuple[Tensor, Tensor] | None:
    if state is None:
        return None
    if isinstance(state, tuple):
        return state[0][:, :rows].contiguous(), state[1][:, :rows].contiguous()
    return state[:, :rows].contiguous()


def cut_in_time(lengths: Sequence[int]) -> list[int]:
    """Return the ascending places at which to cut the time axis of rows with descending `lengths`; the last is the longest length.

    They minimise the number of padded events plus `CALL_COST_EVENTS` per stretch, by dynamic programming over quantiles of the
    lengths. Empty if all lengths are 0.
    """
    longest = lengths[0] if lengths else 0
    if longest == 0:
        return []
    ranks = {round(k * (len(lengths) - 1) / (CUT_CANDIDATES - 1)) for k in range(CUT_CANDIDATES)}
    places = sorted({0, *(lengths[rank] for rank in ranks)})
    alive = [sum(length > place for length in lengths) for place in places]
    cost = [0.0] * len(places)
    previous = [0] * len(places)
    for end in range(1, len(places)):
        cost[end], previous[end] = min(
            (cost[start] + (places[end] - places[start]) * alive[start] + CALL_COST_EVENTS, start)
            for start in range(end)
        )
    cuts = [len(places) - 1]
    while previous[cuts[-1]]:
        cuts.append(previous[cuts[-1]])
    return [places[cut] for cut in reversed(cuts)]
