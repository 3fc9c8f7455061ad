"""Rounds in which every side of a comparison takes its turn, and empty places to work in."""

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
"""Timed rounds; one more is run first and thrown away."""
FIRST_GUESS = 2.0
"""Seconds that a round of one side is taken for until it has run once."""
STORE = "mlflow.db"
VARIABLES = (
    "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID", "OPTUNA_STORAGE",
    "EVENT_DATA_DIR",
)  # fmt: skip
"""What would lead the work of a benchmark to a store of its user's, or away from the data."""
TINY = {
    "data.name": "synthetic", "data.train_size": 32, "data.validation_size": 32, "data.test_size": 32,
    "model.hidden_dim": 4, "model.embedding.dim": 4, "train.epochs": 1,
}  # fmt: skip
"""Settings of a training that is next to nothing, so that what is around it shows."""

Seconds = Mapping[str, list[float]]
"""The seconds of each timed round, by side."""


def alternate(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Return what each side gives in each round, which is the seconds it took, but in a first round thrown away."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    steps = rounds + 1
    with Meter(dict.fromkeys(sides, steps), dict.fromkeys(sides, FIRST_GUESS), 1, unit="rounds") as meter:
        for turn in range(steps):
            # Each round begins with another side: whoever comes after a heavy one would pay for it every time.
            first = turn * len(sides) // steps
            for name, run in [*sides.items()][first:] + [*sides.items()][:first]:
                taken = run()
                meter.advance(name, taken, f"round {turn} of {rounds}, {name} {taken:.2f} s")
                if turn:
                    seconds[name].append(taken)
    return seconds


@contextlib.contextmanager
def workplace(*, warm: bool = False) -> Iterator[Path]:
    """Work in an empty folder, or one with a store of runs that is ready, where no variable names another store."""
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
    """Return an empty SQLite store, which takes seconds to make and none to copy; it lasts as long as this process."""
    folder = Path(_kept().name)
    with contextlib.chdir(folder):  # the default experiment keeps its artifacts where it was made
        connect(f"sqlite:///{STORE}").find()
    return folder / STORE


@cache
def _kept() -> TemporaryDirectory[str]:
    return TemporaryDirectory()
