"""Working folders in which commands of the project run and are disturbed, and counts of the outcome."""

import ctypes
import json
import multiprocessing
import os
import re
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import analysis
import models
import pipeline

ROOT = Path(__file__).parents[2]
FULL = os.environ.get("FAULTS") == "all"
"""Whether to inject all faults (set by `make test-faults`) or a sample."""
COUNTED = {
    "faults": "faults injected", "survived": "survived", "expected": "rows expected", "found": "rows found",
    "duplicates": "duplicates", "lost": "lost", "changed": "silent changes",
}  # fmt: skip
"""The counts of a tally and their descriptions; the last three counts must be 0."""
COMPARE = ("compare", "--config", "tiny.json")
ABLATE = ("ablate", "--config", "ablation.json")
PR_CAPBSET_DROP, LINUX_CAPABILITY_VERSION_3 = 24, 0x20080522
"""Constants of linux/prctl.h and linux/capability.h."""
IMPORTED_LATE = ("mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store", "mlflow.tracing.provider")
"""Modules that MLflow imports on first use; importing them takes longer than most commands here."""
DEADLINE = 300.0
"""Longest wait for a condition in seconds; long enough for a loaded machine."""
MEASURED = re.compile("seconds|memory")
"""Names of measured metrics, which differ between runs with identical results."""
BASE = {
    "data.name": "synthetic", "data.train_size": 32, "data.validation_size": 16, "data.test_size": 32,
    "model.embedding.dim": 4, "model.hidden_dim": 4,
}  # fmt: skip


def wait_for(condition: Any, what: str, seconds: float = DEADLINE) -> Any:
    """Call the condition until it returns a true value, and return that; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited for {what} in vain"
        time.sleep(0.02)
    return value


class Tally:
    """Counts of faults and of rows, recorded in the report of the test that uses the tally."""

    def __init__(self, record: Any) -> None:
        self._record = record

    def add(self, **counts: int) -> None:
        for name, count in counts.items():
            assert name in COUNTED
            self._record(name, count)

    @contextmanager
    def fault(self) -> Iterator[None]:
        """Count a fault, and count it as survived if the block raises nothing."""
        self.add(faults=1)
        yield
        self.add(survived=1)

    def compare(self, found: Counter[tuple[Any, ...]], expected: Counter[tuple[Any, ...]], changed: int = 0) -> None:
        """Compare rows with those of an undisturbed run, count the differences, and fail on any."""
        lost, more = (expected - found).total(), (found - expected).total()
        self.add(expected=expected.total(), found=found.total(), duplicates=more, lost=lost, changed=changed)
        assert (lost, more, changed) == (0, 0, 0), (expected - found, found - expected)


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    error: str

    def check(self, code: int = 0) -> "Ended":
        assert self.code == code, f"exit code {self.code}, not {code}\n{self.out[-3000:]}\n{self.error[-6000:]}"
        assert "Traceback" not in self.error, self.error
        return self

    def refused(self, *words: str, code: int = 2) -> str:
        """Check that a command ended with one error line in the project's format that contains `words`, and return the line."""
        self.check(code)
        lines = [line for line in self.error.splitlines() if line.startswith(("error: ", "failed: "))]
        assert len(lines) == 1, self.error
        assert " must " in lines[0], lines
        assert ", got " in lines[0], lines
        for word in words:
            assert word in lines[0], (word, lines[0])
        return lines[0]


