"""Tracking: where runs, their curves and their files are recorded. Nothing else in the project knows MLflow."""

from functools import cache

from pipeline.tracking.base import Stopped, Tracker
from pipeline.tracking.memory import MemoryTracker
from pipeline.tracking.ownership import BusyError, Check, LostError
from pipeline.tracking.run import Run, Status

__all__ = [
    "BusyError",
    "Check",
    "LostError",
    "MemoryTracker",
    "Run",
    "Status",
    "Stopped",
    "Tracker",
    "connect",
    "connect_once",
]


def connect(uri: str | None = None, database: str | None = None) -> Tracker:
    """Connect to a store, by default the one that `MLFLOW_TRACKING_URI` names, or else SQLite in this folder.

    `database`, by default `OPTUNA_STORAGE`, is one that all who share a server can lock runs by, where it is PostgreSQL.
    """
    from pipeline.tracking.mlflow_tracker import MlflowTracker  # noqa: PLC0415 - importing MLflow takes seconds

    return MlflowTracker(uri, database)


@cache
def connect_once(uri: str, database: str | None = None) -> Tracker:
    """Return this process's tracker of a store, which all its tasks share."""
    return connect(uri, database)
