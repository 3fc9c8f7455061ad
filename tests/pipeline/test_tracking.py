"""Both trackers, by the same tests: the twin is worth something only while it behaves like MLflow."""

import errno
import getpass
import json
import os
import pickle
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError

import mlflow
import optuna
import pandas as pd
import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.tracking import fluent
from mlflow.tracking._tracking_service import utils as tracking_service
from sqlalchemy.exc import OperationalError

from pipeline.errors import DiskError, RunError, UsageError, causes, disk_error
from pipeline.identity import ROOT
from pipeline.tracking import BusyError, MemoryTracker, connect, link
from pipeline.tracking import mlflow_tracker as mlflow_tracker_module


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
    refused = status(UsageError("plan.json: must be there, got none. Restore it."))
    assert refused.tags["error"] == "UsageError: plan.json: must be there, got none. Restore it."
    assert tracker.fetch_all(refused.id, ["error.txt"]) == {}


def test_a_run_that_nobody_owns_is_swept_and_an_owned_one_is_not(tracker):
    dead, alive = (tracker.create(name, tags={}) for name in ("dead", "alive"))
    with pytest.raises(RuntimeError), tracker.hold(dead):
        raise RuntimeError("as if killed")
    foreign = tracker.create("by something else", tags={"ownership": ""})
    for run in (dead, foreign):
        tracker.set_status(run, "RUNNING")
    holder = (
        "import pickle, sys; from pipeline.tracking.ownership import FileLocks\n"
        "with pickle.loads(bytes.fromhex(sys.argv[1])).lock(sys.argv[2]): print('owned', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holder, pickle.dumps(tracker.ownership.locks).hex(), alive]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        process.stdout.readline()
        tracker.sweep()
        assert [tracker.get(run).status for run in (dead, alive, foreign)] == ["KILLED", "RUNNING", "RUNNING"]
        process.communicate()


def test_a_sweep_reads_only_the_runs_that_are_running(mlflow_tracker, monkeypatch):
    for number in range(3):
        with mlflow_tracker.hold(mlflow_tracker.create(f"{number}", tags={})):
            pass
    monkeypatch.setattr(mlflow_tracker, "get", lambda *_: pytest.fail("a finished run was read"))
    mlflow_tracker.sweep()


def test_a_run_that_another_owns_is_said_to_be_with_its_owner(tracker):
    run = tracker.create("run", tags={})
    with tracker.own(run), pytest.raises(BusyError) as error, tracker.hold(run):
        pass
    assert str(error.value) == (
        f"run {run}: must be free, got one that process {os.getpid()} on {socket.gethostname()} works on. "
        "Wait for that to end."
    )


def test_a_running_run_that_is_kept_in_another_way_is_not_taken(tracker):
    run = tracker.create("run", tags={"ownership": "database 7-5"})
    with pytest.raises(UsageError, match="works on, kept by database 7-5 and not by files"), tracker.hold(run):
        pass
    tracker.set_status(run, "KILLED")
    with tracker.hold(run):
        pass


def test_all_who_ask_for_the_run_of_something_get_the_same(tracker):
    wanted = {"kind": "study", "study": 'o\'brien "x" `y` \\ %'}
    tracker.create("another", tags={"kind": "study", "study": "o'brien"})
    one = tracker.sole("name", wanted, tags={"more": "1"})
    assert tracker.sole("name", wanted, tags={}) == one
    assert tracker.get(one).tags.items() >= {**wanted, "more": "1"}.items()
    assert [run.id for run in tracker.find(**wanted)] == [one]


@pytest.mark.parametrize("name", ["o'brien", 'o\'brien said "yes"', "50 % #1? é"])
def test_a_store_works_in_a_folder_with_any_name(workplace, empty_store, monkeypatch, name):
    (workplace / name).mkdir()
    shutil.copy(empty_store, workplace / name / "mlflow.db")
    monkeypatch.chdir(workplace / name)
    tracker = connect()
    run = tracker.create("run", tags={})
    tracker.log_text(run, "a.txt", "text")
    tracker.sweep()
    assert tracker.get(run).status == "KILLED"
    with tracker.hold(tracker.sole("sole", {"cell": "x"}, tags={})):
        assert [each.name for each in tracker.find(status="RUNNING", cell="x")] == ["sole"]
    assert connect().fetch(run, "a.txt").read_text() == "text"


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///:memory:"])
def test_a_store_in_memory_is_refused_and_no_file_of_its_name_is_made(workplace, uri):
    with pytest.raises(
        UsageError, match=r"MLFLOW_TRACKING_URI: must be a store that other processes see, got sqlite://"
    ):
        connect(uri)
    assert list(workplace.iterdir()) == []


def test_one_process_has_a_store_per_working_folder(workplace, empty_store, monkeypatch):
    for folder in (workplace / "one", workplace / "other"):
        folder.mkdir()
        shutil.copy(empty_store, folder / "mlflow.db")
        monkeypatch.chdir(folder)
        connect().create("run", tags={"folder": folder.name})
        assert [run.tags["folder"] for run in connect().find()] == [folder.name]


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


def test_artifacts_of_a_local_store_are_read_where_they_lie(mlflow_tracker):
    run = mlflow_tracker.create("run", tags={})
    mlflow_tracker.log_text(run, "deep/a.txt", "text")
    found = mlflow_tracker.fetch_all(run, ["deep/a.txt", "nothing.txt"])
    assert found == {"deep/a.txt": mlflow_tracker.fetch(run, "deep/a.txt")}
    assert found["deep/a.txt"].parts[-4:] == (run, "artifacts", "deep", "a.txt")
    mlflow_tracker.log_text(run, "deep/a.txt", "another")
    assert found["deep/a.txt"].read_text() == "another"


def test_files_of_another_machine_are_downloaded_by_looking_into_each_folder_once(
    mlflow_tracker, workplace, monkeypatch
):
    far, looked = workplace / "far", []

    class Far(LocalArtifactRepository):
        def list_artifacts(self, path=None):
            looked.append(path)
            return super().list_artifacts(path)

    def repository(run_id):
        return Far(f"file://{far}/{run_id}")

    monkeypatch.setattr(mlflow_tracker, "_place", lambda run_id: f"far:/{run_id}")
    monkeypatch.setattr(mlflow_tracker, "_repository", repository)
    monkeypatch.setattr(mlflow_tracker_module, "KEPT", 2)
    for run in ("one", "two", "three"):
        for path in ("a.txt", "b.txt", "deep/a.txt"):
            (far / run / path).parent.mkdir(parents=True, exist_ok=True)
            (far / run / path).write_text(f"{run} {path}")
    first = mlflow_tracker.fetch_all("one", ["a.txt", "b.txt", "deep/a.txt", "nothing.txt"])
    assert {path: file.read_text() for path, file in first.items()} == {
        path: f"one {path}" for path in ("a.txt", "b.txt", "deep/a.txt")
    }
    assert sorted(looked, key=str) == [None, "deep"]
    mlflow_tracker.fetch("two", "a.txt")
    assert first["a.txt"].is_file()
    mlflow_tracker.fetch("three", "a.txt")
    assert not first["a.txt"].exists()
    assert {path.name for path in mlflow_tracker._downloads.iterdir()} == {"two", "three"}
    mlflow_tracker.delete_artifacts("one", "deep")
    assert not (far / "one" / "deep").exists()


def test_downloads_leave_no_folder_behind(mlflow_store, workplace):
    assert mlflow_store.parent == workplace
    script = (
        "import os, tempfile; from pathlib import Path; from pipeline.tracking import connect; tracker = connect()\n"
        "run = tracker.create('run', tags={}); tracker.log_text(run, 'deep/a.txt', 'text')\n"
        "repository = tracker._repository(run); tracker._repository = lambda _: repository\n"
        "tracker._place = lambda _: 'far:/'; print(tracker.fetch(run, 'deep/a.txt').read_text())\n"
        "print(len(os.listdir(tempfile.gettempdir())))"
    )
    (workplace / "temporary").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(workplace / "temporary")}
    command = [sys.executable, "-c", script]
    said = subprocess.run(command, env=environment, cwd=workplace, check=True, capture_output=True, text=True).stdout
    assert said.split() == ["text", "1"]
    assert list((workplace / "temporary").iterdir()) == []


