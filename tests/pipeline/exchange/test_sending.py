"""Export: what travels and what stays, the same bytes each time, and no archive of a study that does not hold."""

import json

import pandas as pd
import pytest

from pipeline import evidence, run_record
from pipeline.__main__ import main
from pipeline.exchange import archive, contents
from pipeline.exchange.crate import ANSWERS
from pipeline.stored_study import find_study


def test_the_same_study_is_the_same_bytes_and_no_store_shows_in_them(store, exported, workplace):
    study = find_study(store)
    store.set_tags(
        study.parent.id, {"owner": "process 1 on a", "mlflow.user": "somebody", "mlflow.note.content": "a page"}
    )
    assert main(["export", study.id, "again.zip"]) == 0
    assert (workplace / "again.zip").read_bytes() == exported.bare.read_bytes()
    assert [path.name for path in workplace.glob("*.zip")] == ["again.zip"]


def test_what_travels_are_the_files_the_numbers_and_the_report_with_weights_where_they_are_asked_for(store, exported):
    bare, full = archive.read(exported.bare), archive.read(exported.full)
    cells = [entry.cell for entry in find_study(store).manifest.cells]
    assert set(full) - set(bare) == {f"runs/{cell}/checkpoints/best.pt" for cell in cells}
    run = next(run for run in store.find(cell=cells[0]))
    sealed = {tag.removeprefix("sha256/") for tag in run.tags if tag.startswith("sha256/")}
    assert {f"runs/{cells[0]}/{path}" for path in sealed} | {f"runs/{cells[0]}/run.json"} == {
        name for name in full if name.startswith(f"runs/{cells[0]}/")
    }
    assert full[f"runs/{cells[0]}/predictions.parquet"] == store.fetch(run.id, "predictions.parquet").read_bytes()
    record = json.loads(full[f"runs/{cells[0]}/run.json"])
    assert record["params"] == store.read_params(run.id)
    times = {row.milliseconds for row in store.rows[run.id]}
    assert {row[2] for row in record["metrics"]} == times
    assert {tuple(row) for row in record["metrics"]} == {
        (name, row.step, row.milliseconds, value) for row in store.rows[run.id] for name, value in row.metrics.items()
    }
    assert {"plan.json", "study.json", "advice.json"} < set(bare)
    assert {"report/analysis_report.md", "report/significance.csv"} < set(bare)
    assert "run_id" not in record["tags"]
    assert all(entry["run_id"] is None for entry in json.loads(bare["study.json"])["cells"])
    assert b".png" not in bare["report/analysis_report.md"]


def test_the_names_of_the_format_are_those_of_the_files():
    assert (contents.CONFIG, contents.HISTORY) == (run_record.CONFIG_FILE, run_record.HISTORY_FILE)
    assert (contents.PREDICTIONS, contents.ENVIRONMENT) == (run_record.PREDICTIONS_FILE, run_record.ENVIRONMENT_FILE)
    assert (contents.CLASSES, contents.WEIGHTS) == (run_record.CLASSES_FILE, run_record.BEST_FILE)
    assert (contents.PROBES, contents.PLAN, contents.LOOKS, contents.ADVICE) == (
        evidence.PROBE_FOLDER, evidence.PLAN_FILE, evidence.LEDGER_FILE, evidence.ADVICE_FILE,
    )  # fmt: skip


def test_the_archive_is_an_ro_crate_that_lists_every_member(exported):
    members = archive.read(exported.bare)
    crate = json.loads(members.pop("ro-crate-metadata.json"))
    entities = {entity["@id"]: entity for entity in crate["@graph"]}
    assert len(entities) == len(crate["@graph"])
    descriptor, root = entities["ro-crate-metadata.json"], entities["./"]
    assert descriptor["about"] == {"@id": "./"}
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert {"name", "description", "datePublished", "license"} < root.keys()
    assert {part["@id"] for part in root["hasPart"]} == members.keys()
    for name, content in members.items():
        assert entities[name]["@type"] == "File"
        assert entities[name]["contentSize"] == str(len(content))
    referred = [value["@id"] for entity in crate["@graph"] for value in entity.values() if isinstance(value, dict)]
    assert {name for name in referred if not name.startswith("https://")} <= entities.keys()


def test_croissant_describes_the_columns_that_the_answers_have(exported, tmp_path):
    members = archive.read(exported.bare)
    croissant = json.loads(members["croissant.json"])
    [name] = [name for name in members if name.endswith("predictions.parquet")][:1]
    (tmp_path / "answers.parquet").write_bytes(members[name])
    assert list(pd.read_parquet(tmp_path / "answers.parquet")) == list(ANSWERS)
    [records] = croissant["recordSet"]
    assert [field["name"] for field in records["field"]] == [*ANSWERS, "cell"]
    assert croissant["distribution"][0]["includes"] == "runs/*/predictions.parquet"


def test_a_study_that_does_not_hold_is_not_exported(store, workplace, capsys):
    study = find_study(store)
    path = store.fetch(study.manifest.cells[0].run_id, "predictions.parquet")
    table = pd.read_parquet(path)
    table.loc[0, "predicted"] = (table.loc[0, "predicted"] + 1) % 4
    table.to_parquet(path)
    assert main(["export", study.id, "one.zip"]) == 2
    said = capsys.readouterr().err
    assert "predictions.parquet must be as it was stored" in said
    assert said.count("\n") == 1
    assert not list(workplace.glob("*.zip"))


def test_a_study_without_a_finished_run_is_not_exported(store, workplace, capsys):
    study = find_study(store)
    for entry in study.manifest.cells:
        store.set_status(entry.run_id, "FAILED")
    assert main(["export", study.id, "one.zip"]) == 2
    assert f"must have a finished run, got none of study {study.id}" in capsys.readouterr().err
    assert not list(workplace.glob("*.zip"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export"], "study, FILE.zip: must be given, got none"),
        (["export", "nothere", "one.zip"], "--study: must be a study in memory"),
        (["export", "one", "one.tar"], "must end in .zip, got one.tar"),
        (["import", ""], "must end in .zip, got nothing"),
        (["import", "nothere.zip"], "nothere.zip: must be a readable file, got No such file or directory"),
        (["verify", "nothere.zip"], "nothere.zip: must be a readable file, got No such file or directory"),
        (["verify", "one.zip", "--all"], "--all: must stand without a file"),
        (["verify", "one.zip", "--choice", "0"], "--choice: must stand without a file"),
    ],
)
@pytest.mark.usefixtures("store")
def test_bad_input_is_one_line_and_exit_code_2(capsys, arguments, said):
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    captured = capsys.readouterr().err
    assert captured.count("\n") == 1
    assert said in captured
