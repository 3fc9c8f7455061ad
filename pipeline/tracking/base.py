"""The interface of a tracker: a few verbs over runs, and the rule that a run is RUNNING only while a process owns it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from traceback import format_exc
from typing import Any
from uuid import uuid4

import pandas as pd

from pipeline.config import digest_of
from pipeline.errors import AwayError, TimeUpError, UsageError, without_secrets
from pipeline.tracking.link import at_once
from pipeline.tracking.model_registry import ModelRegistry
from pipeline.tracking.ownership import HOLD_SECONDS, BusyError, Check, LostError, Ownership
from pipeline.tracking.run import Row, Run, Status

ERROR_FILE = "error.txt"
"""Artifact of a run: the traceback of its latest failure."""


class Stopped(Exception):  # noqa: N818 - not an error: the stop was asked for
    """Work on a run was stopped on purpose: the run ends KILLED, with the reason as its tag `stopped`."""


class Recorder(ABC):
    """The verbs that write to runs. Every verb takes a run id; there is no active run."""

    @property
    def takes_copies(self) -> bool:
        """Whether a copy of a checkpoint would soon reach the store."""
        return True

    @abstractmethod
    def set_status(self, run_id: str, status: Status) -> None:
        """Reopen or end a run."""

    @abstractmethod
    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""

    @abstractmethod
    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Set the params that the run does not have yet: MLflow lets a param be written only once."""

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
    def log_scalars(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        """Record metrics that have one value each: one that the run has already is not recorded again."""

    @abstractmethod
    def log_model(
        self, run_id: str, *, name: str, card: str, weights: Path, config: Path, example: pd.DataFrame
    ) -> None:
        """Store a classifier as a loadable model; `card` describes it in Markdown, `example` is a valid input."""

    @staticmethod
    def table_text(table: pd.DataFrame) -> str:
        """Return a table as `log_table` stores it."""
        text: str = table.to_json(orient="split", index=False)
        return text


class Tracker(Recorder):
    """Where runs are recorded."""

    uri: str
    """Address of the store for display, without a password."""
    checkpoints: Path
    """Folder of the checkpoints of unfinished runs. If the store is a file, all processes that share it see this folder."""
    remote = False
    """Whether other processes that share the store may be unable to see `checkpoints`."""
    spools = False
    """Whether a cell records to a spool, because the store may be unreachable or slow."""
    ownership: Ownership
    """The mechanism that keeps two processes from working on the same run."""

    @abstractmethod
    def address(self) -> tuple[str, ...]:
        """Return the arguments with which `connect` reaches the same runs from another process.

        UsageError if no other process can reach them.
        """

    @property
    def folders(self) -> list[Path]:
        """Folders that every process that shares the store must see."""
        return []

    @property
    @abstractmethod
    def registry(self) -> ModelRegistry:
        """Return the registry of models of the store."""

    @property
    def ui(self) -> str:
        """How a person views the runs: the store's address, or a command that shows them."""
        return self.uri

    @property
    def site(self) -> str:
        """The base address of the store's web pages; empty if the store has none."""
        return ""

    @abstractmethod
    def create(self, name: str, *, parent: str | None = None, tags: Mapping[str, str]) -> str:
        """Create a RUNNING run with these tags and those of its owner, nested under `parent` where given; return its id."""

    @abstractmethod
    def delete(self, run_id: str) -> None:
        """Delete a run."""

    @abstractmethod
    def get(self, run_id: str) -> Run:
        """Return a run."""

    @abstractmethod
    def get_all(self, run_ids: Collection[str]) -> dict[str, Run]:
        """Return the runs that exist among `run_ids`, by id; one search covers hundreds of ids."""

    @abstractmethod
    def find(self, *, status: str | None = None, **tags: str) -> list[Run]:
        """Return the runs that have all these tags and, where given, the status, newest first."""

    def log_scalars(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        """Record metrics that have one value each: one that the run has already is not recorded again."""
        known = self.get(run_id).metrics
        if new := {name: value for name, value in metrics.items() if known.get(name) != value}:
            self.log_metrics(run_id, new, step)

    @abstractmethod
    def log_rows(self, run_id: str, rows: Sequence[Row]) -> None:
        """Record rows of metrics in as few calls as possible; a row that the store has with the same time is not doubled."""

    @abstractmethod
    def read_rows(self, run_id: str) -> list[Row]:
        """Return every metric value that was recorded, each as a row of its own."""

    @abstractmethod
    def read_params(self, run_id: str) -> dict[str, str]:
        """Return the params of a run."""

    def log_files(self, run_id: str, files: Sequence[tuple[Path, str]]) -> None:
        """Store `files`, pairs of a local file and an artifact folder; each file keeps its name."""
        for file, folder in files:
            self.log_file(run_id, file, folder)

    def show_tables(self, run_id: str, paths: Collection[str]) -> None:
        """Make the tracking UI show these artifacts as tables, if it can."""

    @abstractmethod
    def fetch(self, run_id: str, path: str) -> Path:
        """Return a local file with the artifact `path`; FileNotFoundError if the run has no such artifact."""

    @abstractmethod
    def delete_artifacts(self, run_id: str, folder: str) -> None:
        """Delete a folder of artifacts, if it exists."""

    @abstractmethod
    def model_files(self, uri: str) -> tuple[Path, Path]:
        """Return local files with the description and the weights of a model, `models:/NAME@ALIAS` or `runs:/RUN/NAME`.

        UsageError if the store has no model at that address, or one that is not this project's.
        """

    def fetch_all(self, run_id: str, paths: Collection[str]) -> dict[str, Path]:
        """Return local files of the artifacts `paths`, by path; artifacts that the run does not have are left out."""
        found = {}
        for path in paths:
            with suppress(FileNotFoundError):
                found[path] = self.fetch(run_id, path)
        return found

    def artifacts(self, run_id: str) -> str:
        """Return where the artifacts of a run lie, for display."""
        del run_id
        return self.uri

    def page(self, run_id: str, artifact: str = "") -> str:
        """Return the address, relative to `site`, of the run's page, or of the page that shows one of its artifacts."""
        del run_id, artifact
        return ""

    def view(self, key: str, *, charts: bool = False) -> str:
        """Return the address, relative to `site`, of the list of runs that was saved under a key, or of its `charts`."""
        del key, charts
        return ""

    def save_view(self, key: str, name: str, run_ids: Sequence[str], metrics: Sequence[str]) -> None:
        """Save a view of these runs under a name, if the store has pages.

        The view shows `metrics` and sorts the runs by the first of them, the best on top.
        """

    def sole(
        self,
        name: str,
        identity: Mapping[str, str],
        *,
        tags: Mapping[str, str],
        parent: str | None = None,
        adopted: str | None = None,
    ) -> str:
        """Return the oldest run that has the tags `identity`: processes that ask at the same time get the same run.

        If the store has no such run, it is created with `tags`; if the run `adopted` is given, that run gets the tags instead.
        """

        def find() -> str | None:
            known = self.find(**identity)
            return known[-1].id if known else None

        request = {"request": uuid4().hex} if self.spools else {}

        def create() -> str:
            if not adopted:
                run_id = self.create(name, parent=parent, tags={**tags, **identity, **request})
                if request:
                    # MLflow repeats a request whose answer was lost, and the store may then hold one run for each attempt.
                    for run in self.find(**request):
                        if run.id != run_id:
                            self.delete(run.id)
                return run_id
            self.set_tags(adopted, {**self.ownership.tags(), **tags, **identity})
            return adopted

        run_id, in_vain = self.ownership.first(digest_of(dict(identity)), find, create)
        if in_vain and in_vain == adopted:
            self.set_tags(adopted, dict.fromkeys(identity, ""))
        elif in_vain:
            self.delete(in_vain)
        return run_id

    @contextmanager
    def own(
        self, run_id: str, patience: float = HOLD_SECONDS, waits: Callable[[str], None] | None = None
    ) -> Iterator[Check]:
        """Own a run while the context is open, against every process that shares the store.

        The check that it yields raises LostError once the run is no longer owned. BusyError if another process owns the run for
        longer than `patience` seconds; `waits` is called once, with the owner. UsageError if the run's owner uses another kind of
        ownership than this tracker.
        """

        def told() -> None:
            if waits:
                waits(self._owner(run_id))

        run = self.get(run_id)
        kind = run.tags.get("ownership", self.ownership.kind)
        if run.status == "RUNNING" and kind != self.ownership.kind:
            raise UsageError(
                f"run {run_id}: must be free, got one that {self._owner(run_id)} works on, kept by {kind} and not by "
                f"{self.ownership.kind}. Give the same tracking store and --storage (or OPTUNA_STORAGE) as there."
            )
        with ExitStack() as held:
            try:
                check = held.enter_context(self.ownership.own(run_id, patience, told))
            except BusyError:
                raise BusyError(
                    f"run {run_id}: must be free, got one that {self._owner(run_id)} works on. Wait for that to end."
                ) from None
            yield check

    @contextmanager
    def ending(self, run_id: str, check: Check) -> Iterator[None]:
        """Work on an owned run, and end the run with the status that the work ends with."""
        with ending(self, self.get(run_id), check, self.ownership.tags()):
            yield

    @contextmanager
    def hold(self, run_id: str) -> Iterator[Check]:
        """Own a run, work on it, and end it with the status that the work ends with."""
        with self.own(run_id) as check, self.ending(run_id, check):
            yield check

    def sweep(self) -> None:
        """End as KILLED every RUNNING run of the store whose owner is gone."""
        for run_id in self.ownership.orphans(self.find(status="RUNNING", ownership=self.ownership.kind)):
            if self.get(run_id).status == "RUNNING":  # it may have ended since it was listed
                self.set_status(run_id, "KILLED")

    def _owner(self, run_id: str) -> str:
        return self.get(run_id).tags.get("owner") or "another process"


@contextmanager
def ending(recorder: Recorder, run: Run, check: Check, tags: Mapping[str, str]) -> Iterator[None]:
    """Work on an owned run: it ends FINISHED, KILLED after an interrupt or a stop, or FAILED with its error as a tag.

    `tags` are set first. The traceback of an unexpected error is stored as an artifact. A run that was lost to another process
    is left as it is, and so is a run whose store cannot be reached.
    """
    check()
    recorder.set_tags(run.id, {**tags, **{tag: "" for tag in ("error", "stopped") if run.tags.get(tag)}})
    recorder.set_status(run.id, "RUNNING")
    try:
        yield
    except LostError:
        raise
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        with suppress(LostError, AwayError), at_once():
            check()
            recorder.set_status(run.id, "KILLED")
        raise
    except (Stopped, TimeUpError) as reason:
        with suppress(LostError, AwayError), at_once():
            check()
            recorder.set_tags(run.id, {"stopped": str(reason)})
            recorder.set_status(run.id, "KILLED")
        raise
    except BaseException as error:
        with suppress(LostError, AwayError), at_once():
            check()
            recorder.set_tags(run.id, {"error": without_secrets(f"{type(error).__name__}: {error}")[:4000]})
            recorder.set_status(run.id, "FAILED")
            # The message of a UsageError suffices. If the store's files were moved, writing a traceback would create a new folder.
            if not isinstance(error, UsageError):
                recorder.log_text(run.id, ERROR_FILE, without_secrets(format_exc()))
        raise
    check()
    recorder.set_status(run.id, "FINISHED")
