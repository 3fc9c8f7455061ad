"""What tracking costs as a store grows: calls and seconds of what every command does, at 10, 100 and 1,000 finished runs.

The runs are made up: they have the identities of real cells of a tiny study, and the artifacts that are read again.
The store is SQLite, asked directly and through a tracking server with artifacts of its own.
"""

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from pipeline.ablation.queue import DEFAULT_STORAGE, Queue
from pipeline.ablation.reading import load_ablation
from pipeline.compare import compare
from pipeline.console import say
from pipeline.errors import RunError
from pipeline.identity import identity
from pipeline.ls import LISTS
from pipeline.probes.tables import table_paths
from pipeline.run_record import PACKAGED
from pipeline.stored_study import find_study, load_results
from pipeline.study import Cell, Study, load_study
from pipeline.tracking import Tracker, connect

SIZES = (10, 100, 1000)
"""Numbers of finished runs."""
VARIANTS = 10
"""Variants of the made-up study: widths of the LSTM."""
CLAIMS = 9
"""Claims of a trial of which the median is shown."""
SERVER_SECONDS = 60.0
"""How long a tracking server may take to start."""
TINY = {
    "data.name": "synthetic", "data.train_size": 32, "data.validation_size": 32, "data.test_size": 32,
    "model.embedding.dim": 4, "train.epochs": 1,
}  # fmt: skip

Row = tuple[str, str, int, int, float]
"""Command, store, runs or trials, calls of the tracker, seconds."""


def time_tracking(sizes: tuple[int, ...] = SIZES) -> list[Row]:
    """Return calls and seconds of each command in each store at each size, n = 1, and the median of `CLAIMS` claims."""
    rows: list[Row] = []
    for size in sizes:
        with _workplace(), _server() as server:
            for store in ("sqlite:///mlflow.db", server):
                say(f"tracking: making up {size} runs for {store.split(':', maxsplit=1)[0]}")
                rows += _time_commands(size, store)
        rows.append(("claim of a trial", "SQLite", size, 0, statistics.median(time_claims(size))))
    return rows


def _time_commands(size: int, store: str) -> list[Row]:
    os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_EXPERIMENT_NAME"] = store, f"bench-{store[:4]}"
    study, tracker = _study(size), connect(store)
    make_up(study, tracker)
    name = "HTTP" if store.startswith("http") else "SQLite"
    commands: dict[str, Callable[[], object]] = {
        "compare, nothing to do": lambda: compare(study, tracker, workers=1, device="cpu"),
        "ls studies": LISTS["studies"],
        "analyze, reading the runs": lambda: load_results(find_study(tracker, study.id), tracker, allow_missing=False),
    }
    return [(command, name, size, *_measured(run)) for command, run in commands.items()]


def _measured(run: Callable[[], object]) -> tuple[int, float]:
    """Return the calls of any tracker and the seconds of what `run` does."""
    with _counted() as calls:
        began = time.perf_counter()
        with contextlib.redirect_stdout(None):
            run()
        seconds = time.perf_counter() - began
    return calls.total(), seconds


