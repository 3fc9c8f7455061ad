"""The MLflow tracker: the one place that talks to an MLflow store, local or remote."""

import atexit
import getpass
import json
import logging
import os
import re
import shlex
import sqlite3
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from filecmp import cmp
from functools import cached_property, wraps
from http.client import UNAUTHORIZED
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, gettempdir, mkdtemp
from typing import Any, ParamSpec, TypeVar
from urllib.error import URLError
from urllib.parse import unquote, urlsplit

# A request is repeated for some seconds, because one failure among hundreds must not end the whole call. MLflow's default is to
# repeat it for minutes without a message. The link to the server deals with longer failures, and reports them.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_HTTP_POOL_MAXSIZE", "16")
# MLflow reads these when it is imported.
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

import mlflow
import pandas as pd
import requests
from alembic.util import CommandError
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LifecycleStage,
    LoggedModelOutput,
    Metric,
    Param,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry, get_artifact_repository
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository
from mlflow.tracking import MlflowClient, fluent
from mlflow.tracking._tracking_service.utils import _use_tracking_uri
from requests.exceptions import RetryError
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from pipeline.errors import AwayError, RunError, UsageError, causes, disk_error, one_line, without_secrets
from pipeline.interrupts import undisturbed
from pipeline.parcel import packed_code, pins
from pipeline.place import ROOT
from pipeline.tracking import pyfunc
from pipeline.tracking.base import Tracker
from pipeline.tracking.link import Link, ask, wait_for
from pipeline.tracking.model_registry import ModelRegistry
from pipeline.tracking.ownership import ByLocks, DatabaseLocks, FileLocks, Lease, Ownership
from pipeline.tracking.relocation import check_place
from pipeline.tracking.run import Row, Run, Status

DEFAULT_URI = "sqlite:///mlflow.db"
EXPERIMENT = "lstm-time-embeddings"
KINDS = re.compile(r"(https?|sqlite|postgresql(\+\w+)?)://")
"""The beginning of the address of a store."""
PARAM_LENGTH = 6000
"""Longest param that MLflow takes, in characters."""
PAGE = 1000
"""Runs in one page of a search."""
IDS = 200
"""Run ids in one search: the URL of a request holds some thousand characters."""
KEPT = 16
"""Number of runs whose downloads are kept: the files of a run stay until files of so many other runs were asked for."""
UNFIT = re.compile(r"[/:.%\"']")
"""Characters that the name of a model must not contain."""
PLAIN = re.compile(r"[\w .:/+-]*", re.ASCII)
"""Values that can be written into a filter of a search."""
EXPERIMENT_KIND = "mlflow.experimentKind"
"""The tag by which the UI shows an experiment as training, not as a language application."""
MODE = "workflowType=machine_learning"
"""The end of the address of a page: without it, the UI opens in the mode used last, which is at first that of language models."""
VIEW_TAG = "mlflow.sharedViewState."
"""Prefix of the tag of an experiment that holds a shared view of its runs."""
MOST_IN_VIEW = 100
"""Most runs that a view names: a tag of an experiment holds 5,000 characters."""
TABLES_TAG = "mlflow.loggedArtifacts"
"""The tag by which the UI knows which artifacts are tables."""

LOST = (ConnectionError, TimeoutError, URLError, requests.ConnectionError, requests.Timeout, RetryError)
"""Exceptions of a server that is unreachable, or whose status says that it may answer later, such as 500 and 503."""
CODE = "code.zip"
"""The file of a model that holds the modules of the project."""
NEWEST = 8
"""Number of newest models of a store whose code is compared with that of a new model: older ones rarely have the same version."""
UPLOADS = 16
"""Files that are uploaded to a server at once: the package of a model has some hundred."""
BATCH = 1000
"""Metrics that MLflow takes in one call."""
REPEATABLE = ("set_status", "set_tags", "log_params")
"""Verbs that can be repeated on a local store whether or not the first call took effect."""
LOCKED_SECONDS = 60.0
"""How long a call of a locked local store is repeated. SQLite waits for a lock by itself, with one exception: if two processes that
are reading both want to write, it refuses one of them at once."""