@pytest.mark.parametrize(
    "uri", ["localhost:5000", "./mlruns", "file:///tmp/mlruns", "mysql://me@host/runs", "http:/host"]
)
def test_an_address_of_no_store_is_said_before_mlflow_sees_it(workplace, uri):
    with pytest.raises(
        UsageError, match=r"MLFLOW_TRACKING_URI: must begin with http://, https://, sqlite:/// or postgresql://, got"
    ):
        mlflow_tracker_module.MlflowTracker(uri)
    assert list(workplace.iterdir()) == []


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9", "sqlite:////dev/null/mlflow.db", "sqlite:////proc/1/none/mlflow.db"]
)
def test_a_store_that_does_not_answer_is_said_in_one_line(workplace, uri, monkeypatch):
    from pipeline.tracking.mlflow_tracker import MlflowTracker  # noqa: PLC0415

    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(link, "START_SECONDS", 0)
    with pytest.raises(UsageError, match="MLFLOW_TRACKING_URI: must be a tracking store that answers, got") as error:
        MlflowTracker()
    assert "\n" not in str(error.value)
    assert not list(Path(workplace).glob("*.db"))


def test_a_command_that_starts_while_a_server_restarts_waits_for_it(monkeypatch, capsys):
    looks = iter([URLError(ConnectionRefusedError()), URLError(socket.gaierror()), None])

    def look(_):
        if error := next(looks):
            raise error

    monkeypatch.setattr(link, "ask", look)
    monkeypatch.setattr(link, "RETRY_SECONDS", 0)
    link.wait_for("http://mlflow:5000")
    assert capsys.readouterr().out.count("does not answer yet") == 1
    assert next(looks, "all were used") == "all were used"


