"""Cells on a Ray cluster of two nodes, both on this machine; what is refused before anything is started."""

import contextlib
import importlib
import json
import os
import re
import signal
import socket
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from pipeline.__main__ import main
from pipeline.comparison import compare
from pipeline.errors import RunError, UsageError
from pipeline.interrupts import KINDS
from pipeline.place import ROOT
from pipeline.stored_study import find_study
from pipeline.study import load_study
from pipeline.tracking import Connection, MemoryTracker, connect

ray = pytest.importorskip("ray")

pytestmark = [
    # Of Ray's own processes and files.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
STUDY = {
    "data.name": "mnist_sample", "data.max_events": 12, "model.hidden_dim": 8, "model.embedding.dim": 4,
    "train.batch_size": 16, "train.epochs": 8,
}  # fmt: skip


TINY = ["--data.name", "synthetic", "--data.train_size", "32", "--data.validation_size", "16", "--data.test_size", "32"]


@pytest.fixture(scope="module")
def machines():
    """A cluster of two nodes with one CPU each."""
    from ray.cluster_utils import Cluster  # noqa: PLC0415 - where it is installed

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, Path(__file__).parent))))
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        yield cluster
        cluster.shutdown()


@pytest.fixture
def nodes(machines, workplace, monkeypatch):  # noqa: ARG001 - the tasks go into its folder
    """The cluster with both nodes, and the second of them; whoever removes that gets another one the next time."""
    if not machines.worker_nodes:
        machines.add_node(num_cpus=1)
    monkeypatch.setenv("RAY_ADDRESS", machines.address)
    return machines, next(iter(machines.worker_nodes))


@pytest.fixture
def joined(nodes):
    """The door to the cluster."""
    module = importlib.import_module("pipeline.cluster.driver")
    with module.connected(module.Demand(gigabytes=0.1), 1) as cluster:
        yield cluster, *nodes


def weights(tracker, run):
    return torch.load(tracker.fetch(run, "checkpoints/best.pt"), weights_only=True)["model"]


@pytest.mark.slow
def test_a_study_outlives_a_node_with_the_weights_of_the_local_launcher(joined, mlflow_store, capsys):
    cluster, machines, second = joined
    tracker = connect(f"sqlite:///{mlflow_store}")
    study = load_study(None, models=["none", "sincos"], seeds=[0, 1], overrides=STUDY)
    cluster.check(Connection(tracker), tracker.folders, dict)
    cluster.hand_over({config.data: None for config in study.variants.values()})
    heard = []

    def launch(tasks, work, *, workers, notify):
        def noted(message):
            notify(message)
            heard.append(message[0])
            if len(set(heard)) == 2 and second in machines.worker_nodes:  # both nodes are in the middle of a run
                machines.remove_node(second, allow_graceful=False)

        yield from cluster.run_tasks(tasks, work, workers=workers, notify=noted)

    compare(study, tracker, workers=cluster.slots, device="cpu", launch=launch)
    assert second not in machines.worker_nodes
    assert "a worker of the cluster was lost" in capsys.readouterr().out
    cells = find_study(tracker).manifest.cells
    runs = [run for run in tracker.find() if "cell" in run.tags]
    assert sorted(run.id for run in runs) == sorted(cell.run_id for cell in cells)
    assert {run.status for run in runs} == {"FINISHED"}
    twin = MemoryTracker(Path("twin").resolve())
    compare(study, twin, workers=1, device="cpu")
    straight = {(cell.model, cell.seed): cell.run_id for cell in find_study(twin).manifest.cells}
    for cell in cells:
        steps = [row.step for row in tracker.read_rows(cell.run_id) if "train/loss" in row.metrics]
        assert steps == list(range(1, 9))
        one, other = weights(tracker, cell.run_id), weights(twin, straight[cell.model, cell.seed])
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert len(heard) <= 4 * 8 + 2  # the lost cell went on from its last epoch, or from the one before it


def test_tasks_say_what_they_do_and_one_that_fails_is_not_tried_again(joined, launched, capsys):
    cluster, _, _ = joined
    heard = []
    results = dict(cluster.run_tasks([1, 13, 3], launched.double, workers=2, notify=heard.append))
    assert (results[1][0], results[3][0]) == (2, 6)
    assert isinstance(results[13], ValueError)
    assert sorted(heard) == [("working on", 1), ("working on", 3), ("working on", 13)]
    assert list(dict(cluster.run_tasks([5], launched.greet, workers=2, notify=heard.append)).values()) == [None]
    assert "hello 5\n" in capsys.readouterr().out