# This logger prints the traceback of each database error, which is reported in one line here.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)

P = ParamSpec("P")
R = TypeVar("R")


def _mapped(method: Callable[P, R]) -> Callable[P, R]:
    """Turn the exceptions of MLflow, and of the layers below it, into one line that names the store.

    A call that a server does not answer is repeated for as long as its link says. A call of a database is not interrupted.
    """

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        link: Link | None = getattr(args[0], "link", None)
        ends = time.monotonic() + LOCKED_SECONDS
        while True:
            began = time.monotonic()
            try:
                if link and link.away:  # a quick check, which fails sooner than the call would
                    ask(link.uri)
                with nullcontext() if getattr(args[0], "spools", True) else undisturbed():
                    answer = method(*args, **kwargs)
            except (MlflowException, SQLAlchemyError, CommandError, OSError) as error:
                if isinstance(error, FileNotFoundError) and method.__name__ != "__init__":
                    raise
                if method.__name__ in REPEATABLE and _is_locked(error) and time.monotonic() < ends:
                    time.sleep(0.05)
                    continue
                explained = _explained(error, str(getattr(args[0], "uri", "")), method.__name__)
                if link and isinstance(explained, AwayError) and link.failed(method.__name__, explained, began):
                    continue
                raise explained from error
            else:
                if link:
                    link.answered(method.__name__, began)
                return answer

    return call


def _explained(error: Exception, uri: str, verb: str) -> UsageError | RunError:
    """Return the error to raise: the store does not answer, or it could not do what it was asked for."""
    if said := disk_error(error, f"tracking store {uri}, its artifacts or {gettempdir()}"):
        return said
    if isinstance(error, CommandError):  # raised by Alembic, which checks the version of the tables
        return UsageError(
            f"MLFLOW_TRACKING_URI: must be a store whose tables this MLflow knows, got {uri} ({one_line(error)}). "
            "Name another one where Optuna keeps its studies there, or install the version of MLflow that made it."
        )
    if verb == "__init__" and isinstance(error, MlflowException) and error.get_http_status_code() == UNAUTHORIZED:  # type: ignore[no-untyped-call]
        return UsageError(
            f"MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD: must be those of an account of {uri}, got none that it knows. "
            "Set them; `make account NAME=...` makes an account of the local stack."
        )
    opens = verb == "__init__" and not isinstance(error, MlflowException)
    lost = next((cause for cause in causes(error) if _is_lost_connection(cause)), None)
    if opens or lost:
        away = AwayError(
            f"MLFLOW_TRACKING_URI: must be a tracking store that answers, got {uri} ({one_line(error)}). "
            "Start the server, or unset the variable to use the local store."
        )
        away.why = _in_words(lost or error)
        return away
    return RunError(
        f"tracking store {uri}: must do what {verb} asks, got {one_line(error)}. Mend that, and run the command again."
    )


def _is_locked(error: BaseException) -> bool:
    codes = (getattr(cause, "sqlite_errorcode", 0) for cause in causes(error))
    return any(code & 0xFF == sqlite3.SQLITE_BUSY for code in codes)  # the lowest byte of an extended code is its kind


def _in_words(error: BaseException) -> str:
    if isinstance(error, RetryError):
        return "it answers that it cannot"
    return "no answer in time" if isinstance(error, (TimeoutError, requests.Timeout)) else "no answer"


def _is_lost_connection(error: BaseException) -> bool:
    if isinstance(error, DBAPIError):  # an error without a statement was raised while connecting
        return error.statement is None or error.connection_invalidated
    return isinstance(error, LOST)


