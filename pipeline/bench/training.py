"""Training speed: the usual recipe against ours, our LSTM against torch's, and each encoding against the position table."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from models.classifier import Classifier, LSTMConfig, RecurrentClassifier
from models.lstm.choice import can_compile
from models.time_embeddings import TIME_EMBEDDINGS, PointwiseEmbedding
from models.time_embeddings.base import PointwiseConfig
from pipeline.bench.lines import Line, at_least, at_most, ratios
from pipeline.bench.lstm import operations_of, rate_of_product
from pipeline.bench.rounds import QUICK_ROUNDS, ROUNDS, Seconds, alternate
from pipeline.config import RunConfig
from pipeline.console import say
from pipeline.data import Splits
from pipeline.machine import has_bf16
from pipeline.settings import build_run
from pipeline.training.loop import Epoch, fit
from pipeline.training.start import start

BATCHES, BATCHES_OF_ENCODINGS, QUICK_BATCHES = 3, 2, 1
"""Updates of 128 sequences that each side makes in a round."""
ROUNDS_OF_ENCODINGS = 5
RECIPE = "usual recipe (packed), fp32"
OURS = "position, fp32"
IN_TORCH = "position, fp32, LSTM of torch"
BF16 = "position, bf16"
PRODUCTS = "position, fp32, matrix products alone"
MODELS = ("sincos", "lete", "kan_mammote")
"""The required models besides `position`."""


class PackedClassifier(nn.Module):
    """The usual recipe with the same weights: encode every padded event, pack, run the LSTM, take the last state."""

    def __init__(self, model: Classifier) -> None:
        """Use the modules of an LSTM classifier with a pointwise embedding."""
        super().__init__()
        assert isinstance(model.embedding, PointwiseEmbedding)  # noqa: S101 - `bench` chooses it
        self.model, self.encoder = model, model.embedding

    def encode(self, times_N: Tensor) -> Tensor:
        """Return the codes (N, D) of the times (N,) of all events, padding among them."""
        return self.encoder.encode(times_N)

    def forward(self, times: Tensor, features: Tensor | None, lengths: Tensor) -> Tensor:
        """Classify a padded batch of non-empty sequences as `Classifier` does."""
        del features
        codes_BLD = self.encode(times.float().flatten()).unflatten(0, times.shape)
        packed = pack_padded_sequence(codes_BLD, lengths, batch_first=True, enforce_sorted=False)
        for depth, layer in enumerate(self.model.layers):
            packed = PackedSequence(self.model.dropout(packed.data), *packed[1:]) if depth else packed
            packed, (state_1BH, _) = layer(packed)
        logits_BC: Tensor = self.model.head(self.model.dropout(state_1BH[0]))
        return logits_BC

    def penalty(self) -> None:
        """Return no regulariser."""

    def diagnostics(self) -> dict[str, float]:
        """Return no scalars."""
        return {}


def training_lines(*, quick: bool) -> list[Line]:
    """Return the speed of the four models and of the usual recipe, on the same batches."""
    batches, rounds = (QUICK_BATCHES, QUICK_ROUNDS) if quick else (BATCHES, ROUNDS)
    sides = {
        RECIPE: side("position", batches, rounds, packed=True),
        OURS: side("position", batches, rounds),
        **{f"{name}, fp32": side(name, batches, rounds) for name in MODELS},
    }
    bf16 = has_bf16(torch.device("cpu"))
    if bf16:
        sides[BF16] = side("position", batches, rounds, precision="bf16")
    return lines_of_training(alternate(sides, rounds), batches * 128)


def lines_of_training(seconds: Seconds, sequences: int) -> list[Line]:
    """Return the rate of each side, its ratio to the recipe, and the cost of a step of each model."""
    rates = [
        Line(name=name, unit="sequences/s", values=tuple(sequences / value for value in values))
        for name, values in seconds.items()
    ]
    targets = {OURS: at_least(10), BF16: at_least(12)}
    gains = [
        Line(
            name=f"speed against the usual recipe: {name}",
            unit="x",
            values=ratios(seconds[RECIPE], values),
            target=targets.get(name),
        )
        for name, values in seconds.items()
        if name != RECIPE
    ]
    costs = [
        Line(
            name=f"step against position: {name}",
            unit="x",
            values=ratios(seconds[f"{name}, fp32"], seconds[OURS]),
            target=at_most(1.5 if name == "kan_mammote" else 1.1),
        )
        for name in MODELS
    ]
    return rates + gains + costs


def lstm_lines(*, quick: bool) -> list[Line]:
    """Return the ratios of the compiled LSTM and of bf16 to torch's LSTM in fp32, and how close they come to the products' time."""
    batches, rounds = (QUICK_BATCHES, QUICK_ROUNDS) if quick else (BATCHES, ROUNDS)
    sides = {OURS: side("position", batches, rounds)}
    sides[IN_TORCH] = side("position", batches, rounds, compiled=False)
    if has_bf16(torch.device("cpu")):
        sides[BF16] = side("position", batches, rounds, precision="bf16")
    if can_compile():
        config, splits = training_data("position", batches, rounds)
        assert isinstance(config.model, LSTMConfig)  # noqa: S101 - it is the default
        operations = operations_of(config.model, int(splits.train.lengths.sum()))
        sides[PRODUCTS] = partial(_seconds_of_products, operations, config.model, config.train.batch_size)
    else:
        say("the LSTM is not compiled for this processor")
    return lines_of_lstm(alternate(sides, rounds), operations if PRODUCTS in sides else 0)


def _seconds_of_products(operations: int, config: LSTMConfig, rows: int) -> float:
    return operations / rate_of_product(config, rows)


def lines_of_lstm(seconds: Seconds, operations: int) -> list[Line]:
    """Return the ratios within rounds; `operations` is the number of floating-point operations of a round's products."""
    lines = []
    if BF16 in seconds:
        gained = ratios(seconds[IN_TORCH], seconds[BF16])
        lines.append(
            Line(name="bf16 against torch's LSTM in fp32, whole update", unit="x", values=gained, target=at_least(2.5))
        )
    if PRODUCTS not in seconds:
        return [*lines, Line(name=IN_TORCH, unit="s", values=tuple(seconds[IN_TORCH]))]
    shares = tuple(100 * share for share in ratios(seconds[PRODUCTS], seconds[OURS]))
    gained = ratios(seconds[IN_TORCH], seconds[OURS])
    rates = tuple(operations / 1e9 / value for value in seconds[PRODUCTS])
    return [
        Line(name="compiled LSTM against torch's, whole update", unit="x", values=gained, target=at_least(1.6)),
        *lines,
        Line(
            name="share of the update that its products alone would take", unit="%", values=shares, target=at_least(65)
        ),
        Line(name="product of 128 rows, 128 x 512", unit="GFLOP/s", values=rates),
    ]


