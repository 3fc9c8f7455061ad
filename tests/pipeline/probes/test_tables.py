import pytest

from pipeline.compare import compare
from pipeline.probes import tables as module
from pipeline.settings import build_run
from pipeline.stored_study import find_study, load_results
from pipeline.study import load_study

SMALL = {
    "data.name": "mnist_sample",
    "data.max_events": 12,
    "model.hidden_dim": 8,
    "model.embedding.dim": 4,
    "train.batch_size": 64,
    "train.epochs": 1,
}


@pytest.fixture
def study(mlflow_tracker):
    compare(
        load_study(None, models=("position", "kan_mammote"), seeds=[0], overrides=SMALL),
        mlflow_tracker,
        workers=1,
        device="cpu",
    )
    return find_study(mlflow_tracker)


def test_every_probe_measures_every_run_once(study, mlflow_tracker, monkeypatch):
    tables = load_results(study, mlflow_tracker, allow_missing=False).probes
    tables.pop("events", None)  # only where the models part
    assert set(tables) == set(module.PROBES)
    for name, table in tables.items():
        assert set(table["model"]) == (
            {"kan_mammote"} if name in ("gates", "frequencies") else {"position", "kan_mammote"}
        )
    assert set(tables["encoding"]["trained"]) == {True, False}
    true = tables["time_use"].query("alteration == 'true times'")
    assert (true["unchanged"] == 1).all()
    assert (tables["anytime"].query("events == 0")["accuracy"].to_numpy() == true["accuracy"].to_numpy()).all()

    monkeypatch.setattr(module, "predict", None)  # nothing is computed again
    again = load_results(study, mlflow_tracker, allow_missing=False).probes
    assert all(again[name].equals(table) for name, table in tables.items())


def test_the_events_of_chosen_test_sequences_are_those_of_the_data(study, mlflow_tracker):
    run_id = study.manifest.cells[0].run_id
    test = build_run(SMALL).data.load().test
    table = module.event_table(run_id, [2, 7], mlflow_tracker)
    assert {sample: of.tolist() for sample, of in table.groupby("sample_id")["time"]} == {
        sample: test.times[test.offsets[sample] : test.offsets[sample + 1]].tolist() for sample in (2, 7)
    }
    assert set(table["horizon"]) == {784}


def test_there_are_no_events_where_the_data_has_changed(study, mlflow_tracker):
    run_id = study.manifest.cells[0].run_id
    mlflow_tracker.set_tags(run_id, {"data_digest": "other"})
    assert module.event_table(run_id, [2], mlflow_tracker).empty


def test_a_model_that_no_longer_predicts_what_it_stored_is_not_measured(study, mlflow_tracker, monkeypatch):
    monkeypatch.setattr(module, "predict", lambda model, dataset: -original_predict(model, dataset))
    assert load_results(study, mlflow_tracker, allow_missing=False).probes.keys() <= {"events"}


original_predict = module.predict