def test_links_have_the_address_for_people(monkeypatch):
    tracker = mlflow_tracker_module.MlflowTracker("http://mlflow:5000", experiment="1")
    assert (tracker.site, tracker.ui) == ("http://mlflow:5000/", "http://mlflow:5000")
    monkeypatch.setenv("MLFLOW_PUBLIC_URL", "https://runs.example/")
    assert (tracker.site, tracker.ui) == ("https://runs.example/", "https://runs.example")
    assert tracker.uri == "http://mlflow:5000"


def test_the_command_that_serves_a_local_store_works_from_any_folder(empty_store, tmp_path, monkeypatch):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    tracker = mlflow_tracker_module.MlflowTracker("sqlite:///mlflow.db")
    command, *arguments = shlex.split(tracker.ui)
    assert Path(command).is_file()
    assert Path(command).is_absolute()
    assert arguments == ["ui", "--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    monkeypatch.setattr(mlflow_tracker_module, "ROOT", tmp_path)  # the folder that the documentation speaks of
    assert tracker.ui == ".venv/bin/mlflow ui --backend-store-uri sqlite:///mlflow.db"


def test_a_database_of_optuna_is_no_store(workplace):
    optuna.storages.RDBStorage(f"sqlite:///{workplace}/optuna.db")
    with pytest.raises(
        UsageError, match=r"^MLFLOW_TRACKING_URI: must be a store whose tables this MLflow knows, got sqlite"
    ):
        connect("sqlite:///optuna.db")


def test_an_error_that_leads_to_itself_is_followed_once():
    first, second = RunError("of the run"), OSError(errno.EIO, "of the disk")
    first.__cause__, second.__context__ = second, first
    assert list(causes(second)) == [second, first]
    assert disk_error(second) is None


def test_a_full_disk_is_said_to_be_one(mlflow_tracker, monkeypatch):
    def failing(*_):
        raise OSError(28, "No space left on device")

    run = mlflow_tracker.create("run", tags={})
    monkeypatch.setattr(mlflow_tracker._client, "log_text", failing)
    with pytest.raises(DiskError, match=r"got one that is not \(No space left on device\)\. Make room"):
        mlflow_tracker.log_text(run, "a.txt", "")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionResetError(), "MLFLOW_TRACKING_URI: must be a tracking store that answers, got"),
        (requests.ConnectionError("refused"), "MLFLOW_TRACKING_URI: must be a tracking store that answers, got"),
        (OperationalError(None, None, Exception("refused")), "MLFLOW_TRACKING_URI: must be a tracking store that"),
        (OperationalError("INSERT", None, Exception("database or disk is full")), "asks, got OperationalError"),
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


