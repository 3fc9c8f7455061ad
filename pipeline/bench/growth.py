"""Growth of time with size: four points per axis, and the exponent of the power law fitted by least squares on logarithms."""

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from pipeline.bench.lines import Line, at_most
from pipeline.bench.rounds import QUICK_ROUNDS, TINY, alternate, workplace
from pipeline.bench.training import first_sequences
from pipeline.comparison import compare
from pipeline.config import RunConfig
from pipeline.data import EventDataset, Splits
from pipeline.settings import build_run
from pipeline.study import load_study
from pipeline.tracking import connect
from pipeline.training.loop import fit
from pipeline.training.start import start

ROUNDS = 3
SEQUENCES, LENGTHS, WIDTHS, RUNS = (256, 512, 1024, 2048), (32, 64, 128, 256), (32, 64, 128, 256), (1, 2, 4, 8)
"""The points of each axis: training sequences, events per sequence, width of the LSTM, and seeds or models."""
QUICK_SEQUENCES, QUICK_WIDTHS = (64, 128, 256, 512), (16, 32, 64, 128)
FIXED = 256
"""Sequences of an epoch on the axes of other sizes."""
QUICK_FIXED = 64
HORIZON = 784
Sides = Mapping[int, Callable[[], float]]
"""Functions that return seconds, by the size that grows."""


def growth_lines(*, quick: bool) -> list[Line]:
    """Return the exponent of each axis, followed by its points."""
    rounds, fixed = (QUICK_ROUNDS, QUICK_FIXED) if quick else (ROUNDS, FIXED)
    sequences, widths = (QUICK_SEQUENCES, QUICK_WIDTHS) if quick else (SEQUENCES, WIDTHS)
    lines = [
        *_axis("sequences", {count: _by_sequences(count, rounds) for count in sequences}, rounds),
        *_axis("events of each", {length: _by_length(length, fixed, rounds) for length in LENGTHS}, rounds),
        *_axis("width", {width: _by_width(width, fixed, rounds) for width in widths}, rounds, linear=False),
    ]
    if not quick:
        for axis in ("seeds", "models"):
            seconds = {count: [_time_study(**{axis: count})] for count in RUNS}
            lines += lines_of_axis(axis, seconds)
    return lines


def _axis(axis: str, sides: Sides, rounds: int, *, linear: bool = True) -> list[Line]:
    seconds = alternate({f"{axis}: {count:,}": run for count, run in sides.items()}, rounds)
    return lines_of_axis(axis, dict(zip(sides, seconds.values(), strict=True)), linear=linear)


def lines_of_axis(axis: str, seconds: Mapping[int, list[float]], *, linear: bool = True) -> list[Line]:
    """Return the exponent and the points of an axis; a `linear` axis has the target that time grows at most linearly."""
    target = at_most(1.05) if linear else None
    exponents = Line(name=f"{axis}: exponent", unit="", values=exponents_of(seconds), target=target)
    points = [Line(name=f"{axis}: {count:,}", unit="s", values=tuple(values)) for count, values in seconds.items()]
    return [exponents, *points]


def exponents_of(seconds: Mapping[int, list[float]]) -> tuple[float, ...]:
    """Return, for each round, the slope of the least-squares line through the logarithms of sizes and seconds."""
    rounds = zip(*seconds.values(), strict=True)
    return tuple(float(np.polyfit(np.log(list(seconds)), np.log(values), 1)[0]) for values in rounds)


def _by_sequences(count: int, rounds: int) -> Callable[[], float]:
    config = build_run({"train.epochs": rounds + 1})
    return _epochs(config, first_sequences(config, count))


def _by_length(length: int, count: int, rounds: int) -> Callable[[], float]:
    generator = torch.Generator().manual_seed(length)
    times = [torch.randperm(HORIZON, generator=generator)[:length].sort().values.numpy() for _ in range(count)]
    labels = np.arange(count) % 10
    train = EventDataset.from_lists(times, labels, classes=10, horizon=HORIZON, name=f"{length} events")
    one, none = torch.arange(1), torch.arange(0)
    return _epochs(build_run({"train.epochs": rounds + 1}), Splits(train, train.select(none), train.select(one)))


def _by_width(width: int, count: int, rounds: int) -> Callable[[], float]:
    config = build_run({"train.epochs": rounds + 1, "model.hidden_dim": width})
    return _epochs(config, first_sequences(config, count))


def _epochs(config: RunConfig, splits: Splits) -> Callable[[], float]:
    epochs = fit(start(config, splits, torch.device("cpu")), splits, config, "fp32")
    return lambda: next(epochs).seconds


def _time_study(*, seeds: int = 1, models: int = 1) -> float:
    """Return the seconds of a whole `compare` of tiny models in a new SQLite store, with one worker."""
    variants = {f"rate_{number}": {"train.learning_rate": 0.001 * number} for number in range(1, models + 1)}
    with workplace(warm=True):
        tracker = connect("sqlite:///mlflow.db")
        tree = {"base": TINY, "variants": variants, "seeds": list(range(seeds))}
        Path("growth.json").write_text(json.dumps(tree), encoding="utf-8")
        study = load_study(Path("growth.json"))
        began = time.perf_counter()
        with contextlib.redirect_stdout(None):
            compare(study, tracker, workers=1, device="cpu")
        return time.perf_counter() - began
