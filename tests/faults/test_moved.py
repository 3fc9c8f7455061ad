"""Deleted, restored or renamed runs and experiments, and moved folders: commands work, or one line tells what to do."""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from harness import Place
from mlflow import MlflowClient

from pipeline import analyze
from pipeline.__main__ import main
from pipeline.tracking import connect

LOCAL = pytest.mark.parametrize("study", ["sqlite"], indirect=True)
"""Marks a test about files of a store in a local folder."""


@pytest.fixture(params=["sqlite", pytest.param("server", marks=(pytest.mark.exhaustive, pytest.mark.slow))])
def study(request, place, monkeypatch):
    """A study trained in a local store, or on a server for PostgreSQL; figures are not drawn."""
    if request.param == "server":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", request.getfixturevalue("postgres_server"))
    else:
        shutil.copy(request.getfixturevalue("empty_store"), place.folder / "mlflow.db")
    monkeypatch.setattr(analyze, "_drawn", lambda _: ({"png": {}, "svg": {}}, None))
    assert compare() == 0
    return place


@pytest.fixture
def client(study):
    return MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{study.folder}/mlflow.db")


def compare():
    return main(["compare", "--config", "tiny.json", "--workers", "1"])


def counted():
    """Analyse the study, and return the runs in its results."""
    assert main(["analyze"]) == 0
    return read_histories()


def read_histories():
    return json.loads(Path("results/tiny/training_histories.json").read_text())


def refused(capsys, *words):
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert all(word in error for word in ("error: ", " must ", ", got ", *words)), error


@pytest.mark.exhaustive
def test_a_deleted_run_is_not_counted_and_compare_trains_it_again(study, client, tally, capsys):  # noqa: ARG001 - of it
    before = counted()
    run = connect().find(model="none")[0]
    with tally.fault():
        client.delete_run(run.id)
        capsys.readouterr()
        assert main(["analyze"]) == 2
        refused(capsys, "none", "compare")
        assert compare() == 0
        after = counted()
        assert run.id not in str(after)
        assert len(connect().find(cell=run.tags["cell"])) == 1
    with tally.fault():
        client.restore_run(run.id)
        assert compare() == 0
        assert numbers(counted()) == numbers(before)


def numbers(histories):
    """Return histories without measured metrics and run ids."""
    if isinstance(histories, dict):
        return {key: numbers(value) for key, value in histories.items() if "second" not in key and key != "run_id"}
    return [numbers(value) for value in histories] if isinstance(histories, list) else histories


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["ours", "the group's"])
def test_a_renamed_run_and_a_renamed_experiment_stay_what_they_are(client, tally, capsys, monkeypatch, name):
    before = counted()
    with tally.fault():
        for run in connect().find():
            client.update_run(run.id, name=name)
        assert compare() == 0
        assert "4 of 4 runs are finished" in capsys.readouterr().out
        assert counted() == before
    with tally.fault():
        [experiment] = (each for each in client.search_experiments() if each.name != "Default")
        client.rename_experiment(experiment.experiment_id, name)
        assert main(["analyze"]) == 2
        refused(capsys, "MLFLOW_EXPERIMENT_NAME")
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
        assert counted() == before


def test_a_deleted_experiment_is_one_line_that_says_how_it_is_restored(client, tally, capsys):
    before = counted()
    [experiment] = (each for each in client.search_experiments() if each.name != "Default")
    client.delete_experiment(experiment.experiment_id)
    capsys.readouterr()
    for verb in (["compare", "--config", "tiny.json"], ["analyze"], ["ls", "studies"]):
        with tally.fault():
            assert main(verb) == 2
            refused(capsys, f"experiments restore --experiment-id {experiment.experiment_id}")
    client.restore_experiment(experiment.experiment_id)
    assert counted() == before


@pytest.mark.exhaustive
def test_a_deleted_study_begins_anew_and_trains_nothing(client, tally, capsys):
    before = counted()
    with tally.fault():
        client.delete_run(connect().find(kind="study")[0].id)
        assert main(["analyze"]) == 2
        refused(capsys, "--study", "compare")
        assert compare() == 0
        assert "4 of 4 runs are finished" in capsys.readouterr().out
        assert counted() == before


@LOCAL
@pytest.mark.exhaustive
def test_files_that_were_moved_are_said_with_the_place_where_they_must_lie(study, tally, capsys):
    before = counted()
    shutil.move(study.folder / "mlruns", study.folder / "elsewhere")
    capsys.readouterr()
    for verb in (["compare", "--config", "tiny.json"], ["analyze"], ["verify", "--no-retrain"], ["ls", "studies"]):
        with tally.fault():
            assert main(verb) == 2
            refused(capsys, f"{study.folder}/mlruns", "If it was moved, move it back")
            assert not (study.folder / "mlruns").exists()
    shutil.move(study.folder / "elsewhere", study.folder / "mlruns")
    assert counted() == before


@LOCAL
@pytest.mark.parametrize("put", [shutil.move, pytest.param(shutil.copytree, marks=pytest.mark.exhaustive)])
def test_a_folder_that_was_moved_or_copied_is_said_and_relocate_lets_it_work(study, tally, capsys, monkeypatch, put):
    before = counted()
    old, new = study.folder, study.folder / "moved to o'brien's"
    new.mkdir()
    for path in set(old.iterdir()) - {new}:
        (put if path.is_dir() else shutil.move if put is shutil.move else shutil.copy)(path, new / path.name)
    left = outside(new)
    monkeypatch.chdir(new)
    capsys.readouterr()
    for verb in (["compare", "--config", "tiny.json"], ["analyze"], ["ls", "studies"], ["rm", "tiny"], ["clean"]):
        with tally.fault():
            assert main(verb) == 2
            refused(capsys, f"in {new}/mlruns/1, got {old}/mlruns/1", "`python -m pipeline relocate`")
    with tally.fault():
        assert main(["relocate"]) == 0
        assert f"begin now with {new}/mlruns, and not with {old}/mlruns" in " ".join(capsys.readouterr().out.split())
        with closing(sqlite3.connect(new / "mlflow.db")) as database:
            assert f"{old}/mlruns" not in "".join(database.iterdump())
        there = Place(new, {"BROWSER_PATH": "/no/browser"})  # MLflow caches addresses while a process lives
        there.run("analyze").check()
        assert read_histories() == before
        run = connect().find(model="none", seed="0")[0]
        assert all(file.is_file() for file in connect().model_files(f"runs:/{run.id}/none"))
        there.run("compare", "--config", "tiny.json", "--workers", "1", "--seeds", "0,1,2").check()
        assert len(connect().find(status="FINISHED", seed="2")) == 2
        there.close()
    assert outside(new) == left  # nothing was written to the old folder
    capsys.readouterr()
    assert main(["relocate"]) == 0
    assert "nothing to change" in capsys.readouterr().out


def outside(folder):
    """Return the files next to a folder, and the time each was written."""
    files = [path for path in folder.parent.rglob("*") if path.is_file() and not path.is_relative_to(folder)]
    return {path: path.stat().st_mtime_ns for path in files}
