"""Benchmarks: all sides of a comparison in one process, on the same batches, in alternating rounds.

A ratio is the median over rounds of the ratio within a round, so that a machine that slows down slows every side.
"""

import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from models.classifier import Classifier
from models.time_embeddings import TIME_EMBEDDINGS, PointwiseEmbedding
from pipeline.config import build_run
from pipeline.console import say, show
from pipeline.data import Splits
from pipeline.identity import ROOT
from pipeline.train import processor
from pipeline.trainer import Epoch, fit, resolve_precision, start

ROUNDS = 7
"""Timed rounds; one more is run first and thrown away."""
BATCHES = 8
"""Updates that each side makes in a round, of 128 sequences."""
RECIPE = "usual recipe (packed), fp32"
OURS = "position, fp32"

Seconds = Mapping[str, list[float]]
"""The seconds of each timed round, by side."""


class PackedClassifier(nn.Module):
    """The usual recipe around the same weights: encode every padded event, pack, run, take the last state."""

    def __init__(self, model: Classifier) -> None:
        """Take the parts of an LSTM classifier with a pointwise embedding."""
        super().__init__()
        assert isinstance(model.embedding, PointwiseEmbedding)  # noqa: S101 - `bench` chooses it
        self.model, self.encoder = model, model.embedding

    def forward(self, times: Tensor, features: Tensor | None, lengths: Tensor) -> Tensor:
        """Classify a padded batch of non-empty sequences as `Classifier` does."""
        del features
        codes_BLD = self.encoder.encode(times.flatten()).unflatten(0, times.shape)
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


def bench() -> None:
    """Print the table of benchmarks of this machine."""
    auto = resolve_precision("auto", torch.device("cpu"))
    say(f"{processor()}, {platform.platform()}, torch {torch.__version__}, {torch.get_num_threads()} thread")
    say(f"Event-MNIST, batches of 128 random sequences, 2-layer LSTM-128; n = {ROUNDS} rounds of {BATCHES} updates")
    say(f"precision auto means {auto} here")
    seconds = time_training()
    show(
        (
            "training",
            "sequences/s (median)",
            "spread (quartiles)",
            "speed against the usual recipe",
            "step against position",
        ),
        [_row(name, seconds) for name in seconds],
    )
    help_seconds = time_help()
    say(f"python -m pipeline --help: {statistics.median(help_seconds):.2f} s (median of {len(help_seconds)})")


def time_training() -> dict[str, list[float]]:
    """Time every side on the same batches, round by round."""
    sides = {RECIPE: _epochs("position", "fp32", packed=True), OURS: _epochs("position", "fp32")}
    sides["position, bf16"] = _epochs("position", "bf16")
    for name in TIME_EMBEDDINGS:
        sides.setdefault(f"{name}, fp32", _epochs(name, "fp32"))
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(ROUNDS + 1):
        for name, epochs in sides.items():
            epoch = next(epochs)
            if turn:
                seconds[name].append(epoch.seconds)
    return seconds


def _epochs(embedding: str, precision: str, *, packed: bool = False) -> Iterator[Epoch]:
    """Train on the first sequences of Event-MNIST; an epoch is a round."""
    config = build_run({"model.embedding.name": embedding, "train.epochs": ROUNDS + 1})
    full = config.data.load()
    train = full.train.select(torch.arange(BATCHES * config.train.batch_size))
    splits = Splits(train, full.validation.select(torch.arange(1)), full.test.select(torch.arange(1)))
    training = start(config, splits, torch.device("cpu"))
    if packed:
        training.model = PackedClassifier(training.model)  # type: ignore[assignment]
    return fit(training, splits, config, precision)


def _row(name: str, seconds: Seconds) -> tuple[str, ...]:
    rates = [BATCHES * 128 / value for value in seconds[name]]
    low, middle, high = statistics.quantiles(rates, n=4)
    faster = statistics.median(recipe / own for recipe, own in zip(seconds[RECIPE], seconds[name], strict=True))
    slower = statistics.median(own / table for own, table in zip(seconds[name], seconds[OURS], strict=True))
    return name, f"{middle:.0f}", f"{low:.0f}-{high:.0f}", f"{faster:.1f}x", f"{slower:.2f}x"


def time_help(rounds: int = 5) -> list[float]:
    """Return the seconds of `python -m pipeline --help`, each in a new process."""
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "pipeline", "--help"], cwd=ROOT, capture_output=True, check=True)
        seconds.append(time.perf_counter() - began)
    return seconds
