"""A folder of its own for each test of the pipeline, and stores that start in it."""

import contextlib
import getpass
import importlib
import os
import shutil
import socket
import subprocess
from pathlib import Path

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


@pytest.fixture
def launched(monkeypatch):
    """The module of the work of other processes, which find it by the path they are given."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    return importlib.import_module("launched")


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


@pytest.fixture
def postgres(tmp_path_factory):
    """The URL of an empty PostgreSQL database on loopback, with a server of its own."""
    found = shutil.which("initdb") or next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
    if not found:
        pytest.skip("PostgreSQL is not installed: scripts/postgres.sh says how")
    programs = Path(found).parent
    folder = tmp_path_factory.mktemp("postgres")
    as_user = []
    if getpass.getuser() == "root":  # it refuses to run as root
        shutil.chown(folder, "postgres")
        for parent in list(folder.parents)[:2]:
            parent.chmod(0o755)
        as_user = ["runuser", "-u", "postgres", "--"]

    def call(program, *arguments):
        subprocess.run([*as_user, programs / program, *arguments], check=True, capture_output=True, cwd=folder)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    call("initdb", "-D", data, "-A", "trust", "-U", "postgres")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
    call("pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        call("pg_ctl", "-D", data, "-m", "immediate", "stop")
