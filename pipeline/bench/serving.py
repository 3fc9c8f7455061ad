"""Time of predictions of a stored model: in this process, and served by MLflow in another process, with one client."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path

import numpy as np

from pipeline.bench.lines import Line
from pipeline.bench.rounds import STORE, workplace
from pipeline.console import say
from pipeline.errors import RunError
from pipeline.inference import Inference
from pipeline.settings import build_run
from pipeline.study import Cell
from pipeline.tracking import connect
from pipeline.train import run_cell

ROUNDS, REQUESTS, BATCHES = 5, 200, 4
"""Number of timed rounds (one more is discarded), and per round, of requests of one sequence and of requests of many."""
MANY = 200
"""Sequences in a request of many: the test sequences of the small sample."""
SETTINGS = {"data.name": "mnist_sample", "model.embedding.name": "lete", "train.epochs": 1}

Times = list[list[float]]


def serving_lines(*, quick: bool) -> list[Line]:
    """Return, for both ways, the time of a request of one sequence, and the sequences per second of requests of many."""
    del quick  # a server takes ten seconds to start: the section is left out of the quick benchmark
    with workplace(warm=True) as folder:
        config, tracker = build_run(SETTINGS), connect(f"sqlite:///{STORE}")
        run_id = run_cell(Cell("lete", config), tracker, device="cpu", report=lambda *_: None).run_id
        model = f"runs:/{run_id}/lete"
        test = config.data.load().test
        rows = [test.times[a:b].tolist() for a, b in pairwise(test.offsets[: MANY + 1].tolist())]
        inference = Inference(*tracker.model_files(model))
        say("serving: starting a server")
        with served(model, folder / STORE) as port, contextlib.closing(HTTPConnection("127.0.0.1", port)) as client:
            lines = _lines("in this process", lambda asked: inference.answers({"times": asked}), rows)
            return lines + _lines("over HTTP", lambda asked: _post(client, asked), rows)


def _lines(side: str, ask: Callable[[Times], object], rows: Times) -> list[Line]:
    ones, many = [], []
    for _ in range(ROUNDS + 1):
        ones.append([1000 * _seconds(ask, [rows[number % len(rows)]]) for number in range(REQUESTS)])
        many.append(BATCHES * len(rows) / sum(_seconds(ask, rows) for _ in range(BATCHES)))
    median, late = np.quantile(ones[1:], (0.5, 0.99), axis=1).tolist()
    return [
        Line(name=f"one sequence {side}, p50", unit="ms", values=median),
        Line(name=f"one sequence {side}, p99", unit="ms", values=late),
        Line(name=f"{len(rows)} sequences a request {side}", unit="sequences/s", values=many[1:]),
    ]


def _seconds(ask: Callable[[Times], object], rows: Times) -> float:
    began = time.perf_counter()
    ask(rows)
    return time.perf_counter() - began


def _post(client: HTTPConnection, rows: Times) -> object:
    asked = json.dumps({"dataframe_split": {"columns": ["times"], "data": [[row] for row in rows]}})
    client.request("POST", "/invocations", asked, {"Content-Type": "application/json"})
    answer = client.getresponse()
    body = answer.read()
    if answer.status != 200:  # noqa: PLR2004 - OK
        raise RunError(f"bench: a server must answer, got status {answer.status}: {body.decode()}")
    return json.loads(body)


@contextlib.contextmanager
def served(model: str, store: Path) -> Iterator[int]:
    """Serve a model with MLflow in another process, in the folder of its SQLite store; yield the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    binaries = os.path.dirname(sys.executable)  # noqa: PTH120 - the folder of the environment; a Path would resolve the link
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{store}", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment |= {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--model-uri", model]
    command += ["--port", str(port), "--workers", "1"]
    log = store.parent / "serving.log"
    with log.open("w") as said:
        # The command starts the server, and the server a worker: they are ended as a process group.
        process = subprocess.Popen(
            command, cwd=store.parent, env=environment, stdout=said, stderr=said, start_new_session=True
        )
    try:
        while not _answers(port):
            if process.poll() is not None:
                raise RunError(f"mlflow models serve: must go on until it is ended, got: {log.read_text()}")
            time.sleep(0.1)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), contextlib.closing(HTTPConnection("127.0.0.1", port)) as client:
        client.request("GET", "/ping")
        return client.getresponse().status == 200  # noqa: PLR2004 - as above
    return False
