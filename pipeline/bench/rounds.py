"""Rounds in which the sides of a comparison take turns, and empty folders to work in."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.console import Meter
from pipeline.data.base import data_folder
from pipeline.tracking import connect

ROUNDS, QUICK_ROUNDS = 7, 2
"""Number of timed rounds; one more is run first and discarded."""
FIRST_GUESS = 2.0
"""Estimated seconds of a round of one side until it has run once."""
STORE = "mlflow.db"
VARIABLES = (
    "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID", "OPTUNA_STORAGE",
    "EVENT_DATA_DIR",
)  # fmt: skip
"""Variables that are removed: they would make a benchmark use a store of the user's, or other data."""
TINY = {
    "data.name": "synthetic", "data.train_size": 32, "data.validation_size": 32, "data.test_size": 32,
    "model.hidden_dim": 4, "model.embedding.dim": 4, "train.epochs": 1,
}  # fmt: skip
"""Settings of a minimal training, so that the costs around it dominate."""

Seconds = Mapping[str, list[float]]
"""The seconds of each timed round, by side."""


def alternate(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Return the value that each side returns in each round, usually its seconds; a first round is discarded."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    steps = rounds + 1
    with Meter(dict.fromkeys(sides, steps), dict.fromkeys(sides, FIRST_GUESS), 1, unit="rounds") as meter:
        for turn in range(steps):
            # The side that begins changes over the rounds: otherwise the side after an expensive one would always suffer from it.
            first = turn * len(sides) // steps
            for name, run in [*sides.items()][first:] + [*sides.items()][:first]:
                taken = run()
                meter.advance(name, taken, f"round {turn} of {rounds}, {name} {taken:.2f} s")
                if turn:
                    seconds[name].append(taken)
    return seconds


@contextlib.contextmanager
def workplace(*, warm: bool = False) -> Iterator[Path]:
    """Work in an empty folder, or with `warm` in one with a prepared store, without variables that name another store."""
    data = data_folder().resolve()
    before = {name: os.environ.pop(name) for name in VARIABLES if name in os.environ}
    os.environ["EVENT_DATA_DIR"] = str(data)
    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        if warm:
            shutil.copy(_ready_store(), STORE)
        try:
            yield Path(folder)
        finally:
            for name in VARIABLES:
                os.environ.pop(name, None)
            os.environ.update(before)


@cache
def _ready_store() -> Path:
    """Return the file of an empty SQLite store, which exists until this process ends; copying it is faster than creating one."""
    folder = Path(_kept().name)
    with contextlib.chdir(folder):  # the default experiment stores its artifacts in the folder where it is created
        connect(f"sqlite:///{STORE}").find()
    return folder / STORE


@cache
def _kept() -> TemporaryDirectory[str]:
    return TemporaryDirectory()