def test_a_task_leaves_no_handler_of_signals_and_no_timer_to_the_next_one(launched, monkeypatch):
    node = importlib.import_module("pipeline.cluster.node")
    monkeypatch.setattr("pipeline.interrupts.SOON_SECONDS", 100.0)
    before = {kind: signal.getsignal(kind) for kind in KINDS}
    with pytest.raises(KeyboardInterrupt), node._interrupted_once():
        launched.drop_interrupt(signal.SIGINT)
    assert {kind: signal.getsignal(kind) for kind in KINDS} == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_task_that_ends_its_process_is_given_up_whatever_becomes_of_its_twin(joined, launched):
    cluster, _, _ = joined
    heard = []
    ended = list(cluster.run_tasks([1, 1], launched.end_process, workers=2, notify=heard.append))
    assert [task for task, _ in ended] == [1, 1]
    for _, error in ended:
        assert isinstance(error, RunError)
        assert "worker: must live to the run's end, got one lost 3 times" in str(error)
    assert heard == [1] * 6


@pytest.mark.parametrize(
    ("error", "got"),
    [
        (ray.exceptions.WorkerCrashedError(), "one lost 3 times, the last time by WorkerCrashedError: The worker died"),
        (ray.exceptions.OutOfMemoryError("Task was killed.\nMore"), "OutOfMemoryError: Task was killed. If its memory"),
    ],
    ids=["lost", "out of memory"],
)
def test_a_worker_that_is_given_up_is_said_with_what_to_do(monkeypatch, error, got):
    driver = importlib.import_module("pipeline.cluster.driver")
    monkeypatch.setattr(driver.ray, "get", Mock(side_effect=error))
    said = str(driver._result(None, driver.MOST_LOSSES - 1))
    assert said.startswith(f"worker: must live to the run's end, got {got}")
    assert said.endswith(
        ". If its memory did not suffice, raise --memory-per-run; run the same command again, it goes on."
    )


def test_a_cluster_without_room_ends_the_work_unless_it_is_done(joined, launched, monkeypatch):
    cluster, _, _ = joined
    monkeypatch.setattr(type(cluster), "slots", 0)
    assert list(cluster.run_tasks([], launched.double, workers=2, notify=print)) == []
    with pytest.raises(RunError, match=r"^--launcher: must have a node with room for a run to the end, got a cluster"):
        list(cluster.run_tasks([1], launched.double, workers=2, notify=print))


def test_an_interrupt_ends_the_tasks_which_close_their_runs(joined, mlflow_store):
    cluster, _, _ = joined
    tracker = connect(f"sqlite:///{mlflow_store}")
    study = load_study(None, models=["none", "sincos"], seeds=[0], overrides={**STUDY, "train.epochs": 5000})
    heard = set()

    def launch(tasks, work, *, workers, notify):  # noqa: ARG001 - of every launcher
        def interrupt(message):
            heard.add(message[0])
            if len(heard) == 2:
                raise KeyboardInterrupt

        yield from cluster.run_tasks(tasks, work, workers=workers, notify=interrupt)

    with pytest.raises(KeyboardInterrupt):
        compare(study, tracker, workers=2, device="cpu", launch=launch)
    assert [run.status for run in tracker.find()] == ["KILLED"] * 3


def test_nodes_that_cannot_do_the_work_are_refused(joined, mlflow_store, monkeypatch):
    cluster, _, _ = joined
    module = importlib.import_module("pipeline.cluster.driver")
    tracker = connect(f"sqlite:///{mlflow_store}")
    ask = [Connection(tracker), tracker.folders, dict]
    with monkeypatch.context() as patched:
        patched.setattr(module, "versions", lambda: {"torch": "9.9"})
        with pytest.raises(
            UsageError, match=r"^node [\d.]+: must have the same torch as this machine, 9\.9, got \d.*\. Make"
        ):
            cluster.check(*ask)
    with monkeypatch.context() as patched:
        here = contextlib.nullcontext({Path("/nowhere/.seen"): "x"})
        patched.setattr(module, "_marked", lambda _: here)
        with pytest.raises(
            UsageError,
            match=r"^node [\d.]+: must read and write the folder /nowhere of the driver's machine, got another",
        ):
            cluster.check(*ask)
    away = Connection(tracker)
    away._tracker = type("Away", (), {"address": lambda _: ("postgresql://me:secret@127.0.0.1:9/x", "")})()
    with pytest.raises(UsageError, match=r"^node [\d.]+: must reach the tracking store, got") as error:
        cluster.check(away, [], dict)
    assert "secret" not in str(error.value)
    assert not tracker.find()


def refused(capsys, *options):
    """Return the line with which a command refuses what is given; nothing may have been started."""
    code = main(["compare", "--models", "none", "--seeds", "0", *TINY, "--launcher", "ray", *options])
    said = capsys.readouterr().err
    assert (code, said.count("\n")) == (2, 1), said
    assert re.fullmatch(r"error: .*: must .*, got .*\.\n", said)
    assert not Path("mlflow.db").exists()
    return said


