"""One thread for all tests, as in every run; fixtures for separate folders, stores and databases."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch

torch.set_num_threads(1)


EXHAUSTIVE = os.environ.get("FAULTS") == "all"
"""Whether to run the exhaustive tests, which repeat a cheaper test in more places; `make test-faults` sets it."""


def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
    wanted = {"exhaustive": EXHAUSTIVE, "containers": config.option.markexpr == "containers"}
    left_out = [
        item for item in items if any(item.get_closest_marker(name) and not given for name, given in wanted.items())
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def pytest_terminal_summary(terminalreporter):
    """Print the counts of the fault tests; with xdist workers, this process does not read tests/faults/conftest.py, so it is here."""
    from harness import COUNTED  # noqa: PLC0415 - imports the project

    counts = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                for name, count in report.user_properties:
                    counts[name] += count if name in COUNTED else 0
    if counts["faults"]:
        terminalreporter.section("faults" if EXHAUSTIVE else "faults (a sample; make test-faults injects all)")
        terminalreporter.write_line(", ".join(f"{counts[name]} {said}" for name, said in COUNTED.items()))


STORES = ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "OPTUNA_STORAGE")
"""Environment variables that select a store."""


@pytest.fixture(autouse=True)
def environment():
    """Reset the store that a test made MLflow use; MLflow keeps it in a module and in the variables STORES.

    Variables that a module sets on import are kept, because the module is imported only once.
    """
    before = {name: os.environ.get(name) for name in STORES}
    yield
    if mlflow := sys.modules.get("mlflow"):  # not imported here: it takes seconds
        mlflow.set_tracking_uri(None)
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A working directory without checkpoints, results or store; the real data stays where it is."""
    monkeypatch.setenv("EVENT_DATA_DIR", os.path.abspath(os.environ.get("EVENT_DATA_DIR", "data")))  # noqa: PTH100
    monkeypatch.setenv(
        "BROWSER_PATH", "/no/browser"
    )  # drawing is the slowest part of an analysis: tests of figures use the fixture `browser`
    monkeypatch.chdir(tmp_path)
    for name in STORES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def browser(workplace, monkeypatch):  # noqa: ARG001 - has set BROWSER_PATH
    """Let analyses draw their figures."""
    monkeypatch.delenv("BROWSER_PATH")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A migrated SQLite store, to be copied: migrating takes seconds, and copying does not."""
    from mlflow.tracking import MlflowClient  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("store")
    with contextlib.chdir(folder):  # the default experiment stores its artifacts in the folder of its creation
        MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def mlflow_store(workplace, empty_store):
    """The local MLflow store of the workplace, initially empty."""
    shutil.copy(empty_store, workplace / "mlflow.db")
    return workplace / "mlflow.db"


def answers(address):
    with contextlib.suppress(OSError):
        urllib.request.urlopen(address).close()  # noqa: S310 - the test's own server
        return True
    return False


@pytest.fixture
def server(mlflow_store):
    """The address of a tracking server for the local store."""
    with served(f"sqlite:///{mlflow_store}", mlflow_store.parent) as address:
        yield address


@contextlib.contextmanager
def served(backend, folder):
    """Serve the store at the address `backend`, with artifacts and a log in `folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", backend, "--artifacts-destination", str(folder / "served")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            while not answers(f"http://127.0.0.1:{port}/health"):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
                assert process.poll() is None, (folder / "server.log").read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


@pytest.fixture
def postgres():
    """The URL of an empty database of a separate PostgreSQL server on the loopback interface."""
    found = shutil.which("initdb") or next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
    if not found:
        pytest.skip("PostgreSQL is not installed: scripts/postgres.sh says how")
    # Not below pytest's own folders: pytest denies other users access to them whenever a session starts.
    with TemporaryDirectory(prefix="postgres-") as name:
        folder, programs, as_user = Path(name), Path(found).parent, []
        if getpass.getuser() == "root":  # PostgreSQL refuses to run as root
            shutil.chown(folder, "postgres")
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


@pytest.fixture
def postgres_server(postgres, workplace):
    """The address of a tracking server for an empty PostgreSQL database."""
    with served(postgres, workplace) as address:
        yield address
