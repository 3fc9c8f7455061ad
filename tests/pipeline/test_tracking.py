"""Both trackers, by the same tests: the twin is worth something only while it behaves like MLflow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import requests
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import OperationalError

from pipeline.errors import RunError, UsageError
from pipeline.identity import ROOT
from pipeline.tracking import MemoryTracker, base
from pipeline.tracking.base import LOCKS


@pytest.fixture(params=["memory", "mlflow_tracker"])
def tracker(request):
    return request.getfixturevalue(request.param)


def test_a_run_is_found_by_its_tags_newest_first(tracker):
    one = tracker.create("one", tags={"cell": "a", "kind": "x"})
    two = tracker.create("two", tags={"cell": "a"}, parent=one)
    tracker.create("three", tags={"cell": "b"})
    assert [run.id for run in tracker.find(cell="a")] == [two, one]
    assert [run.name for run in tracker.find(cell="a", kind="x")] == ["one"]
    assert tracker.get(two).tags["mlflow.parentRunId"] == one
    assert tracker.get(one).status == "RUNNING"


def test_a_param_keeps_its_first_value(tracker):
    run = tracker.create("run", tags={})
    tracker.log_params(run, {"train.learning_rate": "1e-3"})
    tracker.log_params(run, {"train.learning_rate": 0.001, "seed": 0})
    params = tracker.params[run] if isinstance(tracker, MemoryTracker) else tracker._client.get_run(run).data.params
    assert {name: str(value) for name, value in params.items()} == {"train.learning_rate": "1e-3", "seed": "0"}


def test_metrics_keep_their_last_value(tracker):
    run = tracker.create("run", tags={})
    tracker.log_metrics(run, {"test/loss": 2.0, "epoch": 1}, step=1)
    tracker.log_metrics(run, {"test/loss": 1.5, "epoch": 2}, step=2)
    assert tracker.get(run).metrics == {"test/loss": 1.5, "epoch": 2}


def test_files_and_texts_come_back(tracker, tmp_path):
    run = tracker.create("run", tags={})
    tracker.log_text(run, "deep/config.json", "{}")
    (tmp_path / "weights.pt").write_bytes(b"123")
    tracker.log_file(run, tmp_path / "weights.pt", "checkpoints")
    assert tracker.fetch(run, "deep/config.json").read_text() == "{}"
    assert tracker.fetch(run, "checkpoints/weights.pt").read_bytes() == b"123"
    with pytest.raises(FileNotFoundError):
        tracker.fetch(run, "nothing.json")


def test_a_table_replaces_the_one_before(tracker):
    run = tracker.create("run", tags={})
    for value in (1, 2):
        tracker.log_table(run, "table.json", pd.DataFrame({"a": [value], "b": ["x"]}))
    assert json.loads(tracker.fetch(run, "table.json").read_text()) == {"columns": ["a", "b"], "data": [[2, "x"]]}


def test_a_held_run_ends_as_its_work_does(tracker):
    def status(error):
        run = tracker.create("run", tags={})
        if error is None:
            with tracker.hold(run):
                assert tracker.get(run).status == "RUNNING"
        else:
            with pytest.raises(type(error)), tracker.hold(run):
                raise error
        return tracker.get(run)

    assert status(None).status == "FINISHED"
    assert status(KeyboardInterrupt()).status == "KILLED"
    failed = status(FloatingPointError("loss is nan"))
    assert failed.status == "FAILED"
    assert failed.tags["error"] == "FloatingPointError: loss is nan"
    trace = tracker.fetch(failed.id, "error.txt").read_text()
    assert trace.startswith("Traceback")
    assert trace.endswith("raise error\nFloatingPointError: loss is nan\n")


def test_a_run_that_nobody_holds_is_swept_and_a_held_one_is_not(tracker):
    dead, alive = (tracker.create(name, tags={}) for name in ("dead", "alive"))
    with pytest.raises(RuntimeError), tracker.hold(dead):
        raise RuntimeError("as if killed")
    tracker.set_status(dead, "RUNNING")
    holder = (
        "import sys; from filelock import FileLock\n"
        f"with FileLock(r'{(LOCKS / alive).resolve()}.lock'): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        tracker.set_tags(alive, {key: tracker.get(dead).tags[key] for key in ("host", "locks")})
        tracker.sweep()
        assert tracker.get(dead).status == "KILLED"
        assert tracker.get(alive).status == "RUNNING"
        process.communicate()


def test_who_waits_for_a_run_keeps_a_third_from_it(memory, monkeypatch):
    run = memory.create("run", tags={})
    second, third = (FileLock(LOCKS / f"{run}.lock", timeout=0) for _ in range(2))

    class Awaited(FileLock):
        def _release(self):
            super()._release()
            second.acquire()

    monkeypatch.setattr(base, "FileLock", Awaited)
    with memory.hold(run):
        pass
    with pytest.raises(Timeout):
        third.acquire()
    second.release()


def test_the_mlflow_run_keeps_the_raw_param_that_mlflow_logged(mlflow_tracker):
    run = mlflow_tracker.create("run", tags={})
    mlflow_tracker.log_params(run, {"train.learning_rate": "1e-3"})
    mlflow_tracker.log_params(run, {"train.learning_rate": 0.001, "seed": 0})
    params = mlflow_tracker._client.get_run(run).data.params
    assert params == {"train.learning_rate": "1e-3", "seed": "0"}


def test_a_table_is_marked_for_the_ui(mlflow_tracker):
    run = mlflow_tracker.create("run", tags={})
    mlflow_tracker.log_table(run, "table.json", pd.DataFrame({"a": [1]}))
    shown = json.loads(mlflow_tracker.get(run).tags["mlflow.loggedArtifacts"])
    assert shown == [{"path": "table.json", "type": "table"}]


def test_downloads_leave_no_folder_behind(mlflow_tracker, tmp_path):
    run = mlflow_tracker.create("run", tags={})
    mlflow_tracker.log_text(run, "a.txt", "one")
    mlflow_tracker.log_text(run, "deep/a.txt", "two")
    script = (
        "import sys, tempfile; from pathlib import Path; from pipeline.tracking import connect; tracker = connect()\n"
        "texts = [tracker.fetch(sys.argv[1], path).read_text() for path in ('a.txt', 'deep/a.txt', 'a.txt')]\n"
        "print(*texts, len(list(Path(tempfile.gettempdir()).iterdir())))"
    )
    (tmp_path / "temporary").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "temporary")}
    command = [sys.executable, "-c", script, run]
    said = subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert said.split() == ["one", "two", "one", "1"]
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:////dev/null/mlflow.db"])
def test_a_store_that_does_not_answer_is_said_in_one_line(workplace, uri, monkeypatch):
    from pipeline.tracking.mlflow_tracker import MlflowTracker  # noqa: PLC0415

    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UsageError, match="MLFLOW_TRACKING_URI: must be a tracking store that answers, got") as error:
        MlflowTracker()
    assert "\n" not in str(error.value)
    assert not list(Path(workplace).glob("*.db"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionResetError(), "MLFLOW_TRACKING_URI: must be a tracking store that answers, got"),
        (requests.ConnectionError("refused"), "MLFLOW_TRACKING_URI: must be a tracking store that answers, got"),
        (OperationalError(None, None, Exception("refused")), "MLFLOW_TRACKING_URI: must be a tracking store that"),
        (OperationalError("INSERT", None, Exception("database or disk is full")), "asks, got OperationalError"),
        (OSError(28, "No space left on device"), "must do what log_text asks, got OSError: [Errno 28] No space left"),
    ],
    ids=str,
)
def test_only_a_lost_connection_is_said_to_be_one(mlflow_tracker, monkeypatch, error, said):
    def failing(*_):
        raise error

    run = mlflow_tracker.create("run", tags={})
    monkeypatch.setattr(mlflow_tracker._client, "log_text", failing)
    with pytest.raises((UsageError, RunError)) as raised:
        mlflow_tracker.log_text(run, "a.txt", "")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert ("Start the server" in str(raised.value)) is isinstance(raised.value, UsageError)


def test_what_the_store_refuses_is_said(mlflow_tracker):
    run = mlflow_tracker.create("run", tags={})
    with pytest.raises(RunError, match='must do what log_metrics asks, got MlflowException: Invalid value "a=1"'):
        mlflow_tracker.log_metrics(run, {"a=1": 1.0})


def test_tags_are_set_as_one_batch(mlflow_tracker, monkeypatch):
    run, batches = mlflow_tracker.create("run", tags={}), []
    log_batch = mlflow_tracker._client.log_batch
    monkeypatch.setattr(
        mlflow_tracker._client, "log_batch", lambda *args, **named: batches.append(named) or log_batch(*args, **named)
    )
    mlflow_tracker.set_tags(run, {"a": "1", "b": "2", "mlflow.runName": "renamed", "mlflow.note.content": "x" * 9000})
    assert len(batches) == 1
    assert mlflow_tracker.get(run).tags.items() >= {"a": "1", "b": "2"}.items()
    assert mlflow_tracker.get(run).name == "renamed"


def test_two_processes_may_meet_a_new_store(workplace):
    command = [sys.executable, "-c", "from pipeline.tracking import connect; connect()"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    both = [subprocess.Popen(command, cwd=workplace, env=environment, stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate()[1].decode() for process in both] == ["", ""]
    assert [process.returncode for process in both] == [0, 0]


def test_a_data_set_that_another_process_records_in_the_same_moment_is_recorded_all_the_same(
    mlflow_tracker, monkeypatch
):
    run_id = mlflow_tracker.create("a", tags={})
    client, calls = mlflow_tracker._client, []

    def meets_another(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise MlflowException("duplicate key value violates unique constraint")
        return MlflowClient.log_inputs(client, *arguments)

    monkeypatch.setattr(client, "log_inputs", meets_another)
    mlflow_tracker.log_dataset(run_id, name="events", digest="d" * 64, profile={"test": 3})
    assert [used.dataset.digest for used in client.get_run(run_id).inputs.dataset_inputs] == ["d" * 36]
    monkeypatch.setattr(client, "log_inputs", lambda *_: (_ for _ in ()).throw(MlflowException("no")))
    with pytest.raises(RunError, match="must do what log_dataset asks, got"):
        mlflow_tracker.log_dataset(run_id, name="events", digest="d" * 64, profile={"test": 3})