@contextlib.contextmanager
def _counted() -> Iterator[Counter[str]]:
    """Count the calls of the verbs of every MLflow tracker."""
    from pipeline.tracking.mlflow_tracker import MlflowTracker  # noqa: PLC0415 - importing MLflow takes seconds

    calls: Counter[str] = Counter()

    def counting(verb: str, method: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            calls[verb] += 1
            return method(*args, **kwargs)

        return call

    verbs = {verb: getattr(MlflowTracker, verb) for verb in (*Tracker.__abstractmethods__, "fetch_all")}
    for verb, method in verbs.items():
        setattr(MlflowTracker, verb, counting(verb, method))
    try:
        yield calls
    finally:
        for verb, method in verbs.items():
            setattr(MlflowTracker, verb, method)


def _study(size: int) -> Study:
    """Return a study of so many cells."""
    tree = {
        "base": TINY,
        "variants": {f"width_{width}": {"model.hidden_dim": width} for width in range(2, 2 + VARIANTS)},
        "plan": {"family": "reference"},
        "seeds": list(range(size // VARIANTS)),
    }
    Path("bench.json").write_text(json.dumps(tree), encoding="utf-8")
    return load_study(Path("bench.json"))


def make_up(study: Study, tracker: Tracker) -> None:
    """Store a finished run for every cell of a study, with answers that are right at random."""
    generator = np.random.default_rng(0)
    with TemporaryDirectory() as scratch:
        for cell in study.cells():
            _make_up_run(cell, tracker, generator, Path(scratch))


def _make_up_run(cell: Cell, tracker: Tracker, generator: np.random.Generator, scratch: Path) -> None:
    splits = cell.config.data.load()
    tags = identity(cell.config, splits, "cpu") | {"model": cell.model, "dataset": cell.config.data.name}
    run_id = tracker.create(cell.name, tags={**tags, PACKAGED: "true"})
    labels = splits.test.labels.numpy()
    right = generator.random(len(labels)) < 0.9  # noqa: PLR2004 - any accuracy will do
    predicted = np.where(right, labels, (labels + 1) % splits.test.classes)
    answers = {"length": splits.test.lengths.numpy(), "label": labels, "predicted": predicted, "confidence": 0.9}
    answers["log_likelihood"] = np.log(np.where(right, 0.9, 0.1 / (splits.test.classes - 1)))
    predictions = pd.DataFrame({"sample_id": range(len(labels)), **answers})
    predictions.to_parquet(scratch / "predictions.parquet")
    accuracy = float(right.mean())
    row = {f"{split}/{what}": accuracy for split in ("train", "validation", "test") for what in ("accuracy", "loss")}
    (scratch / "history.json").write_text(json.dumps([{"epoch": 1, "seconds": 1.0, **row}]))
    (scratch / "classes.json").write_text(json.dumps(splits.test.class_names))
    (scratch / "config.json").write_text(cell.config.model_dump_json())
    scores = dict.fromkeys(("best_accuracy", "final_accuracy", "test_accuracy"), accuracy)
    counts = {"parameters": 100, "best_epoch": 1, "epochs": 1, "epoch_seconds": 1.0, "total_seconds": 1.0}
    tracker.log_metrics(run_id, scores | counts)
    for file in sorted(path for path in scratch.iterdir() if path.is_file()):
        tracker.log_file(run_id, file)
    for path in table_paths().values():
        table = scratch / path
        table.parent.mkdir(exist_ok=True)
        pd.DataFrame({"value": [accuracy]}).to_parquet(table)
        tracker.log_file(run_id, table, "probes")
    tracker.set_status(run_id, "FINISHED")


def time_claims(trials: int) -> list[float]:
    """Return the seconds of each of the first claims from a queue of so many waiting trials on SQLite."""
    tree = {"design": "random", "trials": trials, "train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
    with _workplace():
        Path("search.json").write_text(json.dumps(tree), encoding="utf-8")
        queue = Queue(load_ablation(Path("search.json")), DEFAULT_STORAGE)
        queue.fill()
        seconds = []
        for _ in range(CLAIMS):
            began = time.perf_counter()
            queue.claim()
            seconds.append(time.perf_counter() - began)
        queue.close()
    return seconds


@contextlib.contextmanager
def _workplace() -> Iterator[None]:
    """Work in an empty folder, with the variables of the store as they were afterwards."""
    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME")}
    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


@contextlib.contextmanager
def _server() -> Iterator[str]:
    """Run a tracking server with a SQLite store and artifacts of its own on loopback, and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", "sqlite:///server.db", "--artifacts-destination", str(Path("artifacts").resolve()),
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with Path("server.log").open("w", encoding="utf-8") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _await(f"http://127.0.0.1:{port}/health", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _await(address: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + SERVER_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):  # not there yet, or too busy to answer
            urllib.request.urlopen(address, timeout=1).close()  # noqa: S310 - the server started above
            return
        time.sleep(0.2)
    raise RunError(f"bench: a tracking server must answer at {address}, got none: {Path('server.log').read_text()}")
