"""Measures what a cell costs beside its training: `.venv/bin/python -m scripts.cluster_costs`, a few minutes.

100 tiny cells are trained by the local launcher, and by Ray on clusters of one and of two nodes, all on this machine. The time
that a worker spends between the cells is the launcher's. docs/cluster.md has what came out.

`--cells` is their number, `--only` what is measured: local, ray1, ray2, store, or pair. `store` counts the calls of a cell to the
store that MLFLOW_TRACKING_URI names, or else to an SQLite one; with `--server PID` it says how long the processors of this machine
worked in that process and in those that it started. `pair` trains four cells of so many `--epochs` with one and with two workers in
turn, in `--rounds`, which needs a machine with nothing else to do.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, chdir, contextmanager, suppress
from dataclasses import dataclass
from functools import partial, wraps
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from subprocess import DEVNULL, run
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from pipeline.comparison import compare
from pipeline.console import say
from pipeline.launch import ONE_THREAD, Launch, Notify, run_tasks
from pipeline.place import ROOT
from pipeline.stored_study import runs_of
from pipeline.study import Study, load_study
from pipeline.tracking import Connection, connect
from pipeline.tracking.mlflow_tracker import MlflowTracker

TINY = {
    "data.name": "synthetic",
    "data.train_size": 32,
    "data.validation_size": 16,
    "data.test_size": 32,
    "model.embedding.dim": 4,
    "model.hidden_dim": 4,
    "train.epochs": 2,
}
REAL = {"data.name": "mnist_sample", "data.validation_size": 50, "train.precision": "fp32"}
FEW, MANY = 2, 22
"""Epochs of the cells that measure the store; the difference of their costs is the cost of the additional epochs."""
KINDS = ("local", "ray1", "ray2", "store", "pair")


def timed(work: Callable[[Any, Notify], Any], task: object, notify: Notify) -> tuple["Span", Any]:
    """Do a task; return when and by which process it was done, and its result."""
    began = time.time()
    result = work(task, notify)
    return Span(os.getpid(), began, time.time()), result


@dataclass(frozen=True)
class Span:
    """When a process worked on a task, in seconds since 1970."""

    process: int
    began: float
    ended: float


class Clock:
    """A launcher that records when each worker worked."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self.spans: list[Span] = []

    def __call__(
        self, tasks: Iterable[Any], work: Callable[[Any, Notify], Any], *, workers: int, notify: Notify
    ) -> Iterator[tuple[Any, Any]]:
        """Launch the tasks."""
        for task, result in self._launch(tasks, partial(timed, work), workers=workers, notify=notify):
            if isinstance(result, Exception):
                raise result
            self.spans.append(result[0])
            yield task, result[1]

    @property
    def worked(self) -> list[float]:
        """Seconds of work for each task."""
        return [span.ended - span.began for span in self.spans]

    @property
    def between(self) -> list[float]:
        """Seconds between a task and the next task of the same worker."""
        spans = sorted(self.spans, key=lambda span: (span.process, span.began))
        return [after.began - before.ended for before, after in pairwise(spans) if before.process == after.process]


