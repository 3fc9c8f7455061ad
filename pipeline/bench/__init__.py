"""Benchmarks: all sides of a comparison in one process, on the same batches, in alternating rounds.

A ratio is the median over rounds of the ratio within a round, so that a machine that slows down slows every side.
"""

import contextlib
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from analysis import run_analyses
from analysis.plan import Plan
from analysis.report.html import page
from analysis.report.markdown import report
from analysis.results import Results
from analysis.statistics.randomness import stream
from models.classifier import Classifier, LSTMConfig, RecurrentClassifier
from models.lstm.choice import can_compile
from models.time_embeddings import TIME_EMBEDDINGS, PointwiseEmbedding
from pipeline.ablation.conduct import conduct
from pipeline.ablation.reading import load_ablation
from pipeline.bench.lstm import operations_of, rate_of_product
from pipeline.bench.tracking import time_tracking
from pipeline.config import RunConfig
from pipeline.console import Meter, say, show
from pipeline.data import Splits
from pipeline.identity import ROOT
from pipeline.machine import has_bf16, processor, resolve_precision
from pipeline.settings import build_run
from pipeline.tracking import connect
from pipeline.training.loop import Epoch, fit
from pipeline.training.start import start

ROUNDS = 7
"""Timed rounds; one more is run first and thrown away."""
BATCHES = 8
"""Updates that each side makes in a round, of 128 sequences."""
FIRST_GUESS = 2.0
"""Seconds that a round of one side is taken for until it has run once."""
ANALYSED_RUNS, ANALYSED_MODELS, ANALYSED_SEQUENCES, ANALYSED_EPOCHS = 100, 10, 10_000, 50
"""Size of the made-up study whose analysis is measured."""
TRIALS, TRIALS_SHOWN = 100, 10
"""Trials of the search whose overhead is measured, and how many of them a median is of."""
RECIPE = "usual recipe (packed), fp32"
OURS = "position, fp32"
IN_TORCH = "position, fp32, LSTM of torch"

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
        codes_BLD = self.encoder.encode(times.float().flatten()).unflatten(0, times.shape)
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
    _tell_of_lstm(seconds)
    seconds_taken, peak = cost_of_analysis()
    say(
        f"analysis and report of {ANALYSED_RUNS} runs x {ANALYSED_SEQUENCES:,} predictions: {seconds_taken:.1f} s, "
        f"{peak / 2**30:.2f} GiB at most (n = 1)"
    )
    trials = time_trials()
    first, last = statistics.median(trials[:TRIALS_SHOWN]), statistics.median(trials[-TRIALS_SHOWN:])
    say(
        f"a trial of an ablation study on SQLite, with one update of a tiny model in it: {first:.2f} s at first, {last:.2f} s "
        f"at last (medians of the first and last {TRIALS_SHOWN} of {len(trials)})"
    )
    show(
        ("command", "store", "finished runs", "calls", "seconds (n = 1)", "ms a run"),
        [
            (command, store, f"{size:,}", str(calls or "-"), f"{seconds:.3f}", f"{1000 * seconds / size:.1f}")
            for command, store, size, calls, seconds in time_tracking()
        ],
    )
    help_seconds = time_help()
    say(f"python -m pipeline --help: {statistics.median(help_seconds):.2f} s (median of {len(help_seconds)})")


