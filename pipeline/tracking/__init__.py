"""Tracking: where runs, their curves and their files are recorded. Nothing else in the project knows MLflow."""

from functools import cache

from pipeline.tracking.base import BusyError, Run, Status, Stopped, Tracker, locked
from pipeline.tracking.memory import MemoryTracker

__all__ = ["BusyError", "MemoryTracker", "Run", "Status", "Stopped", "Tracker", "connect", "connect_once", "locked"]


def connect(uri: str | None = None) -> Tracker:
    """Connect to a store, by default the one that `MLFLOW_TRACKING_URI` names, or else SQLite in this folder."""
    from pipeline.tracking.mlflow_tracker import MlflowTracker  # noqa: PLC0415 - importing MLflow takes seconds

    return MlflowTracker(uri)


@cache
def connect_once(uri: str) -> Tracker:
    """Return this process's tracker of a store, which all its tasks share."""
    return connect(uri)