def test_a_store_that_is_locked_is_asked_again_where_that_repeats_nothing(mlflow_tracker, monkeypatch):
    locked = sqlite3.OperationalError("database is locked")
    locked.sqlite_errorcode = sqlite3.SQLITE_BUSY
    asked = []

    def refused(of):
        def call(*arguments, **named):
            asked.append(of.__name__)
            if len(asked) < 3:
                raise MlflowException("locked") from locked
            return of(*arguments, **named)

        return call

    run = mlflow_tracker.create("one", tags={})
    client = mlflow_tracker._client
    monkeypatch.setattr(client, "set_terminated", refused(client.set_terminated))
    mlflow_tracker.set_status(run, "KILLED")
    assert asked == ["set_terminated"] * 3
    assert mlflow_tracker.get(run).status == "KILLED"
    monkeypatch.setattr(mlflow_tracker_module, "LOCKED_SECONDS", 0.0)
    asked.clear()
    with pytest.raises(RunError, match="must do what set_status asks, got MlflowException: locked"):
        mlflow_tracker.set_status(run, "KILLED")
    # Rows would be there twice if they had been written before.
    monkeypatch.setattr(mlflow_tracker_module, "LOCKED_SECONDS", 60.0)
    monkeypatch.setattr(client, "log_batch", refused(client.log_batch))
    asked.clear()
    with pytest.raises(RunError, match="must do what log_rows asks"):
        mlflow_tracker.log_metrics(run, {"loss": 1.0}, 1)
    assert asked == ["log_batch"]


def test_what_the_store_refuses_is_said(mlflow_tracker):
    run = mlflow_tracker.create("run", tags={})
    with pytest.raises(RunError, match='must do what log_rows asks, got MlflowException: Invalid value "a=1"'):
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


def test_an_experiment_whose_kind_another_process_sets_in_the_same_moment_is_opened_all_the_same(
    mlflow_store, monkeypatch
):
    set_tag = MlflowClient.set_experiment_tag
    refused = MlflowException("UNIQUE constraint failed")

    def meets_another(*arguments):
        set_tag(*arguments)
        raise refused

    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "one")
    monkeypatch.setattr(MlflowClient, "set_experiment_tag", meets_another)
    tracker = mlflow_tracker_module.MlflowTracker(f"sqlite:///{mlflow_store}")
    assert tracker._client.get_experiment(tracker._experiment).tags["mlflow.experimentKind"]
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "two")
    monkeypatch.setattr(MlflowClient, "set_experiment_tag", lambda *_: (_ for _ in ()).throw(refused))
    with pytest.raises(RunError, match="must do what __init__ asks, got"):
        mlflow_tracker_module.MlflowTracker(f"sqlite:///{mlflow_store}")


def test_the_store_the_experiment_and_the_run_that_a_caller_works_with_stay_so(
    mlflow_tracker, empty_store, workplace, untrained, monkeypatch
):
    monkeypatch.setattr(tracking_service, "_tracking_uri", None)
    monkeypatch.setattr(fluent, "_active_experiment_id", None)
    config, weights = untrained(workplace)
    example = pd.DataFrame({"times": [[1.0, 2.0]]})

    def log_model():
        run = mlflow_tracker.create("one", tags={})
        mlflow_tracker.log_model(run, name="lete", card="", weights=weights, config=config, example=example)

    def active():
        return tracking_service._tracking_uri, fluent._active_experiment_id, dict(os.environ)

    before = active()
    log_model()
    assert active() == before
    shutil.copy(empty_store, workplace / "own.db")
    own = f"sqlite:///{workplace}/own.db"
    mlflow.set_tracking_uri(own)
    experiment = mlflow.set_experiment("mine").experiment_id
    before = active()
    with mlflow.start_run() as run:
        log_model()
        assert mlflow.active_run() == run
        mlflow.log_metric("loss", 2.0)
    assert active() == before
    client = MlflowClient(own)
    assert client.get_run(run.info.run_id).data.metrics == {"loss": 2.0}
    assert client.search_logged_models([experiment, "0"]) == []
    assert len(mlflow_tracker._client.search_logged_models([mlflow_tracker._experiment])) == 2


def test_a_run_says_who_has_created_it_and_with_what(mlflow_tracker):
    tags = mlflow_tracker.get(mlflow_tracker.create("run", tags={})).tags
    assert tags["mlflow.user"] == getpass.getuser()
    assert tags["mlflow.source.name"] == "python -m pipeline"
