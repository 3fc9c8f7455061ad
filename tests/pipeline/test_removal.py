"""Deleting a study takes what only it uses, and nothing that another study, or somebody at work, needs."""

from pathlib import Path

import pytest

from pipeline.ablation.conduct import conduct
from pipeline.ablation.queue import runs_of_trials
from pipeline.ablation.reading import load_ablation
from pipeline.comparison import compare
from pipeline.removal import clean, remove
from pipeline.stored_study import find_parent
from pipeline.study import Cell, load_run, load_study
from pipeline.tracking import BusyError
from pipeline.tracking.mlflow_tracker import MlflowTracker
from pipeline.tracking.removal import deleted_runs
from pipeline.train import run_cell

NO_TRIALS = "sqlite:///optuna.db"


@pytest.fixture
def trained(tiny, memory):
    """A store with two studies that share the runs of `sincos`."""
    for name, models in {"first": ("none", "sincos"), "second": ("sincos", "scalar")}.items():
        study = load_study(None, models=models, seeds=[0], overrides=tiny, name=name)
        compare(study, memory, workers=1, device="cpu")
    return memory


def models(tracker):
    return sorted(run.tags["model"] for run in tracker.find(status="FINISHED") if "model" in run.tags)


def folders(tracker):
    return sorted(path.name for path in tracker._folder.glob("run*"))


def test_a_dry_run_says_what_would_go_and_changes_nothing(trained, capsys):
    before = dict(trained._runs), folders(trained)
    remove(trained, "first", storage=NO_TRIALS, dry_run=True)
    said = " ".join(capsys.readouterr().out.split())
    assert "kept: 1 run used by second (" in said
    assert "would delete study first (" in said
    assert "and 1 run:" in said
    assert (dict(trained._runs), folders(trained)) == before


def test_a_study_goes_with_the_runs_that_only_it_uses(trained):
    others = {run.id for run in trained.find() if run.tags.get("model") in ("sincos", "scalar")}
    remove(trained, "first", storage=NO_TRIALS, dry_run=False)
    assert models(trained) == ["scalar", "sincos"]
    assert {run.name for run in trained.find(kind="study")} == {"second"}
    assert set(folders(trained)) == others | {find_parent(trained, "second").id}
    remove(trained, "second", storage=NO_TRIALS, dry_run=False)  # also what the first one has trained
    assert trained.find() == []


def test_a_run_that_was_trained_by_hand_stays(tiny, memory, capsys):
    config = load_run(None, {**tiny, "seed": 0}, "none")
    run_cell(Cell("none", config), memory, device="cpu", report=lambda *_: None)
    study = load_study(None, models=["none"], seeds=[0], overrides=tiny, name="mine")
    compare(study, memory, workers=1, device="cpu")
    remove(memory, "mine", storage=NO_TRIALS, dry_run=False)
    assert models(memory) == ["none"]
    assert "kept: 1 run made by train, not by a study" in capsys.readouterr().out


@pytest.mark.parametrize("of", ["study", "run"])
def test_nothing_is_deleted_while_somebody_works_on_it(trained, of):
    [run] = [run for run in trained.find() if run.tags.get("model") == "none"]
    held = find_parent(trained, "first").id if of == "study" else run.id
    before = dict(trained._runs), folders(trained)
    with trained.own(held), pytest.raises(BusyError, match="must be free"):
        remove(trained, "first", storage=NO_TRIALS, dry_run=False)
    assert (dict(trained._runs), folders(trained)) == before


