"""What a tracker is: a few verbs over runs, and the rule that a run is RUNNING only while a process holds it."""

import socket
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from traceback import format_exc
from typing import Any, Literal

import pandas as pd
from filelock import FileLock, Timeout

from pipeline.errors import UsageError

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]

LOCKS = Path("checkpoints") / "locks"
"""A lock file a run, held by the process that works on it and released by its end, whatever ends it."""
ERROR_FILE = "error.txt"
"""Artifact of a run: the traceback of what it failed by last."""
HOLD_SECONDS = 2.0
"""How long a process waits for a run that another holds: `sweep` does for a moment."""


class BusyError(UsageError):
    """Another process works on the run."""


class Stopped(Exception):  # noqa: N818 - no error: what was asked for
    """Work on a run was ended on purpose: it ends KILLED, with the reason as its tag `stopped`."""


@dataclass(frozen=True)
class Run:
    """A run as the store knows it."""

    id: str
    name: str
    status: str
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    """The last value of each metric."""


@contextmanager
def locked(name: str, timeout: float = -1) -> Iterator[None]:
    """Keep every other process of this folder from `name` meanwhile; `Timeout` after so many seconds of waiting for it.

    The lock's file goes while it is held: who waits for it then finds it gone, and looks again.
    """
    file = LOCKS / f"{name}.lock"
    with FileLock(file, timeout=timeout):
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def owner_tags() -> dict[str, str]:
    """Return the tags that say where the lock of a run lies: `sweep` looks only at runs of its own host and folder."""
    return {"host": socket.gethostname(), "locks": str(LOCKS.resolve())}


class Tracker(ABC):
    """Where runs are recorded. Explicit run ids everywhere; no active run."""

    uri: str
    """Address of the store, for people."""

    @abstractmethod
    def create(self, name: str, *, parent: str | None = None, tags: Mapping[str, str]) -> str:
        """Create a RUNNING run with these tags and `owner_tags`, nested under `parent` where given; return its id."""

    @abstractmethod
    def get(self, run_id: str) -> Run:
        """Return a run."""

    @abstractmethod
    def get_all(self, run_ids: Collection[str]) -> dict[str, Run]:
        """Return those of the runs that there are, by their ids, in one search for hundreds of them."""

    @abstractmethod
    def find(self, *, status: str | None = None, **tags: str) -> list[Run]:
        """Return the runs that have all these tags and, where given, the status, newest first."""

    @abstractmethod
    def set_status(self, run_id: str, status: Status) -> None:
        """Reopen or end a run."""

    @abstractmethod
    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""

    @abstractmethod
    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Set the params that the run does not have yet: a param can be written once."""

    @abstractmethod
    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        """Record metrics at one step, in one call."""

    @abstractmethod
    def log_dataset(self, run_id: str, *, name: str, digest: str, profile: Mapping[str, Any]) -> None:
        """Record the data set that the run used."""

    @abstractmethod
    def log_text(self, run_id: str, path: str, text: str) -> None:
        """Store text as the artifact `path`."""

    @abstractmethod
    def log_file(self, run_id: str, file: Path, folder: str = "") -> None:
        """Store a file as an artifact of the same name."""

    @abstractmethod
    def log_table(self, run_id: str, path: str, table: pd.DataFrame) -> None:
        """Store a table as the JSON artifact `path` that the tracking UI shows as a table."""

    @abstractmethod
    def log_model(self, run_id: str, *, weights: Path, config: Path, example: pd.DataFrame) -> None:
        """Store a classifier as a loadable model; `example` is a valid input."""

    @abstractmethod
    def fetch(self, run_id: str, path: str) -> Path:
        """Return a local file with the artifact `path`; FileNotFoundError where the run has none."""

    def fetch_all(self, run_id: str, paths: Collection[str]) -> dict[str, Path]:
        """Return local files with those of the artifacts `paths` that the run has."""
        found = {}
        for path in paths:
            with suppress(FileNotFoundError):
                found[path] = self.fetch(run_id, path)
        return found

    def page(self, run_id: str) -> str:
        """Return the address of the run's page below the store's own; nothing where it has no pages."""
        del run_id
        return ""

    @contextmanager
    def hold(self, run_id: str) -> Iterator[None]:
        """Work on a run: it ends FINISHED, or KILLED after an interrupt, or FAILED with its error as a tag and the traceback as a file."""
        with ExitStack() as held:
            try:
                held.enter_context(locked(run_id, HOLD_SECONDS))
            except Timeout:
                raise BusyError(
                    f"run {run_id}: must be free, got one that another process works on. Wait for that to end."
                ) from None
            before = self.get(run_id).tags
            self.set_tags(run_id, owner_tags() | {tag: "" for tag in ("error", "stopped") if before.get(tag)})
            self.set_status(run_id, "RUNNING")
            try:
                yield
            except (KeyboardInterrupt, SystemExit, GeneratorExit):
                self.set_status(run_id, "KILLED")
                raise
            except Stopped as reason:
                self.set_tags(run_id, {"stopped": str(reason)})
                self.set_status(run_id, "KILLED")
                raise
            except BaseException as error:
                self.set_tags(run_id, {"error": f"{type(error).__name__}: {error}"[:4000]})
                self.set_status(run_id, "FAILED")
                self.log_text(run_id, ERROR_FILE, format_exc())
                raise
            self.set_status(run_id, "FINISHED")

    def sweep(self) -> None:
        """End as KILLED every RUNNING run of this host and folder that no process holds any more."""
        for run in self.find(status="RUNNING", **owner_tags()):
            try:
                with locked(run.id, timeout=0):
                    if self.get(run.id).status == "RUNNING":  # it may have ended since it was listed
                        self.set_status(run.id, "KILLED")
            except Timeout:
                continue
