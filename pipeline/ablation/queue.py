"""The queue of an ablation study's trials: an Optuna study in a database that several processes and machines may share.

Every trial exists from the start and waits: with the values of its point, or, in a search, without values, which a sampler
chooses when the trial is claimed. Only one of the processes that share the database may change the owner of a trial at a time,
so no trial runs twice and no extra trial is drawn. A trial whose process died waits again and keeps its number: at once if the
process ran on this host, as a lock shows, and after `GRACE_SECONDS` without a heartbeat if it ran on another host. If that
process was only delayed, it finds its trial taken and drops it.
"""

import socket
import threading
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import URL, Engine, create_engine, inspect, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from pipeline.ablation.pruning import SameEpochMedian
from pipeline.ablation.space import DIRECTIONS, POINT, AblationStudy, Point
from pipeline.ablation.storage import Place, Storage
from pipeline.config import digest_of
from pipeline.errors import UsageError, disk_error
from pipeline.interrupts import undisturbed
from pipeline.settings import Values
from pipeline.tracking.ownership import clock, locks_of

DEFAULT_STORAGE = "sqlite:///optuna.db"
BEAT_SECONDS = 20.0
"""Seconds between two heartbeats of a running trial."""
GRACE_SECONDS = 180.0
"""Seconds without a heartbeat after which a trial of another host counts as dead."""
SQLITE_SECONDS = 60
"""How long a process waits for another one that writes to the same SQLite file."""
LOCKS = Path("checkpoints") / "locks"
"""Folder with a lock file for each process that has trials, which shows others on this host that it lives."""
BEATING = "beats"
"""Name of the thread that sends heartbeats."""
DEFINITION = "definition"
"""User attribute of the Optuna study: the id of the ablation study that it belongs to."""
ADDRESS = "mlflow"
"""User attribute of the Optuna study: the address of its run in the tracking UI."""
SCORES = "scores"
"""User attribute of a trial: the scores of each of its seeds."""
OWNER = "owner"
"""User attribute of a trial: the host of its current or last process, and the lock that shows whether that process lives."""
BEAT = "beat"
"""User attribute of a trial: the time of its last heartbeat."""

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Queue:
    """The trials of one ablation study. A process has one queue, which holds the lock that shows that the process lives.

    An interrupt is delayed to the end of a call.
    """

    def __init__(self, study: AblationStudy, url: str) -> None:
        """Open the study in the database `url`, and create what is missing; `UsageError` if that fails."""
        self.study = study
        backend = _connect(url)
        self._engine, self._end_session = backend.engine, backend.remove_session
        self._storage = Storage(backend)
        self._locks = locks_of(self._engine)
        # Locked, because two processes that open a new study would both find it without a definition, and both write theirs.
        with self.alone(), undisturbed():
            self._optuna = optuna.create_study(
                storage=self._storage,
                study_name=study.name,
                load_if_exists=True,
                directions=[DIRECTIONS[name] for name in study.how.objectives],
                pruner=SameEpochMedian() if study.how.pruning == "median" else optuna.pruners.NopPruner(),
            )
            self._check_definition(url)
        self._id = self._storage.get_study_id_from_name(study.name)
        self._owner = {"host": socket.gethostname(), "lock": str((LOCKS / f"worker-{uuid.uuid4().hex}.lock").resolve())}
        LOCKS.mkdir(parents=True, exist_ok=True)
        self._alive = FileLock(self._owner["lock"])
        self._alive.acquire()  # before the first claim: a trial whose lock is free counts as abandoned

    def alone(self, what: str = "queue") -> AbstractContextManager[object]:
        """Hold the lock `what` of the study against other processes while the context is open.

        A process must not wait for one of these locks while it holds another, or a deadlock is possible. The only exception is
        "conclusion", which is held during calls of the queue: no process waits for it while it holds "queue".
        """
        return self._locks.lock(f"{self.study.name} {what}")

    def close(self) -> None:
        """Release the lock and the database."""
        self._alive.release()
        Path(self._owner["lock"]).unlink(missing_ok=True)
        self._end_session()
        self._engine.dispose()

    def _check_definition(self, url: str) -> None:
        held = self._optuna.user_attrs.get(DEFINITION)
        if held is None and not self._optuna.get_trials(deepcopy=False):
            self._optuna.set_user_attr(DEFINITION, self.study.id)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # the call has been experimental since Optuna 3.2
                self._optuna.set_metric_names(list(self.study.how.objectives))
        elif held != self.study.id:
            raise UsageError(
                f"--name: must be a new name, or that of the same space, base, seeds and design, got {self.study.name}, which "
                f"{url} has with others ({held}, not {self.study.id}). Give --name another one."
            )

    def refer(self, address: str) -> None:
        """Store the address of the study's page in the tracking UI with the Optuna study, for users of Optuna's dashboard."""
        if self._optuna.user_attrs.get(ADDRESS) != address:
            self._optuna.set_user_attr(ADDRESS, address)

    # ------------------------------------------------------------------------------------------------- filling

    @undisturbed()
    def fill(self) -> None:
        """Add every trial that the study lacks; a point whose trials all failed gets another one."""
        # The search and the addition need one lock: two processes that both find a point missing would both add it.
        with self.alone():
            lacking = self.lacking()
            factors = self.study.design.factors(self.study).items()
            kinds = {name: CategoricalDistribution(part) for name, part in factors if isinstance(part, list)}
            self._storage.add_waiting(self._id, lacking, kinds)

    def lacking(self) -> list[tuple[str, Values]]:
        """Return the names of the points without a trial, each with the values that are already settled."""
        places = self.places()
        failed = [place.point for place in places if place.state == TrialState.FAIL]
        return self.study.design.lacking(self.study, [place.point for place in places], failed)

    @undisturbed()
    def recover(self) -> None:
        """Make trials wait again if their process is gone."""
        # Under the lock, because the slow owner of a trial that looks dead may end it between the check and the write.
        with self.alone():
            for place in self._storage.places(self._id, TrialState.RUNNING):
                trial = self._storage.get_trial(place.id)
                if self._is_dead(trial):
                    self._storage.set_trial_state_values(place.id, TrialState.WAITING)
                    # Not earlier: if this process dies in between, the lock file must still show that the owner is dead.
                    Path(trial.user_attrs[OWNER]["lock"]).unlink(missing_ok=True)

    def _is_dead(self, trial: FrozenTrial) -> bool:
        owner = trial.user_attrs.get(OWNER, {})
        if owner == self._owner:
            return False
        # Another machine may have the same host name; its lock file is not on this machine.
        if owner.get("host") == socket.gethostname() and Path(owner["lock"]).exists():
            try:
                with FileLock(owner["lock"], timeout=0):
                    pass
            except Timeout:
                return False
            return True
        return clock(self._engine) - float(trial.user_attrs.get(BEAT, 0)) > GRACE_SECONDS

    # ------------------------------------------------------------------------------------------------ one trial

    @undisturbed()
    def claim(self) -> Trial | None:
        """Take the next waiting trial; None if no trial waits."""
        # Under the lock, because two processes that find the same trial first would both take it.
        with self.alone():
            place = self._storage.claim(self._id, {BEAT: clock(self._engine), OWNER: self._owner})
        if not place:
            return None
        # Each trial has a sampler seed of its own, so that a continued study does not draw its first points again.
        seed = int(digest_of([self.study.id, place.number])[:8], 16)
        self._optuna.sampler = self.study.design.sampler(seed)
        return Trial(self._optuna, place.id)

    @undisturbed()
    def suggest(self, trial: Trial) -> Point:
        """Return the point of a trial; the sampler of a search chooses it now."""
        return self.study.design.draw(self.study, trial)

    @undisturbed()
    def note(self, trial: Trial, values: Mapping[int, float]) -> None:
        """Report the values of a trial at new steps to the pruner; do nothing if another process has the trial."""
        trial_id = self._trial_id(trial.number)
        noted = self._storage.get_trial(trial_id).intermediate_values
        # Without the lock: every epoch of every process would wait for it, and an extra value does no harm.
        with suppress(UpdateFinishedTrialError):
            if self._is_mine(trial_id):
                for step in sorted(values.keys() - noted.keys()):
                    trial.report(values[step], step)

    @contextmanager
    def beat(self, trial: Trial) -> Iterator[None]:
        """Send heartbeats of a trial while it runs."""
        done = threading.Event()
        trial_id = self._trial_id(trial.number)

        def mark() -> None:
            try:
                while not done.wait(BEAT_SECONDS):
                    # A database that is unreachable for a while gets the next heartbeat.
                    with suppress(SQLAlchemyError, StorageInternalError):
                        # The current owner sends heartbeats; one from this process would keep the trial alive after that owner's death.
                        if not self._is_mine(trial_id):
                            return
                        self._storage.set_trial_user_attr(trial_id, BEAT, clock(self._engine))
            except UpdateFinishedTrialError:
                return  # another process took and ended the trial since the check
            finally:
                self._end_session()  # each thread has a session of its own, and must close it

        thread = threading.Thread(target=mark, name=BEATING, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    @undisturbed()
    def finish(self, trial: Trial, values: Sequence[float], scores: Sequence[dict[str, Any]]) -> None:
        """Record the objectives of a complete trial, and the scores of its seeds."""
        with self._mine(trial.number) as mine:
            if mine:
                # The scores are written before the state, because a trial that has ended cannot be changed.
                trial.set_user_attr(SCORES, list(scores))
                self._optuna.tell(trial, list(values))

    @undisturbed()
    def end(self, trial: Trial, state: TrialState, why: str) -> None:
        """Record that a trial was pruned or failed."""
        with self._mine(trial.number) as mine:
            if mine:
                trial.set_user_attr("why", why[:2000])
                self._optuna.tell(trial, state=state)

    @undisturbed()
    def release(self, number: int) -> None:
        """Make a trial wait again; its values are kept."""
        with self._mine(number) as mine:
            if mine:
                self._storage.set_trial_state_values(self._trial_id(number), TrialState.WAITING)

    @contextmanager
    def _mine(self, number: int) -> Iterator[bool]:
        """Yield whether a trial still belongs to this process: another process takes a trial without heartbeats."""
        # The lock is held until the caller has written: the trial could be taken between the check and the write.
        with self.alone():
            yield self._is_mine(self._trial_id(number))

    def _is_mine(self, trial_id: int) -> bool:
        held = self._storage.get_trial(trial_id)
        return held.state == TrialState.RUNNING and held.user_attrs.get(OWNER) == self._owner

    def _trial_id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)

    # ------------------------------------------------------------------------------------------------- looking

    @undisturbed()
    def trials(self) -> list[FrozenTrial]:
        """Return every trial, in the order of its number."""
        return self._optuna.get_trials(deepcopy=False)

    @undisturbed()
    def places(self, *states: TrialState) -> list[Place]:
        """Return number, name and state of the trials, by number; only those in `states`, if any are given."""
        return self._storage.places(self._id, *states)

    def open_trials(self) -> list[Place]:
        """Return the trials that wait or run."""
        return self.places(TrialState.WAITING, TrialState.RUNNING)

    @undisturbed()
    def has_waiting(self) -> bool:
        """Return whether a trial waits for a worker."""
        return self._storage.first_waiting(self._id) is not None

    @property
    def optuna_study(self) -> optuna.Study:
        """The Optuna study, for Optuna's own plots and measures of importance."""
        return self._optuna


