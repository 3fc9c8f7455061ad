"""Costs of a store as it grows: calls and seconds of the commands, at 10, 100 and 1,000 finished runs.

The runs are made up: they have the identities of real cells of a tiny study, and the artifacts that commands read.
The store is SQLite, used directly and, up to 100 runs, through a tracking server with artifacts of its own.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from pipeline.ablation.queue import DEFAULT_STORAGE, Queue
from pipeline.ablation.reading import load_ablation
from pipeline.bench.lines import Line, at_most
from pipeline.bench.rounds import TINY, workplace
from pipeline.comparison import compare
from pipeline.console import Meter, say
from pipeline.errors import RunError
from pipeline.evidence import Evidence
from pipeline.identity import identity
from pipeline.ls import LISTS
from pipeline.probes.tables import table_paths
from pipeline.run_record import PACKAGED
from pipeline.stored_study import find_study, load_results
from pipeline.study import Cell, Study, load_study
from pipeline.tracking import Tracker, connect

SIZES, HTTP_SIZES = (10, 100, 1000), (10, 100)
"""Numbers of finished runs, in SQLite and on a tracking server, where making up a run takes half a second."""
RECOGNISED = at_most(10)
"""Target of a study whose cells are all finished, at the largest size."""
VARIANTS = 10
"""Variants of the made-up study: widths of the LSTM."""
RUN_SECONDS = 0.2
"""Estimated seconds of making up a run, until the first is made."""
CLAIMS = 9
"""Number of claims of a trial whose median is shown."""
SERVER_SECONDS = 60.0
"""How long a tracking server may take to start."""


def store_lines(*, quick: bool) -> list[Line]:
    """Return the seconds of each command in each store at each size, measured once, and of claims from queues of these sizes."""
    del quick  # making up the runs takes minutes: the section is left out of the quick benchmark
    lines: list[Line] = []
    with workplace(warm=True):
        lines += _time_store("sqlite:///mlflow.db", "SQLite", SIZES)
    with workplace(warm=True), _server() as server:
        lines += _time_store(server, "HTTP", HTTP_SIZES)
    for size in SIZES:
        lines.append(Line(name=f"claim of one of {size:,} trials, SQLite", unit="s", values=tuple(time_claims(size))))
    return lines


def _time_store(uri: str, name: str, sizes: Sequence[int]) -> list[Line]:
    """Time the commands in one store, to which runs are added from size to size."""
    os.environ["MLFLOW_TRACKING_URI"], os.environ["MLFLOW_EXPERIMENT_NAME"] = uri, f"bench-{name}"
    tracker, lines, done = connect(uri), list[Line](), 0
    for size in sizes:
        study = _study(size)
        say(f"making up {size:,} finished runs, {name}")
        make_up(study.cells()[done:], tracker)
        done = size
        commands: dict[str, Callable[[], object]] = {
            "compare, nothing to do": partial(compare, study, tracker, workers=1, device="cpu"),
            "ls studies": LISTS["studies"],
            "analyze, reading the runs": partial(_read, study.id, tracker),
        }
        lines += [
            _line(f"{command}: {size:,} runs, {name}", size, *_measured(run)) for command, run in commands.items()
        ]
    return lines


def _read(study_id: str, tracker: Tracker) -> object:
    return load_results(find_study(tracker, study_id), tracker, allow_missing=False)


def _line(name: str, size: int, calls: int, seconds: float) -> Line:
    note = f"{calls:,} calls, {1000 * seconds / size:.1f} ms a run"
    target = RECOGNISED if size == max(SIZES) and name.startswith("compare") else None
    return Line(name=name, unit="s", values=(seconds,), note=note, target=target)


def _measured(run: Callable[[], object]) -> tuple[int, float]:
    """Return the number of tracker calls and the seconds of `run`."""
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
    """Return a study of `size` cells."""
    tree = {
        "base": TINY,
        "variants": {f"width_{width}": {"model.hidden_dim": width} for width in range(2, 2 + VARIANTS)},
        "plan": {"family": "reference"},
        "seeds": list(range(size // VARIANTS)),
    }
    Path("bench.json").write_text(json.dumps(tree), encoding="utf-8")
    return load_study(Path("bench.json"))


def make_up(cells: Sequence[Cell], tracker: Tracker) -> None:
    """Store a finished run for every cell, with randomly correct predictions, and the same tables for all runs."""
    generator = np.random.default_rng(0)
    with TemporaryDirectory() as folder, Meter({"": len(cells)}, {"": RUN_SECONDS}, 1, unit="runs") as meter:
        scratch = Path(folder)
        for path in table_paths().values():
            (scratch / path).parent.mkdir(exist_ok=True)
            pd.DataFrame({"value": [1.0]}).to_parquet(scratch / path)
        for cell in cells:
            began = time.perf_counter()
            _make_up_run(cell, tracker, generator, scratch)
            meter.advance("", time.perf_counter() - began, cell.name)


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
    (scratch / "environment.json").write_text(json.dumps(tags))
    (scratch / "train.log").write_text("epoch 1\n")
    scores = dict.fromkeys(("best_accuracy", "final_accuracy", "test_accuracy"), accuracy)
    counts = {"parameters": 100, "best_epoch": 1, "epochs": 1, "epoch_seconds": 1.0, "total_seconds": 1.0}
    tracker.log_metrics(run_id, scores | counts)
    evidence = Evidence(tracker, run_id)
    for file in sorted(path for path in scratch.iterdir() if path.is_file()):
        evidence.log_file(file)
    for path in table_paths().values():
        evidence.log_file(scratch / path, "probes")
    evidence.seal()
    tracker.set_status(run_id, "FINISHED")


def time_claims(trials: int) -> list[float]:
    """Return the seconds of each of the first claims from a queue of `trials` waiting trials on SQLite."""
    tree = {"design": "random", "trials": trials, "train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
    with workplace():
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
def _server() -> Iterator[str]:
    """Run a tracking server on loopback, with an SQLite store and artifacts of its own, and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", "sqlite:///mlflow.db", "--artifacts-destination", str(Path("artifacts").resolve()),
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