def test_an_ablation_goes_with_its_trials_and_leaves_what_a_study_uses(tiny, memory, tmp_path):
    file = tmp_path / "own.json"
    file.write_text('{"rows": {"a": {}, "b": {"model.embedding.name": "none"}}, "seeds": [0]}')
    ablation = load_ablation(file, overrides={**tiny, "model.embedding.name": "sincos"})
    with conduct(ablation, memory, storage=NO_TRIALS, workers=1, device="cpu"):
        pass
    assert [len(runs) for runs in runs_of_trials(NO_TRIALS).values()] == [2]
    compare(load_study(None, models=["none"], seeds=[0], overrides=tiny, name="mine"), memory, workers=1, device="cpu")
    remove(memory, "mine", storage=NO_TRIALS, dry_run=True)
    remove(memory, "own", storage=NO_TRIALS, dry_run=False)
    assert len(models(memory)) == 1
    assert [run.name for run in memory.find() if "kind" in run.tags] == ["mine"]
    assert runs_of_trials(NO_TRIALS) == {}


def test_clean_deletes_checkpoints_that_no_run_needs(trained, capsys):
    [run] = [run for run in trained.find() if run.tags.get("model") == "none"]
    killed = trained.create("killed", tags={"cell": "c" * 64})
    trained.set_status(killed, "KILLED")
    waiting = trained.create("waiting", tags={"cell": "b" * 64})
    trained.set_status(waiting, "FINISHED")
    for name in (run.tags["cell"], "a" * 64, "b" * 64, "c" * 64, "locks"):
        (trained.checkpoints / name).mkdir(parents=True)
    (trained.checkpoints / ("b" * 64) / "spool.jsonl").touch()
    clean(trained, dry_run=True)
    assert "would delete 1 left checkpoint" in capsys.readouterr().out
    clean(trained, dry_run=False)
    # "a" is unknown here: it may belong to another store that shares the folder.
    assert {path.name for path in trained.checkpoints.iterdir()} == {"a" * 64, "b" * 64, "c" * 64, "locks"}


def test_clean_keeps_what_another_experiment_of_the_store_needs(mlflow_store, monkeypatch):
    trackers = {}
    for name in ("one", "two"):
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
        trackers[name] = MlflowTracker(f"sqlite:///{mlflow_store}")
    cells = {"a" * 64: ["KILLED"], "b" * 64: ["FINISHED"], "c" * 64: ["FINISHED", "KILLED"], "d" * 64: ["FINISHED"]}
    for cell, statuses in cells.items():
        (trackers["one"].checkpoints / cell).mkdir(parents=True)
        for tracker, status in zip(trackers.values(), statuses, strict=False):
            run = tracker.create("any", tags={"cell": cell})
            tracker.set_status(run, status)
    trackers["one"].delete(run)
    clean(trackers["two"], dry_run=False)
    assert {path.name for path in trackers["one"].checkpoints.iterdir() if path.name in cells} == {"a" * 64, "c" * 64}


@pytest.mark.slow
def test_a_store_of_mlflow_loses_runs_models_and_their_files(tiny, mlflow_tracker):
    study = load_study(None, models=["none"], seeds=[0], overrides=tiny, name="mine")
    compare(study, mlflow_tracker, workers=1, device="cpu")
    parent = find_parent(mlflow_tracker, "mine")
    folder = Path(mlflow_tracker.artifacts(parent.id).removeprefix("file://")).parents[1]
    assert list(folder.rglob("best.pt"))
    remove(mlflow_tracker, "mine", storage=NO_TRIALS, dry_run=False)
    assert mlflow_tracker.find() == []
    assert not [file for file in folder.rglob("*") if file.is_file()]
    assert mlflow_tracker._client.search_logged_models([mlflow_tracker._experiment]) == []

    compare(study, mlflow_tracker, workers=1, device="cpu")  # it is trained anew
    [run] = mlflow_tracker.find(status="FINISHED", model="none")
    mlflow_tracker.delete(run.id)
    assert set(deleted_runs(mlflow_tracker)) == {run.id}
    clean(mlflow_tracker, dry_run=False)
    assert deleted_runs(mlflow_tracker) == {}


def test_two_studies_without_a_file_lie_side_by_side_and_are_found_by_name_and_id(trained):
    first, second = (find_parent(trained, name) for name in ("first", "second"))
    assert first.id != second.id
    assert find_parent(trained, first.tags["study"]) == find_parent(trained, first.id) == first
    assert find_parent(trained) == second