def _tell_of_lstm(seconds: Seconds) -> None:
    """Compare the compiled LSTM with torch's, and its products alone with the whole update."""
    if not can_compile():
        say("the LSTM is not compiled for this processor")
        return
    ratios = [torch_s / own_s for torch_s, own_s in zip(seconds[IN_TORCH], seconds[OURS], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    say(
        f"compiled LSTM against torch's, whole update: {middle:.2f}x (quartiles {low:.2f}-{high:.2f}, n = {len(ratios)})"
    )
    config, train = _training_data("position")
    assert isinstance(config.model, LSTMConfig)  # noqa: S101 - it is the default
    rate = statistics.median(rate_of_product(config.model, config.train.batch_size) for _ in range(ROUNDS))
    floor = operations_of(config.model, int(train.train.lengths.sum())) / rate
    share = statistics.median(floor / own_s for own_s in seconds[OURS])
    say(
        f"its product: {rate / 1e9:.0f} GFLOP/s; the products alone take {100 * share:.0f} % of the whole update "
        f"(medians, n = {ROUNDS})"
    )


def time_training() -> dict[str, list[float]]:
    """Time every side on the same batches, round by round."""
    sides = {RECIPE: _epochs("position", "fp32", packed=True), OURS: _epochs("position", "fp32")}
    sides[IN_TORCH] = _epochs("position", "fp32", compiled=False)
    if has_bf16(torch.device("cpu")):
        sides["position, bf16"] = _epochs("position", "bf16")
    else:
        say("bf16: this processor has no instructions for it")
    for name in TIME_EMBEDDINGS:
        sides.setdefault(f"{name}, fp32", _epochs(name, "fp32"))
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    with Meter(dict.fromkeys(sides, ROUNDS + 1), dict.fromkeys(sides, FIRST_GUESS), 1) as meter:
        for turn in range(ROUNDS + 1):
            # Each round begins with another side: whoever comes after a heavy one would pay for it every time.
            first = turn * len(sides) // (ROUNDS + 1)
            for name, epochs in [*sides.items()][first:] + [*sides.items()][:first]:
                epoch = next(epochs)
                meter.advance(name, epoch.seconds, f"round {turn} of {ROUNDS}, {name} {epoch.seconds:.2f} s")
                if turn:
                    seconds[name].append(epoch.seconds)
    return seconds


def _epochs(embedding: str, precision: str, *, packed: bool = False, compiled: bool = True) -> Iterator[Epoch]:
    """Train on the first sequences of Event-MNIST; an epoch is a round."""
    config, splits = _training_data(embedding)
    training = start(config, splits, torch.device("cpu"))
    assert isinstance(training.model, RecurrentClassifier)  # noqa: S101 - it is the default
    training.model.compiled = compiled
    if packed:
        training.model = PackedClassifier(training.model)  # type: ignore[assignment]
    return fit(training, splits, config, precision)


def _training_data(embedding: str) -> tuple[RunConfig, Splits]:
    """Return the settings of a side and the sequences of its round."""
    config = build_run({"model.embedding.name": embedding, "train.epochs": ROUNDS + 1})
    full = config.data.load()
    train = full.train.select(torch.arange(BATCHES * config.train.batch_size))
    return config, Splits(train, full.validation.select(torch.arange(1)), full.test.select(torch.arange(1)))


def _row(name: str, seconds: Seconds) -> tuple[str, ...]:
    rates = [BATCHES * 128 / value for value in seconds[name]]
    low, middle, high = statistics.quantiles(rates, n=4)
    faster = statistics.median(recipe / own for recipe, own in zip(seconds[RECIPE], seconds[name], strict=True))
    slower = statistics.median(own / table for own, table in zip(seconds[name], seconds[OURS], strict=True))
    return name, f"{middle:.0f}", f"{low:.0f}-{high:.0f}", f"{faster:.1f}x", f"{slower:.2f}x"


def time_trials() -> list[float]:
    """Return the seconds from each trial to the next of a search whose training is next to nothing.

    That is what study and tracking cost, and the training of 32 sequences.
    """
    tree = {
        "data.name": "synthetic", "data.train_size": 32, "data.validation_size": 32, "data.test_size": 32,
        "model.hidden_dim": 4, "model.embedding.dim": 4, "train.epochs": 1, "seeds": [0], "design": "random",
        "trials": TRIALS, "train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    }  # fmt: skip
    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        file = Path("search.json")
        file.write_text(json.dumps(tree), encoding="utf-8")
        tracker = connect("sqlite:///mlflow.db")
        with conduct(load_ablation(file), tracker, storage="sqlite:///optuna.db", workers=1, device="cpu") as (
            _,
            queue,
        ):
            trials = queue.trials()
    times = [*(trial.datetime_start for trial in trials), trials[-1].datetime_complete]
    return [(after - before).total_seconds() for before, after in pairwise(times)]  # type: ignore[operator]


def time_help(rounds: int = 5) -> list[float]:
    """Return the seconds of `python -m pipeline --help`, each in a new process."""
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "pipeline", "--help"], cwd=ROOT, capture_output=True, check=True)
        seconds.append(time.perf_counter() - began)
    return seconds


def cost_of_analysis() -> tuple[float, int]:
    """Return the seconds of analysing a made-up study, and the peak memory in bytes of the new process that did it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_analyse).result()


def _analyse() -> tuple[float, int]:
    results = made_up_study()
    began = time.perf_counter()
    findings = run_analyses(results)
    markdown = report(findings)
    page(markdown, {stem: figure for finding in findings for stem, figure in finding.figures.items()})
    return time.perf_counter() - began, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def made_up_study(
    runs: int = ANALYSED_RUNS, models: int = ANALYSED_MODELS, sequences: int = ANALYSED_SEQUENCES
) -> Results:
    """Return a study of random answers, 95 to 99 % right, with `runs` runs over `models` models."""
    generator = stream("bench", "analysis")
    label_n, length_n = generator.integers(10, size=sequences), generator.integers(20, 250, size=sequences)
    rows, curves, predictions = [], [], []
    for number in range(runs):
        model, seed = f"model_{number % models}", number // models
        cell = {"run_id": f"run-{number}", "model": model, "seed": seed}
        right_n = generator.random(sequences) < 0.95 + 0.04 * (number % models) / models
        sure_n = generator.beta(20, 1, size=sequences)
        predicted_n = np.where(right_n, label_n, (label_n + generator.integers(1, 10, size=sequences)) % 10)
        answers = {"label": label_n, "predicted": predicted_n, "confidence": sure_n}
        answers["log_likelihood"] = np.log(np.where(right_n, sure_n, (1 - sure_n) / 9))
        predictions.append(pd.DataFrame({**cell, "sample_id": np.arange(sequences), "length": length_n, **answers}))
        names = [(split, metric) for split in ("train", "validation", "test") for metric in ("accuracy", "loss")]
        for split, metric in names:
            values = 1 - 1 / (1 + np.arange(1, ANALYSED_EPOCHS + 1) + generator.random(ANALYSED_EPOCHS))
            line = {**cell, "epoch": range(1, ANALYSED_EPOCHS + 1), "split": split, "metric": metric}
            curves.append(pd.DataFrame({**line, "value": values}))
        accuracy = float(right_n.mean())
        identity = dict.fromkeys(("config_hash", "code_digest"), model)
        identity |= dict.fromkeys(
            ("dataset", "data_digest", "shared_code_digest", "torch_version", "precision", "device"), "-"
        )
        accuracies = dict.fromkeys(("best_accuracy", "final_accuracy", "test_accuracy"), accuracy)
        numbers = {
            "parameters": 1000,
            "best_epoch": 1,
            "epochs": ANALYSED_EPOCHS,
            "epoch_seconds": 1.0,
            "total_seconds": 1.0,
        }
        rows.append({**cell, "status": "FINISHED", **identity, **accuracies, **numbers})
    return Results(
        pd.DataFrame(rows),
        pd.concat(curves, ignore_index=True),
        pd.concat(predictions, ignore_index=True),
        plan=Plan(),
    )