def encoding_lines(*, quick: bool) -> list[Line]:
    """Return the cost of a step of each encoding, relative to that of the position table."""
    del quick  # thirty models take too long: the section is left out of the quick benchmark
    targets = {name: at_most(1.1) for name, kind in TIME_EMBEDDINGS.items() if issubclass(kind, PointwiseConfig)}
    targets["kan_mammote"] = at_most(1.5)
    return [
        Line(name=name, unit="x", values=values, target=targets.get(name))
        for name, values in time_encodings().items()
        if name != "position"
    ]


def time_encodings() -> dict[str, tuple[float, ...]]:
    """Return the ratio of the time of an update of each encoding to that of the position table, for every round."""
    sides = {name: side(name, BATCHES_OF_ENCODINGS, ROUNDS_OF_ENCODINGS) for name in TIME_EMBEDDINGS}
    seconds = alternate(sides, ROUNDS_OF_ENCODINGS)
    return {name: ratios(seconds[name], seconds["position"]) for name in sides}


def side(
    embedding: str,
    batches: int,
    rounds: int,
    *,
    precision: str = "fp32",
    packed: bool = False,
    compiled: bool = True,
) -> Callable[[], float]:
    """Return a function that trains for a round on the first sequences of Event-MNIST, and returns the seconds."""
    epochs = _epochs(embedding, batches, rounds, precision=precision, packed=packed, compiled=compiled)
    return lambda: next(epochs).seconds


def _epochs(
    embedding: str, batches: int, rounds: int, *, precision: str, packed: bool, compiled: bool
) -> Iterator[Epoch]:
    config, splits = training_data(embedding, batches, rounds)
    training = start(config, splits, torch.device("cpu"))
    assert isinstance(training.model, RecurrentClassifier)  # noqa: S101 - it is the default
    training.model.compiled = compiled
    if packed:
        training.model = PackedClassifier(training.model)  # type: ignore[assignment]
    return fit(training, splits, config, precision)


def training_data(embedding: str, batches: int, rounds: int) -> tuple[RunConfig, Splits]:
    """Return the settings of a side, with an epoch for each round, and the sequences of a round."""
    config = build_run({"model.embedding.name": embedding, "train.epochs": rounds + 1})
    return config, first_sequences(config, batches * config.train.batch_size)


def first_sequences(config: RunConfig, count: int) -> Splits:
    """Return the first training sequences of a data set, and one to evaluate."""
    full = config.data.load()
    train = full.train.select(torch.arange(count))
    return Splits(train, full.validation.select(torch.arange(0)), full.test.select(torch.arange(1)))
