"""Tracking: where runs, their curves and their files are recorded. Nothing else in the project knows MLflow."""

from pipeline.tracking.base import Run, Status, Tracker
from pipeline.tracking.memory import MemoryTracker

__all__ = ["MemoryTracker", "Run", "Status", "Tracker", "connect"]


def connect() -> Tracker:
    """Connect to the store that `MLFLOW_TRACKING_URI` names, by default SQLite in this folder."""
    from pipeline.tracking.mlflow_tracker import MlflowTracker  # noqa: PLC0415 - importing MLflow takes seconds

    return MlflowTracker()