@dataclass
class Running:
    """A running command, in its own process group."""

    process: multiprocessing.process.BaseProcess
    said: Path
    """Path without suffix of its output, in two files: `.out` and `.err`."""

    @property
    def pid(self) -> int:
        return self.process.pid or 0

    def ended(self) -> bool:
        return self.process.exitcode is not None

    def end(self, seconds: float = DEADLINE) -> Ended:
        self.process.join(seconds)
        code = self.process.exitcode
        assert code is not None, f"it still runs after {seconds} s: {self.text('out')}{self.text('err')}"
        return Ended(code, self.text("out"), self.text("err"))

    def text(self, stream: str) -> str:
        file = self.said.with_suffix(f".{stream}")
        return file.read_text(errors="replace") if file.exists() else ""

    def kill(self, whom: str, number: int = 0) -> None:
        """Kill the parent ("parent"), one of its workers ("worker"), or the whole process group ("both")."""
        workers = self.workers()
        if whom == "worker" and workers:
            send(workers[number % len(workers)], signal.SIGKILL)
        elif whom == "both":
            os.killpg(self.pid, signal.SIGKILL)
        else:
            send(self.pid, signal.SIGKILL)

    def workers(self) -> list[int]:
        """Return the ids of the worker processes, which are forked from the fork server among its children."""
        servers = [pid for pid in children(self.pid) if "forkserver" in command_of(pid)]
        return [worker for server in servers for worker in children(server)]


def send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def state_of(pid: int) -> str:
    """Return the state letter of a process from /proc; "" if the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _command(place: Mapping[str, Any], said: Path, arguments: Sequence[str]) -> None:
    """Run a command in this process, which was forked for this purpose."""
    from pipeline.__main__ import main  # noqa: PLC0415 - imported already

    os.setsid()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # as at a terminal, even if the tests run in the background
    if place["namespace"]:
        enter(place["namespace"])
    for number, stream in ((1, "out"), (2, "err")):
        os.dup2(os.open(said.with_suffix(f".{stream}"), os.O_WRONLY | os.O_CREAT, 0o644), number)
    os.environ.update(place["environment"])
    if place["bound"]:
        give_up_capabilities()
    os.chdir(place["folder"])
    tempfile.tempdir = None
    sys.exit(main(list(arguments)))


def enter(process: int) -> None:
    """Enter the user and mount namespaces of a process, so that its mounts are visible here."""
    libc = ctypes.CDLL(None, use_errno=True)
    for kind in ("user", "mnt"):
        with Path(f"/proc/{process}/ns/{kind}").open() as handle:
            assert libc.setns(handle.fileno(), 0) == 0, os.strerror(ctypes.get_errno())


def give_up_capabilities() -> None:
    """Drop all capabilities, so that file permissions apply to this process and its children even as root, who still owns its files."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):  # for child processes; the system refuses numbers that it does not know
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    header, none = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    assert libc.capset(header, none) == 0, os.strerror(ctypes.get_errno())


@cache
def forking() -> Any:
    """Return a forkserver context for starting commands; its server has imported all modules that the verbs import."""
    os.environ["PYTHONPATH"] = f"{ROOT}:{ROOT}/tests/faults"
    context = multiprocessing.get_context("forkserver")
    packages = (analysis, models, pipeline)
    found = [each.name for root in packages for each in walk_packages(root.__path__, f"{root.__name__}.")]
    context.set_forkserver_preload(["harness", *found, *IMPORTED_LATE])
    return context


