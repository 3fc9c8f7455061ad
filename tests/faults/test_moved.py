"""Runs and experiments that somebody deleted, restored or renamed, and folders that were moved: they work, or a line says how."""

import json
import shutil

import pytest
from mlflow import MlflowClient

from pipeline import analyze
from pipeline.__main__ import main
from pipeline.tracking import connect


@pytest.fixture
def study(place, empty_store, monkeypatch):
    """A study that was trained; figures are not drawn."""
    shutil.copy(empty_store, place.folder / "mlflow.db")
    monkeypatch.setattr(analyze, "_drawn", lambda _: ({"png": {}, "svg": {}}, None))
    assert compare() == 0
    return place


@pytest.fixture
def client(study):
    return MlflowClient(f"sqlite:///{study.folder}/mlflow.db")


def compare():
    return main(["compare", "--config", "tiny.json", "--workers", "1"])


def counted(study):
    """Analyse the study, and return the runs that its results are of."""
    assert main(["analyze"]) == 0
    return json.loads((study.folder / "results/tiny/training_histories.json").read_text())


def refused(capsys, *words):
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert all(word in error for word in ("error: ", " must ", ", got ", *words)), error


@pytest.mark.exhaustive
def test_a_deleted_run_is_not_counted_and_compare_trains_it_again(study, client, tally, capsys):
    before = counted(study)
    run = connect().find(model="none")[0]
    with tally.fault():
        client.delete_run(run.id)
        capsys.readouterr()
        assert main(["analyze"]) == 2
        refused(capsys, "none", "compare")
        assert compare() == 0
        after = counted(study)
        assert run.id not in str(after)
        assert len(connect().find(cell=run.tags["cell"])) == 1
    with tally.fault():
        client.restore_run(run.id)
        assert compare() == 0
        assert numbers(counted(study)) == numbers(before)


def numbers(histories):
    """Return histories without what is measured, and without runs."""
    if isinstance(histories, dict):
        return {key: numbers(value) for key, value in histories.items() if "second" not in key and key != "run_id"}
    return [numbers(value) for value in histories] if isinstance(histories, list) else histories


@pytest.mark.exhaustive
def test_a_renamed_run_and_a_renamed_experiment_stay_what_they_are(study, client, tally, capsys, monkeypatch):
    before = counted(study)
    with tally.fault():
        for run in connect().find():
            client.update_run(run.id, name="of another name")
        assert compare() == 0
        assert "4 of 4 runs are finished" in capsys.readouterr().out
        assert counted(study) == before
    with tally.fault():
        [experiment] = (each for each in client.search_experiments() if each.name != "Default")
        client.rename_experiment(experiment.experiment_id, "ours")
        assert main(["analyze"]) == 2
        refused(capsys, "MLFLOW_EXPERIMENT_NAME")
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "ours")
        assert counted(study) == before


def test_a_deleted_experiment_is_one_line_that_says_how_it_is_restored(study, client, tally, capsys):
    before = counted(study)
    [experiment] = (each for each in client.search_experiments() if each.name != "Default")
    client.delete_experiment(experiment.experiment_id)
    capsys.readouterr()
    for verb in (["compare", "--config", "tiny.json"], ["analyze"], ["ls", "studies"]):
        with tally.fault():
            assert main(verb) == 2
            refused(capsys, f"experiments restore --experiment-id {experiment.experiment_id}")
    client.restore_experiment(experiment.experiment_id)
    assert counted(study) == before


@pytest.mark.exhaustive
def test_a_deleted_study_begins_anew_and_trains_nothing(study, client, tally, capsys):
    before = counted(study)
    with tally.fault():
        client.delete_run(connect().find(kind="study")[0].id)
        assert main(["analyze"]) == 2
        refused(capsys, "--study", "compare")
        assert compare() == 0
        assert "4 of 4 runs are finished" in capsys.readouterr().out
        assert counted(study) == before


@pytest.mark.exhaustive
def test_files_that_were_moved_are_said_with_the_place_where_they_must_lie(study, tally, capsys):
    before = counted(study)
    shutil.move(study.folder / "mlruns", study.folder / "elsewhere")
    check_moved(tally, capsys, study.folder)
    shutil.move(study.folder / "elsewhere", study.folder / "mlruns")
    assert counted(study) == before


@pytest.mark.exhaustive
def test_a_working_folder_that_was_moved_says_where_its_files_must_lie(study, tally, capsys, monkeypatch, tmp_path):
    before = counted(study)
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    shutil.move(study.folder, moved)
    monkeypatch.chdir(moved)
    check_moved(tally, capsys, study.folder)
    monkeypatch.chdir(moved.parent)
    shutil.move(moved, study.folder)
    monkeypatch.chdir(study.folder)
    assert counted(study) == before


def check_moved(tally, capsys, folder):
    """See that every verb says where the files must lie, and that none makes others there."""
    capsys.readouterr()
    for verb in (["analyze"], ["verify", "--no-retrain"], ["compare", "--config", "tiny.json", "--workers", "1"]):
        with tally.fault():
            assert main(verb) != 0
            said = "".join(capsys.readouterr())
            assert "Traceback" not in said
            assert f"{folder}/mlruns" in said
            assert not (folder / "mlruns").exists()
