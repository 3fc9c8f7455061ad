"""The driver's side of a Ray cluster: the process that distributes the tasks."""

import os
import pickle
import signal
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray import exceptions as ray_errors
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.cluster.node import Line, Mailbox, do, examine, share_tensors, versions
from pipeline.console import say
from pipeline.errors import RunError, UsageError, one_line
from pipeline.launch import GRACE_SECONDS, ONE_THREAD, POLL_SECONDS, Notify
from pipeline.place import ROOT

Task = TypeVar("Task")
Result = TypeVar("Result")

CONNECT_SECONDS = 5.0
"""How long the head of a cluster may take to answer."""
CHECK_SECONDS = 120.0
"""How long a node may take to answer its examination: the first process there imports torch and MLflow."""
AGAIN_SECONDS = 2.0
"""Seconds after which an interrupt is sent again to a task that has not ended."""
SLOTS_SECONDS = 2.0
"""Seconds between two counts of the nodes, because nodes can join and leave."""
MOST_LOSSES = 3
"""How often a task may lose its worker before it is given up: its own work may be what kills the process."""
GIGABYTE = 10**9
LOST = (
    ray_errors.WorkerCrashedError,
    ray_errors.NodeDiedError,
    ray_errors.ObjectLostError,
    ray_errors.LocalRayletDiedError,
)
"""Errors of Ray for a worker or node that is lost."""
HANDED = ("MLFLOW_", "PG", "AWS_", "OPTUNA_", "EVENT_", "ONEDNN_", "NUMBA_")
"""Prefixes of the variables that a task gets from the driver's environment."""


@dataclass(frozen=True)
class Demand:
    """The resources that a task needs."""

    gpus: float = 0.0
    gigabytes: float = 1.0

    def fits(self, resources: Mapping[str, float]) -> int:
        """Return how many tasks a node can run at once."""
        counts = [resources.get("CPU", 0), resources.get("memory", 0) / (self.gigabytes * GIGABYTE)]
        counts += [resources.get("GPU", 0) / self.gpus] if self.gpus else []
        return int(min(counts) + 1e-6)  # against rounding: 1 / 0.1 must give 10

    def options(self) -> dict[str, Any]:
        """Return the demand as options of a Ray task."""
        return {"num_cpus": 1, "num_gpus": self.gpus, "memory": int(self.gigabytes * GIGABYTE)}


@contextmanager
def connected(demand: Demand, cpus: int) -> Iterator["Cluster"]:
    """Connect to the cluster that RAY_ADDRESS names, or start one with `cpus` CPUs on this machine, while the context is open.

    UsageError if the cluster does not answer, has another version of Ray, or has no node with enough resources.
    """
    address = os.environ.get("RAY_ADDRESS") or "local"
    _check_address(address)
    before = signal.getsignal(signal.SIGTERM)
    more: dict[str, Any] = {"num_cpus": cpus, "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(
            address,
            log_to_driver=False,
            logging_level="ERROR",
            # Workers import the project from the driver's folder if the node has that folder, otherwise from the node's installation.
            job_config=ray.job_config.JobConfig(_py_driver_sys_path=[str(ROOT)]),
            **more,
        )
    except (ConnectionError, RuntimeError, ValueError, ray_errors.RayError) as error:
        raise _no_answer(address, " ".join(str(error).split())[:300]) from None
    try:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray has replaced the handler
        share_tensors()
        cluster = Cluster(demand)
        cluster.check_demand()
        yield cluster
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    if address in ("local", "auto"):
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise UsageError(
            f"RAY_ADDRESS: must be HOST:PORT, auto or local, got {address}. Run the command on a machine of the cluster, "
            "with the address that `ray start --head` printed."
        )
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_answer(address, one_line(error)) from None


def _no_answer(address: str, got: str) -> UsageError:
    return UsageError(
        f"RAY_ADDRESS: must be a Ray cluster that answers, with the same Ray and Python, got {address} ({got}). "
        "Start it, or unset the variable to use a cluster of this machine."
    )


