"""A folder of its own for each test of the pipeline, and stores that start in it."""

import contextlib
import os
import shutil

import pytest

from pipeline.tracking import MemoryTracker


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A working directory without checkpoints, results or store; the real data stays where it is."""
    monkeypatch.setenv("EVENT_DATA_DIR", os.path.abspath(os.environ.get("EVENT_DATA_DIR", "data")))  # noqa: PTH100
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A migrated SQLite store; migrating one takes seconds, copying it none."""
    from mlflow.tracking import MlflowClient  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("store")
    with contextlib.chdir(folder):  # the default experiment keeps its artifacts where it was made
        MlflowClient("sqlite:///mlflow.db").search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def mlflow_store(workplace, empty_store):
    """The local MLflow store of the workplace, empty."""
    shutil.copy(empty_store, workplace / "mlflow.db")
    return workplace / "mlflow.db"


@pytest.fixture
def memory(workplace):
    return MemoryTracker(workplace / "artifacts")


@pytest.fixture
def mlflow_tracker(mlflow_store):
    from pipeline.tracking.mlflow_tracker import MlflowTracker  # noqa: PLC0415

    return MlflowTracker(f"sqlite:///{mlflow_store}")