def without_replaced(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials without failed ones whose point a later trial has completed."""
    ended = {trial.user_attrs.get(POINT) for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)}
    return [
        trial
        for trial in trials
        if trial.state != TrialState.FAIL or not trial.user_attrs.get(POINT) or trial.user_attrs[POINT] not in ended
    ]


def runs_of_trials(url: str) -> dict[str, set[str]]:
    """Return the ids of the runs that trials have used, by the name of the study, from a database."""
    if not _is_there(url):
        return {}
    storage = _connect(url)
    try:
        return {
            name: {
                str(score["cell"])
                for trial in optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)
                for score in trial.user_attrs.get(SCORES, [])
            }
            for name in optuna.get_all_study_names(storage)
        }
    finally:
        storage.remove_session()
        storage.engine.dispose()


def left_of(study: AblationStudy, url: str) -> tuple[list[str], int]:
    """Return the points of the trials that have not ended, and the total number of trials, without creating anything."""
    if not _is_there(url) or study.name not in runs_of_trials(url):
        lacking = study.design.lacking(study, [], [])
        return [name for name, _ in lacking], len(lacking)
    queue = Queue(study, url)
    try:
        points = [name for name, _ in queue.lacking()]
        return [place.point for place in queue.open_trials()] + points, len(queue.places()) + len(points)
    finally:
        queue.close()


def folders_of(url: str) -> list[Path]:
    """Return the folder of a database that is a file; empty for another database."""
    return [Path(str(make_url(url).database)).resolve().parent] if url.startswith("sqlite:") else []


def forget(name: str, url: str) -> None:
    """Delete the trials of a study, if the database has any."""
    if not _is_there(url):
        return
    storage = _connect(url)
    try:
        if name in optuna.get_all_study_names(storage):
            optuna.delete_study(study_name=name, storage=storage)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _is_there(url: str) -> bool:
    """Say whether a database is there and has Optuna's tables, without creating either."""
    if url.startswith("sqlite") and not Path(str(make_url(url).database)).is_file():
        return False
    with _answering(url):
        return inspect(_engine(url)).has_table("studies")


def _connect(url: str) -> RDBStorage:
    # Two processes that meet a new database would both create its tables.
    with _answering(url), locks_of(_engine(url)).lock("tables"):
        return RDBStorage(url, engine_kwargs=_engine_arguments(make_url(url)))


def _engine(url: str) -> Engine:
    engine = create_engine(url, poolclass=NullPool, **_engine_arguments(make_url(url)))
    if inspect(engine).has_table("experiments"):  # both keep the version of their tables in one table of the same name
        raise UsageError(
            f"--storage: must be a database for Optuna alone, got {url}, which is a tracking store of MLflow. "
            "Name another one; without --storage and OPTUNA_STORAGE a local SQLite file is used."
        )
    return engine


@contextmanager
def _answering(url: str) -> Iterator[None]:
    """Name the database that does not answer."""
    try:
        yield
    except (SQLAlchemyError, ImportError, OSError, optuna.exceptions.OptunaError, RuntimeError, ValueError) as error:
        if full := disk_error(error, url):
            raise full from error
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise UsageError(
            f"--storage: must be a database that answers, got {url} ({reason}). "
            "Start it or correct the URL; without --storage and OPTUNA_STORAGE a local SQLite file is used."
        ) from None


def _engine_arguments(url: URL) -> dict[str, Any]:
    kind = url.get_backend_name()
    if kind == "postgresql":
        return {"pool_pre_ping": True}
    if kind != "sqlite":
        raise ValueError("only SQLite and PostgreSQL are supported")
    if url.database in (None, "", ":memory:"):
        raise ValueError("in memory, where no other process sees it")
    # Checked before taking the lock beside the database, which would create the folder.
    if not Path(str(url.database)).absolute().parent.is_dir():
        raise ValueError("in a folder that does not exist")
    return {"connect_args": {"timeout": SQLITE_SECONDS}}