def main() -> None:
    """Run the measurements, and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=100)
    parser.add_argument("--only", default=",".join(KINDS[:-1]))
    parser.add_argument("--server", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    os.environ.update(ONE_THREAD)  # as every command does; otherwise each of two workers uses both cores
    torch.set_num_threads(1)
    for kind in given.only.split(","):
        with TemporaryDirectory() as folder, chdir(folder):
            if kind == "store":
                measure_store(given.cells, given.server)
            elif kind == "pair":
                measure_pair(given.epochs, given.rounds)
            else:
                study = load_study(None, models=["none"], seeds=list(range(given.cells)), overrides=TINY)
                measure_launcher(kind, study)


def measure_launcher(kind: str, study: Study) -> None:
    """Print the cost of a launcher per cell."""
    with ExitStack() as held:
        launch, workers = (run_tasks, 2) if kind == "local" else held.enter_context(cluster(int(kind[-1]), study))
        clock, began = Clock(launch), time.monotonic()
        compare(study, connect(), workers=workers, device="cpu", launch=clock)
        whole = time.monotonic() - began
    say(
        f"{kind}, {workers} worker(s): {fmean(clock.between):.3f} s of the launcher a cell (at most {max(clock.between):.3f}), "
        f"{median(clock.worked):.2f} s of work; "
        f"{len(clock.worked)} cells in {whole:.0f} s"
    )


@contextmanager
def cluster(nodes: int, study: Study) -> Iterator[tuple[Launch, int]]:
    """Start a cluster of `nodes` nodes with one CPU each."""
    from ray.cluster_utils import Cluster  # noqa: PLC0415 - needs Ray

    from pipeline.cluster.driver import Demand, connected  # noqa: PLC0415 - as above

    os.environ["PYTHONPATH"] = str(ROOT)
    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(nodes - 1):
        machines.add_node(num_cpus=1)
    os.environ["RAY_ADDRESS"] = machines.address
    try:
        with connected(Demand(gigabytes=0.1), 1) as door:
            tracker = connect()
            door.check(Connection(tracker), tracker.folders, dict)
            door.hand_over({config.data: None for config in study.variants.values()})
            yield door.run_tasks, door.slots
    finally:
        machines.shutdown()


def measure_store(cells: int, server: int) -> None:
    """Print the store calls of a cell, per cell and per epoch, and the cost of looking at all cells."""
    asked, depth = np.zeros(2), 0  # number of calls, and their seconds

    def noted(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - stands for any method
            nonlocal depth
            depth += 1
            began = time.monotonic()
            try:
                return method(*arguments, **named)
            finally:
                depth -= 1
                if not depth:
                    asked[:] += 1, time.monotonic() - began

        return call

    for name, method in list(vars(MlflowTracker).items()):
        if callable(method) and not name.startswith("_"):
            setattr(MlflowTracker, name, noted(method))
    tracker = connect()
    costs = []
    for epochs in (FEW, MANY):
        study = load_study(None, models=["none"], seeds=list(range(cells)), overrides={**TINY, "train.epochs": epochs})
        before = np.array([*asked, processor_seconds(server)])
        compare(study, tracker, workers=1, device="cpu")
        costs.append((np.array([*asked, processor_seconds(server)]) - before) / cells)
    epoch = (costs[1] - costs[0]) / (MANY - FEW)
    for what, (calls, seconds, busy) in {"a cell": costs[0] - FEW * epoch, "an epoch": epoch}.items():
        say(
            f"store {tracker.uri.partition(':')[0]}, {what}: {calls:.1f} calls, {seconds:.3f} s, {busy:.4f} s of its processors"
        )
    runs = [run.tags for run in tracker.find() if "cell" in run.tags]
    began, before_look = time.monotonic(), processor_seconds(server)
    found = runs_of(runs, tracker)
    say(
        f"a look at {len(found)} runs: {time.monotonic() - began:.2f} s, {processor_seconds(server) - before_look:.3f} s of the "
        "processors of the store"
    )


def processor_seconds(server: int) -> float:
    """Return the processor seconds of a process and of its children; 0 without a process."""
    if not server:
        return 0.0
    # Fields of /proc/PID/stat after the name: the 2nd is the parent, the 12th to 15th are user and system time, own and children's.
    stats = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            stats[int(file.parent.name)] = file.read_text().rpartition(")")[2].split()
    family, ticks = [server], 0
    for process in family:
        family += [other for other, fields in stats.items() if int(fields[1]) == process]
        ticks += sum(map(int, stats[process][11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def measure_pair(epochs: int, rounds: int) -> None:
    """Print how much a second worker speeds up the command, from its start to its end."""
    options = [f"--{name}={value}" for name, value in {**REAL, "train.epochs": epochs}.items()]
    command = [sys.executable, "-m", "pipeline", "compare", "--models=none,sincos,position,scalar", "--seeds=0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    efficiencies = []
    for round_ in range(rounds):
        spans = {}
        for workers in (1, 2):
            (folder := Path(f"{round_}-{workers}")).mkdir()
            began = time.monotonic()
            run([*command, *options, f"--workers={workers}"], cwd=folder, env=environment, stdout=DEVNULL, check=True)
            spans[workers] = time.monotonic() - began
            say(f"{workers} worker(s): 4 cells in {spans[workers]:.1f} s")
        efficiencies.append(spans[1] / spans[2] / 2)
    say(f"efficiency of two workers: {', '.join(f'{each:.2f}' for each in efficiencies)}")


if __name__ == "__main__":
    from scripts import cluster_costs  # by the module name under which workers find `timed`

    cluster_costs.main()