@dataclass
class Place:
    """A working folder with a small study, its store, and the environment of its commands."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    namespace: int = 0
    """Id of a process in whose namespaces the commands run; 0 for none."""
    bound: bool = False
    """Whether file permissions apply to the commands even when root runs them."""
    running: list[Running] = field(default_factory=list)

    def study(self, *, models: tuple[str, ...] = ("none", "sincos"), seeds: int = 2, epochs: int = 3) -> None:
        """Write the study for the commands, and an ablation study with the default number of runs (two settings, `seeds` seeds)."""
        variants = {name: {"model.embedding.name": name} for name in models}
        content = {"base": {**BASE, "train.epochs": epochs}, "variants": variants, "seeds": list(range(seeds))}
        (self.folder / "tiny.json").write_text(json.dumps(content))
        grid = {"model.embedding.name": "sincos", "model.embedding.dim": [2, 4], "seeds": list(range(seeds))}
        (self.folder / "ablation.json").write_text(json.dumps({**BASE, "train.epochs": epochs, **grid}))

    def start(self, *arguments: str, **environment: str) -> Running:
        said = Path(tempfile.gettempdir()) / f"said-{os.getpid()}-{id(self)}-{len(self.running)}"
        place = {
            "folder": self.folder, "namespace": self.namespace, "bound": self.bound,
            "environment": {**os.environ, "PYTHONPATH": str(ROOT), **self.environment, **environment},
        }  # fmt: skip
        process = forking().Process(target=_command, args=(place, said, arguments))
        process.start()
        self.running.append(Running(process, said))
        return self.running[-1]

    def run(self, *arguments: str, **environment: str) -> Ended:
        return self.start(*arguments, **environment).end()

    def compare(self, workers: int = 1, **environment: str) -> Ended:
        return self.run(*COMPARE, "--workers", str(workers), **environment)

    def close(self) -> None:
        """End the commands that still run."""
        for each in self.running:
            if not each.ended():
                with suppress(ProcessLookupError):
                    os.killpg(each.pid, signal.SIGKILL)
                each.process.join()
            for stream in ("out", "err"):
                each.said.with_suffix(f".{stream}").unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------------- what a store holds


def rows(database: Path) -> dict[tuple[Any, ...], list[float]]:
    """Return the values of every metric of undeleted runs in an SQLite store, by run, metric and step."""
    asked = """SELECT runs.name, metrics.key, metrics.step, metrics.value FROM metrics JOIN runs USING (run_uuid)
        WHERE runs.lifecycle_stage = 'active'"""
    found: dict[tuple[Any, ...], list[float]] = {}
    for *key, value in ask(database, asked):
        found.setdefault(tuple(key), []).append(value)
    return found


def epochs_in(database: Path) -> int:
    """Return how many epochs a store has recorded; 0 if it does not exist yet."""
    if not database.exists():
        return 0
    try:
        return int(ask(database, "SELECT count(*) FROM metrics WHERE key = 'train/epoch'")[0][0])
    except sqlite3.OperationalError:  # it is being created
        return 0


def ask(database: Path, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as connection:
        return connection.execute(question).fetchall()


def check_same(tally: Tally, database: Path, twin: Path, server: str = "") -> None:
    """Compare a store with that of an undisturbed study: every run and row occurs once, with the same value and the same weights.

    `server` is the address from which to read its files, if they are not in the store's folder.
    """
    found, wanted = rows(database), rows(twin)
    changed = sum(
        not MEASURED.search(key[1]) and any(value != wanted[key][0] for value in values)
        for key, values in found.items()
        if key in wanted
    )
    weights = digests(server or f"sqlite:///{database}"), digests(f"sqlite:///{twin}")
    changed += sum(weights[0].get(file) != digest for file, digest in weights[1].items())
    counts, expected = (Counter({key: len(values) for key, values in each.items()}) for each in (found, wanted))
    for one, other in ((database, counts), (twin, expected)):
        runs = ask(one, "SELECT name, status FROM runs WHERE lifecycle_stage = 'active'")
        other.update(("run", *run) for run in runs)
    tally.compare(counts, expected, changed)


def digests(uri: str) -> dict[str, str]:
    """Return a digest of the weights of each run of a store, by run."""
    import torch  # noqa: PLC0415

    from pipeline.config import digest_of  # noqa: PLC0415
    from pipeline.tracking import connect  # noqa: PLC0415

    tracker = connect(uri)
    found = {}
    for run in tracker.find(status="FINISHED"):
        if "cell" in run.tags:
            model = torch.load(tracker.fetch(run.id, "checkpoints/best.pt"), weights_only=True)["model"]
            found[run.name] = digest_of({key: weight.numpy().tobytes().hex() for key, weight in model.items()})
    return found