class MlflowTracker(Tracker):
    """Runs in one experiment of an MLflow store."""

    @_mapped
    def __init__(self, uri: str | None = None, database: str | None = None, experiment: str | None = None) -> None:
        """Connect to `uri`, by default `MLFLOW_TRACKING_URI` or the local SQLite store; `UsageError` if it does not answer.

        If `uri` is a server and `database`, by default `OPTUNA_STORAGE`, is PostgreSQL, runs are owned by locks of `database`.
        With the id of the `experiment`, no request is made now, so the server may be unreachable.
        """
        self._address = uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
        self.uri = without_secrets(self._address)
        if not KINDS.match(self._address):
            raise UsageError(
                f"MLFLOW_TRACKING_URI: must begin with http://, https://, sqlite:/// or postgresql://, got {self.uri}. "
                "Correct it, or unset it for the local store; `mlflow migrate-filestore` moves runs of a folder to a database."
            )
        self._database = database or os.environ.get("OPTUNA_STORAGE") or ""
        self._absolute = _absolute(self._address)
        self.spools = self.uri.startswith("http")
        if self.spools and not experiment:
            wait_for(self.uri)
        self._places: dict[str, str] = {}
        self._downloaded: dict[str, Path] = {}
        self.ownership, self.checkpoints, self.remote = self._owning()
        # Two processes that open a new store would both create its tables. A server does that before it answers.
        with self.ownership.locks.lock("store") if isinstance(self.ownership, ByLocks) else nullcontext():
            self._client = MlflowClient(self._absolute)
            self._experiment = experiment or self._open_experiment()
        self.link = Link(self.uri, self.checkpoints / "locks") if self.spools else None

    def _owning(self) -> tuple[Ownership, Path, bool]:
        """Return the ownership, the folder of checkpoints, and whether other processes may be unable to see that folder."""
        folder = Path("checkpoints")
        if self.uri.startswith("sqlite"):
            file = Path(str(make_url(self._absolute).database))
            return ByLocks("files", FileLocks.beside(file)), file.parent / folder, False
        if self.uri.startswith("postgresql"):
            return _owning_by(self._address), folder, True
        if not self._database.startswith("postgresql"):
            return Lease(self), folder, True
        try:
            return _owning_by(self._database), folder, True
        except SQLAlchemyError as error:
            raise UsageError(
                f"--storage: must be a database that answers, got {self._database} ({one_line(error)}). "
                "Start it or correct the URL (or OPTUNA_STORAGE)."
            ) from error

    def _open_experiment(self) -> str:
        """Return the id of the experiment, which is created if the store lacks it."""
        wanted = os.environ.get("MLFLOW_EXPERIMENT_ID")
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        if not wanted:
            experiment = self._client.get_experiment_by_name(name)
            try:
                wanted = experiment.experiment_id if experiment else self._create_experiment(name)
            except MlflowException:  # another process has just created it
                if not (experiment := self._client.get_experiment_by_name(name)):
                    raise
                wanted = experiment.experiment_id
        experiment = self._client.get_experiment(wanted)
        if experiment.lifecycle_stage != LifecycleStage.ACTIVE:
            raise UsageError(
                f"experiment {experiment.name}: must be active, got one that was deleted. "
                f"`MLFLOW_TRACKING_URI={self.uri} .venv/bin/mlflow experiments restore --experiment-id {wanted}` "
                "restores it; MLFLOW_EXPERIMENT_NAME names another one."
            )
        if self.uri.startswith("sqlite"):
            check_place(self.uri, Path(str(make_url(self._absolute).database)), experiment.artifact_location)
        if EXPERIMENT_KIND not in experiment.tags:
            try:
                self._client.set_experiment_tag(wanted, EXPERIMENT_KIND, "custom_model_development")
            except MlflowException:  # another process has just set it
                if EXPERIMENT_KIND not in self._client.get_experiment(wanted).tags:
                    raise
        return str(wanted)

    def _create_experiment(self, name: str) -> str:
        """Create the experiment and the folder of its files, by which the next process knows that it sees the same files."""
        wanted = str(self._client.create_experiment(name))
        for folder in _folders(self._client.get_experiment(wanted)) if self.remote and not self.spools else ():
            folder.mkdir(parents=True, exist_ok=True)
        return wanted

    @_mapped
    def create(self, name: str, *, parent: str | None = None, tags: Mapping[str, str]) -> str:
        """Create a run in the experiment."""
        nested = {"mlflow.parentRunId": parent} if parent else {}
        described = {**tags, **self.ownership.tags(), **_source(), **tags, **nested}  # `tags` come first, and win
        run = self._client.create_run(self._experiment, run_name=name, tags=described)
        return self._run(run).id

    @_mapped
    def delete(self, run_id: str) -> None:
        """End the run, and delete it; MLflow keeps a deleted run, hidden."""
        self._client.set_terminated(run_id, "KILLED")
        self._client.delete_run(run_id)

    @_mapped
    def get(self, run_id: str) -> Run:
        """Return a run."""
        return self._run(self._client.get_run(run_id))

    def address(self) -> tuple[str, ...]:
        """Return the store's address, that of the database whose locks own its runs, and, for a server, the experiment."""
        return (self._address, self._database, self._experiment) if self.spools else (self._address, self._database)

    @_mapped
    def get_all(self, run_ids: Collection[str]) -> dict[str, Run]:
        """Search the experiment for the runs, `IDS` at a time."""
        found: list[Run] = []
        wanted = [f"'{run_id}'" for run_id in run_ids]
        for start in range(0, len(wanted), IDS):
            found += self._search(f"attributes.run_id IN ({', '.join(wanted[start : start + IDS])})")
        return {run.id: run for run in found}

    @_mapped
    def find(self, *, status: str | None = None, **tags: str) -> list[Run]:
        """Search the experiment by status and tags."""
        # A filter has no way to escape quotes. Names that users choose may contain them, so such values are compared here.
        free = {key: value for key, value in tags.items() if not PLAIN.fullmatch(value)}
        wanted = [f"tags.`{key}` = '{value}'" for key, value in tags.items() if key not in free]
        wanted += [f"attributes.status = '{status}'"] if status else []
        return [run for run in self._search(" and ".join(wanted)) if free.items() <= run.tags.items()]

    def _search(self, wanted: str) -> list[Run]:
        found: list[Run] = []
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment], wanted, max_results=PAGE, order_by=["attributes.start_time DESC"], page_token=token
            )
            found += map(self._run, page)
            token = page.token
            if not token:
                return found

    @_mapped
    def set_status(self, run_id: str, status: Status) -> None:
        """Update the run, or terminate it with an end time."""
        if status == "RUNNING":
            self._client.update_run(run_id, status=status)
        else:
            self._client.set_terminated(run_id, status)

    @_mapped
    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set the tags as one batch."""
        self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    @_mapped
    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Log the params that the run lacks, as one batch."""
        present = self._client.get_run(run_id).data.params
        missing = [Param(key, str(value)[:PARAM_LENGTH]) for key, value in params.items() if key not in present]
        self._client.log_batch(run_id, params=missing)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log one row; every repetition of the call has the same time."""
        self.log_rows(run_id, [Row(step, int(time.time() * 1000), metrics)])

    @_mapped
    def log_rows(self, run_id: str, rows: Sequence[Row]) -> None:
        """Log batches of whole rows."""
        batch: list[Metric] = []
        for row in rows:
            if len(batch) + len(row.metrics) > BATCH:
                self._client.log_batch(run_id, metrics=batch)
                batch = []
            batch += [Metric(key, value, row.milliseconds, row.step) for key, value in row.metrics.items()]
        self._client.log_batch(run_id, metrics=batch)

    @_mapped
    def read_rows(self, run_id: str) -> list[Row]:
        """Ask for the history of each metric: MLflow has no call for all of them."""
        names = sorted(self._client.get_run(run_id).data.metrics)
        with ThreadPoolExecutor(UPLOADS if self.spools else 1) as pool:
            histories = pool.map(lambda name: self._client.get_metric_history(run_id, name), names)
            return [Row(one.step, one.timestamp, {one.key: one.value}) for history in histories for one in history]

    @_mapped
    def read_params(self, run_id: str) -> dict[str, str]:
        """Return the params."""
        return dict(self._client.get_run(run_id).data.params)

    @_mapped
    def log_dataset(self, run_id: str, *, name: str, digest: str, profile: Mapping[str, Any]) -> None:
        """Log the data set as an input of the run."""
        dataset = Dataset(
            name=name,
            digest=digest[:36],
            source_type="local",
            source=json.dumps({"name": name}),
            profile=json.dumps(dict(profile)),
        )
        inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])]
        try:
            self._client.log_inputs(run_id, inputs)
        except MlflowException:
            # MLflow searches before it writes: another process may have recorded the same data set in between.
            self._client.log_inputs(run_id, inputs)

    @_mapped
    def log_text(self, run_id: str, path: str, text: str) -> None:
        """Store text as an artifact."""
        self._client.log_text(run_id, text, path)

    @_mapped
    def log_file(self, run_id: str, file: Path, folder: str = "") -> None:
        """Store a file as an artifact."""
        self._client.log_artifact(run_id, str(file), folder or None)

    @_mapped
    def log_table(self, run_id: str, path: str, table: pd.DataFrame) -> None:
        """Store a table in place of an earlier one of that name (MLflow's own call would append to it)."""
        self._client.log_text(run_id, self.table_text(table), path)
        self.show_tables(run_id, [path])

    @_mapped
    def log_files(self, run_id: str, files: Sequence[tuple[Path, str]]) -> None:
        """Store the files in parallel, because a slow server takes a while for each."""
        repository = self._repository(run_id)
        with ThreadPoolExecutor(UPLOADS) as pool:
            list(pool.map(lambda file: repository.log_artifact(str(file[0]), file[1] or None), files))

    @_mapped
    def show_tables(self, run_id: str, paths: Collection[str]) -> None:
        """Add the paths to the tag by which the UI knows tables."""
        shown = json.loads(self._client.get_run(run_id).data.tags.get(TABLES_TAG, "[]"))
        if new := [entry for path in paths if (entry := {"path": path, "type": "table"}) not in shown]:
            self._client.set_tag(run_id, TABLES_TAG, json.dumps([*shown, *new]))

    @_mapped
    def log_model(
        self, run_id: str, *, name: str, card: str, weights: Path, config: Path, example: pd.DataFrame
    ) -> None:
        """Store the classifier as an MLflow pyfunc whose code is the project's own."""
        name = UNFIT.sub("_", name)
        # If MLflow created the model's entry itself, it would read the history of each metric of the run, one call after another.
        run = self._client.get_run(run_id)
        entry = self._client.create_logged_model(
            self._experiment, name, run_id, {"mlflow.note.content": card}, run.data.params, "classifier"
        )
        try:
            self._client.log_outputs(run_id, [LoggedModelOutput(entry.model_id, step=0)])
        except MlflowException as error:
            # The request was repeated because its answer was lost. The entry is new, so its row can only be from this request.
            if "unique" not in str(error).lower():
                raise

        class OfRun(Model):
            """A model that names its run."""

            def __init__(self, **named: Any) -> None:  # noqa: ANN401
                super().__init__(**{**named, "run_id": run_id})

        with self._as_active(), TemporaryDirectory() as scratch:
            code = Path(scratch) / CODE
            code.write_bytes(packed_code())
            OfRun.log(
                artifact_path=None,
                name=name,
                model_id=entry.model_id,
                flavor=mlflow.pyfunc,
                python_model=str(pyfunc.__file__),
                artifacts={"weights": str(weights), "config": str(config), "code": str(code)},
                signature=pyfunc.SIGNATURE,
                input_example=example,
                pip_requirements=list(pins()),
            )
        self._link_metrics(run, entry.model_id)
        self._share(run_id, weights, entry.artifact_location)

    def _link_metrics(self, run: Any, model_id: str) -> None:  # noqa: ANN401 - mlflow is untyped here
        """Record the metrics of a run for its model and its data set, too; the run itself already has these rows."""
        used = next((each.dataset for each in run.inputs.dataset_inputs), None)
        about = (model_id, used and used.name, used and used.digest, run.info.run_id)
        rows = [
            Metric(row.key, row.value, row.timestamp, row.step, *about)
            for row in run.data._metric_objs  # noqa: SLF001 - the public attribute lacks the times
            if "/" not in row.key
        ]
        if rows:
            self._client.log_batch(run.info.run_id, metrics=rows)

    def _share(self, run_id: str, weights: Path, model: str) -> None:
        """Replace files of a model's package by hard links, if it lies in a folder of this machine.

        The weights are linked to those of its run, the code to that of another model.
        """
        run, package = (urlsplit(place) for place in (self._place(run_id), model))
        if not {run.scheme, package.scheme} <= {"", "file"}:
            return
        folder = Path(unquote(package.path))
        if weights.is_relative_to(unquote(run.path)):
            _link(folder / "artifacts" / weights.name, weights)
        code = folder / "artifacts" / CODE
        models = sorted((other for other in folder.parents[1].iterdir() if other != folder.parent), key=_age)[:NEWEST]
        others = (other / code.relative_to(folder.parent) for other in models)
        if same := next((other for other in others if _is_same(other, code)), None):
            _link(code, same)

    @contextmanager
    def _as_active(self) -> Iterator[None]:
        """Make the store and the experiment the active ones of MLflow, which stores models there; restore the caller's at the end.

        An open run of the caller is set aside: it is in another store or experiment, where MLflow would look for the model's run.
        MLflow also writes both to the environment, where the next tracker of this process would take them for the user's choice.
        """
        given = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID")}
        # MLflow has no public function that returns the active experiment and runs.
        experiment, stack = fluent._active_experiment_id, fluent._active_run_stack  # noqa: SLF001
        runs = stack.get()  # type: ignore[no-untyped-call]
        stack.set([])  # type: ignore[no-untyped-call]
        try:
            with _use_tracking_uri(self._absolute):
                mlflow.set_experiment(experiment_id=self._experiment)
                yield
        finally:
            fluent._active_experiment_id = experiment  # noqa: SLF001
            stack.set(runs)  # type: ignore[no-untyped-call]
            for name, value in given.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value

    @_mapped
    def fetch(self, run_id: str, path: str) -> Path:
        """Return the artifact where it lies, or a download of it."""
        found = self._fetched(run_id, [path])
        if path not in found:
            raise FileNotFoundError(f"run {run_id} has no artifact {os.path.basename(path)}")  # noqa: PTH119 - no file's path
        return found[path]

    @_mapped
    def fetch_all(self, run_id: str, paths: Collection[str]) -> dict[str, Path]:
        """List each folder of artifacts only once."""
        return self._fetched(run_id, paths)

    def _fetched(self, run_id: str, paths: Collection[str]) -> dict[str, Path]:
        """Return the artifacts where they lie, or downloads, which stay until `KEPT` other runs were asked for files."""
        place = urlsplit(self._place(run_id))
        if place.scheme in ("", "file") and (folder := Path(unquote(place.path))).is_dir():
            return {path: folder / path for path in paths if (folder / path).is_file()}
        repository = self._repository(run_id)
        there = {
            file.path
            for folder in {os.path.dirname(path) for path in paths}  # noqa: PTH120 - no files' paths
            for file in repository.list_artifacts(folder or None)
        }
        kept = self._downloaded.pop(run_id, None) or self._downloads / run_id
        self._downloaded[run_id] = kept  # the newest at the end
        for old in list(self._downloaded)[:-KEPT]:
            rmtree(self._downloaded.pop(old), ignore_errors=True)
        found = {}
        for path in there & set(paths):
            (kept / path).parent.mkdir(parents=True, exist_ok=True)
            repository._download_file(path, str(kept / path))  # noqa: SLF001 - `download_artifacts` lists the folder for each file
            found[path] = kept / path
        return found

    @_mapped
    def model_files(self, uri: str) -> tuple[Path, Path]:
        """Return downloads of the files that `log_model` stored."""
        try:
            with self._as_active():
                folder = Path(
                    mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=mkdtemp(dir=self._downloads))
                )
            files = Model.load(str(folder)).flavors["python_function"]["artifacts"]
            return folder / files["config"]["path"], folder / files["weights"]["path"]
        except (MlflowException, KeyError, FileNotFoundError) as error:
            if any(map(_is_lost_connection, causes(error))):
                raise
            raise UsageError(
                f"--model: must be a model of this project in {self.uri}, got {uri} ({one_line(error)}). "
                "The page of a run shows the address of its model."
            ) from error

    @_mapped
    def delete_artifacts(self, run_id: str, folder: str) -> None:
        """Delete the folder from the artifact store itself: MLflow's client has no call for that."""
        repository = self._repository(run_id)
        if repository.list_artifacts(folder):
            repository.delete_artifacts(folder)

    @_mapped
    def artifacts(self, run_id: str) -> str:
        """Return the address of the run's artifacts."""
        return self._place(run_id)

    def _place(self, run_id: str) -> str:
        """Return where the artifacts of a run lie; the place is cached because it never changes."""
        return self._places.get(run_id) or self._places[self.get(run_id).id]

    def _repository(self, run_id: str) -> Any:  # noqa: ANN401 - mlflow is untyped here
        return get_artifact_repository(self._place(run_id), tracking_uri=self._absolute)

    @cached_property
    def _downloads(self) -> Path:
        folder = Path(mkdtemp(prefix="downloads-"))
        atexit.register(rmtree, folder, ignore_errors=True)
        return folder

    def _run(self, run: Any) -> Run:  # noqa: ANN401 - mlflow is untyped here
        """Return MLflow's run as a `Run`, and remember where its artifacts lie."""
        self._places[run.info.run_id] = run.info.artifact_uri
        return Run(run.info.run_id, run.info.run_name, run.info.status, dict(run.data.tags), dict(run.data.metrics))

    @property
    @_mapped
    def folders(self) -> list[Path]:
        """Return the folder of an SQLite store, and the folder of artifacts if clients write them directly."""
        artifacts = _folders(self._client.get_experiment(self._experiment))
        return artifacts if self.remote else [self.checkpoints.parent, *artifacts]

    @property
    def registry(self) -> ModelRegistry:
        """Return the registry of models of the store."""
        from pipeline.tracking.mlflow_registry import MlflowRegistry  # noqa: PLC0415 - a part of this module, apart for its length

        return MlflowRegistry(self)

    @property
    def ui(self) -> str:
        """Return the server's address, or the command that serves a local store."""
        if self.spools:
            return self.site.rstrip("/")
        # In another working folder, such as that of a notebook, a relative path would not lead there from the next terminal.
        here = Path.cwd() == ROOT
        command = ".venv/bin/mlflow" if here else str(Path(sys.executable).with_name("mlflow"))
        return shlex.join([command, "ui", "--backend-store-uri", self.uri if here else without_secrets(self._absolute)])

    @property
    def site(self) -> str:
        """Return the server's address, or the address at which `mlflow ui` serves a local store.

        `MLFLOW_PUBLIC_URL` is the address for browsers, if this process reaches the server by a name that only containers know.
        """
        if not self.spools:
            return "http://127.0.0.1:5000/"
        return f"{(os.environ.get('MLFLOW_PUBLIC_URL') or self.uri).rstrip('/')}/"

    def page(self, run_id: str, artifact: str = "") -> str:
        """Return the run's page in the MLflow UI, relative to its root."""
        shown = f"/artifacts/{artifact}" if artifact else ""
        return f"#/experiments/{self._experiment}/runs/{run_id}{shown}?{MODE}"

    def view(self, key: str, *, charts: bool = False) -> str:
        """Return the experiment's list of runs as it was saved, or its charts."""
        shown = "compareRunsMode=CHART&" if charts else ""
        return f"#/experiments/{self._experiment}/runs?{shown}viewStateShareKey={key}&{MODE}"

    @_mapped
    def save_view(self, key: str, name: str, run_ids: Sequence[str], metrics: Sequence[str]) -> None:
        """Save a tag of the experiment as the UI's own "Save view" does: the menu "Views" lists it by its name."""
        columns = [f"metrics.`{metric}`" for metric in metrics]
        wanted = ", ".join(f"'{run_id}'" for run_id in run_ids)
        view = {
            "searchFilter": f"attributes.run_id IN ({wanted})" if len(run_ids) <= MOST_IN_VIEW else "",
            "orderByKey": columns[0],
            "orderByAsc": False,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "modelVersionFilter": "All Runs",
            "datasetsFilter": [],
            "selectedColumns": [*columns, "tags.`model`"],
            "columnOrder": [*columns, "tags.`model`"],
            "runsHiddenMode": "SHOW_ALL",
        }
        saved = {"name": name, "createdAt": round(1000 * time.time()), "state": json.dumps(view)}
        self._client.set_experiment_tag(self._experiment, f"{VIEW_TAG}{key}", json.dumps(saved))


