"""Costs of tracking: the same training with MLflow on SQLite and with the tracker in memory, in alternation."""

import time
from collections.abc import Callable
from itertools import count

from pipeline.bench.lines import Line, at_most, ratios
from pipeline.bench.rounds import TINY, alternate, workplace
from pipeline.bench.training import side
from pipeline.estimate import EVALUATION_COST
from pipeline.settings import build_run
from pipeline.study import Cell
from pipeline.tracking import MemoryTracker, Tracker, connect
from pipeline.train import run_cell

ROUNDS, EPOCHS = 3, 50
SETTINGS = {**TINY, "train.epochs": EPOCHS}
"""Settings of a short training, so that the cost of tracking, which does not depend on it, is visible."""
MLFLOW, MEMORY = "50 epochs with MLflow on SQLite", "50 epochs with the tracker in memory"
STUDY_TRAIN, STUDY_EVALUATED = 8000, 3000
"""Number of images that the quick study trains on and evaluates, for which the ratio is computed."""


def tracking_lines(*, quick: bool) -> list[Line]:
    """Return both sides, the seconds that MLflow adds to a run, and their share of a run of the quick study of as many epochs."""
    del quick  # fifty epochs take too long: the section is left out of the quick benchmark
    train = side("position", 4, ROUNDS)
    images = STUDY_TRAIN + EVALUATION_COST * STUDY_EVALUATED
    epoch = [train() / (4 * 128) * images for _ in range(ROUNDS + 1)][1:]
    with workplace(warm=True) as folder:
        sides = {MLFLOW: _training(connect("sqlite:///mlflow.db")), MEMORY: _training(MemoryTracker(folder / "memory"))}
        seconds = alternate(sides, ROUNDS)
    added = [tracked - bare for tracked, bare in zip(seconds[MLFLOW], seconds[MEMORY], strict=True)]
    study = tuple(1 + more / (EPOCHS * one) for more, one in zip(added, epoch, strict=True))
    return [
        *(Line(name=name, unit="s", values=tuple(values)) for name, values in seconds.items()),
        Line(name="with MLflow against in memory, this tiny training", unit="x", values=ratios(*seconds.values())),
        Line(name="added by MLflow to a run of 50 epochs", unit="s", values=tuple(added)),
        Line(
            name=f"with MLflow against in memory, 50 epochs of {STUDY_TRAIN:,} images",
            unit="x",
            values=study,
            target=at_most(1.02),
            note="computed from what is added and the speed of position",
        ),
    ]


def _training(tracker: Tracker) -> Callable[[], float]:
    """Return a function that trains the next seed as `train` does, and returns the seconds."""
    seeds = count()

    def run() -> float:
        cell = Cell("position", build_run({**SETTINGS, "seed": next(seeds)}))
        began = time.perf_counter()
        run_cell(cell, tracker, device="cpu", report=lambda *_: None)
        return time.perf_counter() - began

    return run
