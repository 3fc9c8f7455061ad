"""Tracking: where runs, their curves and their files are recorded. Nothing else in the project knows MLflow."""

from functools import cache

from pipeline.tracking.base import Recorder, Stopped, Tracker
from pipeline.tracking.delivery import DELIVER, UnsentError, deliver_all, spooled
from pipeline.tracking.link import at_once
from pipeline.tracking.memory import MemoryTracker
from pipeline.tracking.model_registry import MOST_LETTERS, Version
from pipeline.tracking.ownership import BrokenError, BusyError, Check, LostError, retaken
from pipeline.tracking.run import SEALED, Run, Status
from pipeline.tracking.spool import FILE as SPOOL
from pipeline.tracking.spool import alone

__all__ = [
    "DELIVER",
    "MOST_LETTERS",
    "SEALED",
    "SPOOL",
    "BrokenError",
    "BusyError",
    "Check",
    "Connection",
    "LostError",
    "MemoryTracker",
    "Recorder",
    "Run",
    "Status",
    "Stopped",
    "Tracker",
    "UnsentError",
    "Version",
    "alone",
    "at_once",
    "connect",
    "connect_once",
    "deliver_all",
    "retaken",
    "spooled",
]


def connect(uri: str | None = None, database: str | None = None, experiment: str | None = None) -> Tracker:
    """Connect to a store, by default the one that `MLFLOW_TRACKING_URI` names, or else SQLite in this folder.

    `database`, by default `OPTUNA_STORAGE`, is used by all processes that share a server to lock runs, if it is PostgreSQL.
    A process that is given the id of the `experiment` can begin while the server is unreachable.
    """
    from pipeline.tracking.mlflow_tracker import MlflowTracker  # noqa: PLC0415 - importing MLflow takes seconds

    return MlflowTracker(uri, database, experiment)


@cache
def connect_once(uri: str, *more: str) -> Tracker:
    """Return the tracker of a store that all tasks of this process share."""
    return connect(uri, *more)


class Connection:
    """A tracker that is sent with a task to another process, where it connects at first use.

    It does not connect when the task is unpickled: an error would then break the pool of processes instead of ending the task.
    """

    def __init__(self, tracker: Tracker) -> None:
        """Hold the tracker of this process."""
        self._tracker = tracker

    @property
    def tracker(self) -> Tracker:
        """The tracker of this process."""
        return self._tracker

    def __reduce__(self) -> "tuple[type[_Remote], tuple[str, ...]]":
        return _Remote, self._tracker.address()


class _Remote(Connection):
    """A connection that has arrived in another process."""

    def __init__(self, *address: str) -> None:
        self._address = address

    @property
    def tracker(self) -> Tracker:
        """The tracker that all tasks of this process share."""
        return connect_once(*self._address)

    def __reduce__(self) -> "tuple[type[_Remote], tuple[str, ...]]":
        return _Remote, self._address