class Cluster:
    """A cluster to which this process is connected."""

    def __init__(self, demand: Demand) -> None:
        """Run tasks that need `demand`."""
        self._demand = demand
        self._work = ray.remote(do).options(max_retries=0, scheduling_strategy="SPREAD", **demand.options())
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._mailbox = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()
        self._data: list[tuple[Any, Any]] = []
        self._counted = (0.0, 0)

    @property
    def places(self) -> list[str]:
        """The address of a node for each task that can run at the same time."""
        return [node["NodeManagerAddress"] for node in _nodes() for _ in range(self._demand.fits(node["Resources"]))]

    @property
    def slots(self) -> int:
        """Number of tasks that can run at the same time, as of the last count, at most `SLOTS_SECONDS` ago."""
        if time.monotonic() - self._counted[0] > SLOTS_SECONDS:
            self._counted = time.monotonic(), len(self.places)
        return self._counted[1]

    def check_demand(self) -> None:
        """Raise UsageError if no node has the demanded resources."""
        if self.places:
            return
        most = {
            name: max((node["Resources"].get(name, 0) for node in _nodes()), default=0) for name in ("GPU", "memory")
        }
        if self._demand.gpus > most["GPU"]:
            raise UsageError(
                f"--gpus-per-run: must be what a node of the cluster has, got {self._demand.gpus:g} with at most {most['GPU']:g}. "
                "Leave it out to train on CPUs, or start a node with a GPU."
            )
        raise UsageError(
            f"--memory-per-run: must be what a node of the cluster has beside a CPU, got {self._demand.gigabytes:g} GB with at "
            f"most {most['memory'] / GIGABYTE:.1f} GB. Give less, or start a larger node."
        )

    def check(self, connection: object, folders: Sequence[Path], facts: Callable[[], Mapping[str, str]]) -> None:
        """Raise UsageError if a node has other versions, computes differently, or does not see the store or a folder.

        `connection` provides the `tracker` on a node; every process that shares the store must see `folders`. `facts` describes how
        a machine computes, and must return the same on all nodes.
        """
        with _marked(folders) as marks:
            asked = pickle.dumps((connection, marks, facts))
            examination = ray.remote(examine)
            refs = {
                examination.options(
                    num_cpus=0,
                    num_gpus=self._demand.gpus,  # a task without a GPU does not see the GPUs of its node
                    max_retries=0,
                    scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
                ).remote(_environment(), str(Path.cwd()), asked): node["NodeManagerAddress"]
                for node in _nodes()
                if self._demand.fits(node["Resources"])
            }
            ready, late = ray.wait(list(refs), num_returns=len(refs), timeout=CHECK_SECONDS)
            if late:
                raise _unfit(refs[late[0]], "answer", f"nothing in {CHECK_SECONDS:.0f} s", "Restart the node.")
            for ref in ready:
                try:
                    found, wrong = ray.get(ref)
                except ray_errors.RayError as error:
                    raise _unfit(
                        refs[ref], "be able to import the project", f"{one_line(error)[:300]}",
                        "Put the project there, at the same path or on PYTHONPATH, with the packages of requirements.lock.",
                    ) from None  # fmt: skip
                _check_facts(refs[ref], {**versions(), **facts()}, found)
                if wrong:
                    raise _unfit(refs[ref], *wrong)

    def hand_over(self, configs: Iterable[Any]) -> None:
        """Put the data of these configs into the cluster's object store, which holds them once on each node."""
        self._data = [(config, ray.put(config.load())) for config in configs]

    def run_tasks(
        self, tasks: Iterable[Task], work: Callable[[Task, Notify], Result], *, workers: int, notify: Notify
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """Run tasks on the nodes, as many at a time as fit; `workers`, the number of slots at the start, is not used.

        An interrupt of this process interrupts the tasks.
        """
        del workers
        offered = iter(tasks)
        running: dict[Any, tuple[Task, int]] = {}  # each task with the number of workers that it has lost
        lost = deque[tuple[Task, int]]()
        try:
            while True:
                slots = self.slots
                given = [lost.popleft() for _ in range(min(len(lost), slots - len(running)))]
                given += [(task, 0) for task in islice(offered, max(0, slots - len(running) - len(given)))]
                running |= {self._submit(work, task): (task, losses) for task, losses in given}
                if not slots and (running or lost or next(offered, None) is not None):
                    raise RunError(
                        "--launcher: must have a node with room for a run to the end, got a cluster without any. "
                        "Start a node and run the same command again, it goes on."
                    )
                if not running:
                    return
                done, _ = ray.wait(list(running), timeout=POLL_SECONDS, fetch_local=False)
                self._hear(notify)
                for ref in done:
                    task, losses = running.pop(ref)
                    result = _result(ref, losses)
                    if isinstance(result, _Lost):
                        say(
                            "a worker of the cluster was lost: what it did goes on elsewhere, from what is in the store"
                        )
                        lost.append((task, losses + 1))
                    else:
                        yield task, result
        finally:
            if running:
                self._end(list(running))
                with suppress(ray_errors.RayError):
                    self._hear(lambda _: None)

    def _submit(self, work: Callable[[Task, Notify], Result], task: Task) -> Any:  # noqa: ANN401 - Ray's
        payload = pickle.dumps((work, task, [config for config, _ in self._data]))
        data = [ref for _, ref in self._data]
        return self._work.remote(_environment(), str(Path.cwd()), payload, data, self._mailbox)

    def _hear(self, notify: Notify) -> None:
        for message in map(pickle.loads, ray.get(self._mailbox.take.remote())):
            say(message.text) if isinstance(message, Line) else notify(message)

    @staticmethod
    def _end(refs: list[Any]) -> None:
        """Interrupt tasks, and kill the processes of those that have not closed their runs in time.

        Ray 2.60 loses some interrupts of a busy process, so they are sent again; a task reacts only to the first that arrives.
        """
        still, ends = refs, time.monotonic() + GRACE_SECONDS
        while still and time.monotonic() < ends:
            for ref in still:
                ray.cancel(ref, force=False)
            _, still = ray.wait(still, num_returns=len(still), timeout=AGAIN_SECONDS, fetch_local=False)
        for ref in still:
            ray.cancel(ref, force=True)


class _Lost:
    """Stands for the result of a task that lost its worker and must be tried again."""


def _result(ref: Any, losses: int) -> Any:  # noqa: ANN401 - of any task
    """Return the result of a task, the error that ended it, or `_Lost`; `losses` counts the workers that it lost before."""
    try:
        return pickle.loads(ray.get(ref))  # noqa: S301 - of our own worker
    except LOST as error:
        if losses + 1 < MOST_LOSSES:
            return _Lost()
        return _ended(f"one lost {MOST_LOSSES} times, the last time by {one_line(error)}")
    except ray_errors.RayError as error:
        return _ended(one_line(error))


def _ended(got: str) -> RunError:
    return RunError(
        f"worker: must live to the run's end, got {got.rstrip('.')}. If its memory did not suffice, raise --memory-per-run; "
        "run the same command again, it goes on."
    )


def _nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _unfit(node: str, must: str, got: str, remedy: str) -> UsageError:
    return UsageError(f"node {node}: must {must}, got {got}. {remedy}")


def _check_facts(node: str, here: Mapping[str, str], there: Mapping[str, str]) -> None:
    for name, value in here.items():
        if there.get(name) != value:
            raise _unfit(
                node, f"have the same {name} as this machine, {value}", there.get(name, "none"),
                "Make them alike, or leave the node out.",
            )  # fmt: skip


@contextmanager
def _marked(folders: Sequence[Path]) -> Iterator[dict[Path, str]]:
    """Put a file into each folder while the context is open, by which nodes can tell that they see the same folder."""
    marks = {folder / f".seen-{uuid.uuid4().hex}": uuid.uuid4().hex for folder in folders}
    with ExitStack() as made:
        for file, content in marks.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
            made.callback(file.unlink, missing_ok=True)
        yield marks


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(HANDED)} | ONE_THREAD