class _Uploads(MlflowArtifactsRepository):
    """Artifacts behind a tracking server; the files of a folder, such as the package of a model, are uploaded in parallel."""

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        """Store the files of a folder."""
        root = Path(local_dir).resolve()
        files = sorted(file for file in root.rglob("*") if file.is_file())
        folders = [Path(artifact_path or "", file.parent.relative_to(root)).as_posix() for file in files]
        put: Callable[[str, str | None], None] = self.log_artifact
        with ThreadPoolExecutor(UPLOADS) as pool:
            list(pool.map(put, map(str, files), [None if folder == "." else folder for folder in folders]))


_artifact_repository_registry.register("mlflow-artifacts", _Uploads)  # type: ignore[no-untyped-call]


def _link(copy: Path, file: Path) -> None:
    """Replace a copy of a file by a hard link to it."""
    if not copy.is_file():
        return
    link = copy.with_name(f".{copy.name}")
    with suppress(OSError):  # a file system without links keeps both
        link.hardlink_to(file)
        link.replace(copy)


def _is_same(one: Path, other: Path) -> bool:
    """Return whether two files exist and have the same bytes."""
    try:
        return cmp(one, other, shallow=False)
    except OSError:
        return False


def _age(folder: Path) -> float:
    """Return a sort key by which newer folders come first; 0 for a folder that was deleted since it was listed."""
    try:
        return -folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _source() -> dict[str, str]:
    """Return the tags by which the UI shows who created a run, and with which program."""
    try:
        user = getpass.getuser()
    except (ImportError, KeyError, OSError):  # a user without a name on this system, as in some containers
        user = "unknown"
    return {"mlflow.user": user, "mlflow.source.name": "python -m pipeline", "mlflow.source.type": "LOCAL"}


def _absolute(uri: str) -> str:
    """Return the address with an absolute path, because MLflow keeps one store per address for the life of a process.

    The relative path of an SQLite store would mean another store once the working folder has changed. UsageError for a
    database in memory.
    """
    if not uri.startswith("sqlite"):
        return uri
    address = make_url(uri)
    if address.database in (None, "", ":memory:"):
        raise UsageError(
            f"MLFLOW_TRACKING_URI: must be a store that other processes see, got {uri}, which is in memory. "
            f"Name a file, as in {DEFAULT_URI}."
        )
    return address.set(database=str(Path(str(address.database)).resolve())).render_as_string(hide_password=False)


def _owning_by(database: str) -> Ownership:
    locks = DatabaseLocks.of(database)
    return ByLocks(f"database {locks.identity}", locks)


def _folders(experiment: Any) -> list[Path]:  # noqa: ANN401 - mlflow is untyped here
    """Return the folder in which clients write the artifacts of an experiment; empty if they are not written to a folder."""
    place = urlsplit(str(experiment.artifact_location))
    return [Path(unquote(place.path))] if place.scheme in ("", "file") else []