def test_what_no_node_has_is_refused(nodes, capsys):  # noqa: ARG001 - the cluster that is asked
    said = refused(capsys, "--memory-per-run", "900000")
    assert "--memory-per-run: must be what a node of the cluster has beside a CPU, got 900000 GB with at most" in said
    if not torch.cuda.is_available():
        assert "--device: must be a device of this machine, got cuda" in refused(capsys, "--gpus-per-run", "0.25")


def test_a_gpu_that_no_node_has_is_refused(nodes):  # noqa: ARG001 - as above
    module = importlib.import_module("pipeline.cluster.driver")
    with (
        pytest.raises(
            UsageError, match=r"^--gpus-per-run: must be what a node of the cluster has, got 0\.25 with at most 0\."
        ),
        module.connected(module.Demand(gpus=0.25), 1),
    ):
        pass


@pytest.mark.parametrize(
    ("address", "got"),
    [
        ("ray://127.0.0.1:10001", "must be HOST:PORT, auto or local, got ray://127.0.0.1:10001"),
        ("127.0.0.1", "must be HOST:PORT, auto or local"),
        ("127.0.0.1:{closed}", "must be a Ray cluster that answers, with the same Ray and Python, got 127.0.0.1:"),
    ],
)
def test_an_address_that_does_not_answer_is_refused(workplace, monkeypatch, capsys, address, got):  # noqa: ARG001
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", address.format(closed=free.getsockname()[1]))
        assert got in refused(capsys)


def test_ray_that_is_not_installed_is_refused(workplace, monkeypatch, capsys):  # noqa: ARG001
    monkeypatch.setitem(sys.modules, "ray", None)
    for name in ("pipeline.cluster", "pipeline.cluster.driver"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert "--launcher: must be local where Ray is not installed, got ray." in refused(capsys)


@pytest.mark.parametrize(
    ("options", "got"),
    [
        (["--launcher", "slurm"], "--launcher: must be one of local, ray, got slurm"),
        (["--gpus-per-run", "0"], "--gpus-per-run: must be a number above 0 and up to 64, got 0"),
        (["--gpus-per-run", "1.5"], "--gpus-per-run: must be a part of one GPU or a whole number of them, got 1.5"),
        (["--gpus-per-run", "0.5"], "--gpus-per-run: must stand with --launcher ray, got --launcher local"),
        (["--memory-per-run", "²"], "--memory-per-run: must be a number above 0 and up to 1000000, got ²"),
        (["--memory-per-run", "2"], "--memory-per-run: must stand with --launcher ray, got --launcher local"),
        (
            ["--launcher", "ray", "--device", "cpu", "--gpus-per-run", "1"],
            "--gpus-per-run: must be left out with --device cpu",
        ),
        (
            ["--launcher", "ray", "--device", "cuda:1"],
            "--device: must be cpu or cuda with --launcher ray, which chooses",
        ),
        (["--time-left", "-5"], "--time-left: must be a number above 0 and up to 1000000000, got -5"),
        (["--plan", "maybe"], "--plan: must be true or false, got maybe"),
    ],
)
def test_options_that_cannot_be_are_refused_in_one_line(workplace, capsys, options, got):  # noqa: ARG001
    command = ["compare", "--models", "none", "--seeds", "0", "--workers", "1", *TINY, *options]
    try:
        code = main(command)
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr().err
    assert (code, said.count("\n")) == (2, 1)
    assert got in said
    assert not list(Path.cwd().iterdir())


def test_the_data_go_to_a_cluster_once_and_are_what_they_were(joined, launched):
    cluster, _, _ = joined
    study = load_study(None, models=["none"], seeds=[0], overrides=STUDY)
    config = study.variants["none"].data
    cluster.hand_over([config])
    [(_, (digest, loaded))] = cluster.run_tasks([config], launched.load, workers=1, notify=print)
    assert digest == config.load().digest
    assert not loaded  # from a file


def test_an_ablation_study_runs_on_a_cluster(nodes, mlflow_store, tiny, capsys):  # noqa: ARG001 - which it uses
    Path("own.json").write_text(json.dumps({**tiny, "model.embedding.name": ["none", "sincos"], "seeds": [0]}))
    command = ["ablate", "--config", "own.json", "--launcher", "ray", "--memory-per-run", "0.1"]
    assert main(command) == 0, capsys.readouterr().err
    trials = connect(f"sqlite:///{mlflow_store}").find(kind="trial")
    assert [run.status for run in trials] == ["FINISHED"] * 2
