"""Import: a study in another store is the same study, whatever broke off; and what contradicts the store is not written."""

import json
from dataclasses import replace
from io import BytesIO

import pandas as pd
import pytest

from analysis.plan import Plan
from pipeline import analyze
from pipeline.__main__ import main
from pipeline.analyze import analyze_study
from pipeline.comparison import compare
from pipeline.errors import UsageError
from pipeline.evidence import replace_text
from pipeline.exchange import archive, sending
from pipeline.exchange.contents import load
from pipeline.exchange.recount import verify_file
from pipeline.exchange.sending import export_study
from pipeline.exchange.taking import import_file
from pipeline.stored_study import find_study, read_declaration
from pipeline.study import load_study
from pipeline.tracking import MemoryTracker, connect


def bytes_of(tracker, file, *, weights=False):
    """Return a study of a store as an archive."""
    export_study(find_study(tracker), tracker, file, weights=weights)
    return file.read_bytes()


def evidence_of(tracker, monkeypatch):
    """Return the members of that archive that were measured: to derive the report takes seconds."""
    file = tracker._folder.parent / "evidence.zip"
    with monkeypatch.context() as patched:
        patched.setattr(sending, "report_of", lambda _: {})
        export_study(find_study(tracker), tracker, file, weights=False)
    return measured(file)


def measured(file):
    """Return the members of an archive that do not follow from the others."""
    derived = ("report/", "ro-crate-metadata.json")
    return {name: content for name, content in archive.read(file).items() if not name.startswith(derived)}


def state(tracker):
    """Return all that a store in memory holds."""
    files = {path: path.read_bytes() for path in tracker._folder.rglob("*") if path.is_file()}
    return dict(tracker._runs), files, {run_id: list(rows) for run_id, rows in tracker.rows.items()}


def test_a_study_that_was_taken_elsewhere_is_the_same_bytes_there(exported, elsewhere, workplace):
    assert main(["import", str(exported.full)]) == 0
    parent = find_study(elsewhere).parent
    cells = [run for run in elsewhere.find(status="FINISHED") if "cell" in run.tags]
    assert len(cells) == 4
    assert {run.tags["mlflow.parentRunId"] for run in cells} == {parent.id}
    assert {elsewhere.get(run.id).status for run in (parent, *cells)} == {"FINISHED"}
    assert bytes_of(elsewhere, workplace / "again.zip", weights=True) == exported.full.read_bytes()


def test_the_same_compare_trains_nothing_there_and_analyze_says_the_same(
    exported, analysed, elsewhere, tiny, monkeypatch
):
    workplace = elsewhere._folder.parent
    import_file(exported.bare, elsewhere)
    trained = []
    monkeypatch.setattr("pipeline.cells.run_cell", lambda *_args, **_more: trained.append(1))
    study = load_study(None, models=["none", "sincos"], seeds=[0, 1], overrides=tiny)
    before = len(elsewhere.find())
    compare(study, elsewhere, workers=1, device="cpu")
    assert trained == []
    assert len(elsewhere.find()) == before
    monkeypatch.setattr(analyze, "_drawn", lambda _: ({"png": {}, "svg": {}}, None))
    analyze_study(find_study(elsewhere), elsewhere, output=workplace / "out", allow_missing=False)
    one, other = find_study(analysed), find_study(elsewhere)
    names = {entry.cell: entry.run_id for entry in one.manifest.cells}
    for path in (
        "summary.json",
        "results_summary.csv",
        "significance.csv",
        "analysis_report.md",
        "detailed_analysis.json",
    ):
        text = elsewhere.fetch(other.parent.id, path).read_text()
        for entry in other.manifest.cells:
            text = text.replace(entry.run_id, names[entry.cell])
        assert text == analysed.fetch(one.parent.id, path).read_text()
    assert not list((workplace / "out").glob("*.pth"))  # the weights stayed behind
    assert evidence_of(elsewhere, monkeypatch) == measured(exported.bare)


def test_the_advice_of_the_doctor_travels_and_is_scored_there(store, elsewhere, workplace):
    study = find_study(store)
    advice = json.loads(store.fetch(study.parent.id, "advice.json").read_text())
    place = advice["columns"].index("verdict")
    assert [row[place] for row in advice["data"]] == ["constant", "fits"]  # none, of which nothing is said, and sincos
    advice["data"][0][place] = "blurs"
    replace_text(study.parent.id, "advice.json", json.dumps(advice), store)
    sent = bytes_of(store, workplace / "advised.zip")
    report = archive.read(workplace / "advised.zip")["report/analysis_report.md"].decode()
    assert "## Was the encoding doctor right?" in report
    assert "- sincos over none: **undecided**; " in report
    verify_file(workplace / "advised.zip")
    import_file(workplace / "advised.zip", elsewhere)
    assert json.loads(elsewhere.fetch(find_study(elsewhere).parent.id, "advice.json").read_text()) == advice
    assert bytes_of(elsewhere, workplace / "again.zip") == sent


def test_an_archive_from_before_there_was_advice_verifies(store, workplace):
    parent = find_study(store).parent
    store.fetch(parent.id, "advice.json").unlink()
    del parent.tags["sha256/advice.json"]
    bytes_of(store, workplace / "old.zip")
    assert "advice.json" not in archive.read(workplace / "old.zip")
    verify_file(workplace / "old.zip")


def test_to_import_twice_changes_nothing(exported, elsewhere, capsys):
    import_file(exported.bare, elsewhere)
    before = state(elsewhere)
    capsys.readouterr()
    assert main(["import", str(exported.bare)]) == 0
    assert "all 4 runs are there already, nothing to do" in capsys.readouterr().out
    assert state(elsewhere) == before


def test_weights_are_added_where_a_later_archive_has_them(exported, elsewhere, capsys, workplace, monkeypatch):
    monkeypatch.setattr(sending, "report_of", lambda _: {})
    import_file(exported.bare, elsewhere)
    first = find_study(elsewhere).manifest.cells[0].run_id
    with pytest.raises(UsageError, match=r"must be there, got a run that was imported without it\. Import an archive"):
        bytes_of(elsewhere, workplace / "full.zip", weights=True)
    import_file(exported.full, elsewhere)
    assert "imported 0 runs, 4 were there, weights of 4 runs added" in capsys.readouterr().out
    assert elsewhere.fetch(first, "checkpoints/best.pt").is_file()
    bytes_of(elsewhere, workplace / "full.zip", weights=True)
    assert measured(workplace / "full.zip") == measured(exported.full)


def test_what_was_imported_verifies_there_without_its_weights(exported, elsewhere, capsys):
    """No analysis is stored there yet, so that only files and runs are looked at."""
    import_file(exported.bare, elsewhere)
    capsys.readouterr()
    assert main(["verify", "--choice", "1"]) == 0
    [again] = [line for line in capsys.readouterr().out.splitlines() if "trained again" in line and "answer" in line]
    assert again.endswith("32 answers, bit for bit")


@pytest.fixture
def broken(monkeypatch):
    """A function that lets the next writes of a store succeed, and then interrupts."""

    def after(tracker, count):
        left = [count]

        def limited(write):
            def call(*args, **named):
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt
                return write(*args, **named)

            return call

        for verb in (
            "create",
            "set_tags",
            "set_status",
            "log_params",
            "log_rows",
            "log_file",
            "log_text",
            "log_dataset",
        ):
            monkeypatch.setattr(tracker, verb, limited(getattr(tracker, verb)))

    return after


@pytest.mark.parametrize("count", range(0, 100, 7))
def test_an_import_that_was_broken_off_is_finished_by_the_same_command(exported, elsewhere, broken, monkeypatch, count):
    broken(elsewhere, count)
    with pytest.raises(KeyboardInterrupt):
        import_file(exported.bare, elsewhere)
    later = MemoryTracker(elsewhere._folder)
    later.__dict__.update({name: value for name, value in vars(elsewhere).items() if not callable(value)})
    finished = [run for run in later.find(status="FINISHED") if "cell" in run.tags]
    for run in finished:  # what counts as finished is whole
        assert {"test_accuracy", "best_epoch"} < run.metrics.keys()
        assert later.fetch(run.id, "predictions.parquet").is_file()
    import_file(exported.bare, later)
    assert len([run for run in later.find() if "cell" in run.tags]) == 4
    assert {run.status for run in later.find()} == {"FINISHED"}
    assert evidence_of(later, monkeypatch) == measured(exported.bare)


def test_a_run_that_was_begun_by_training_is_left_alone(exported, elsewhere):
    entry = load(exported.bare).manifest.cells[0]
    begun = elsewhere.create("begun", tags={"cell": entry.cell, "variant": entry.variant})
    elsewhere.log_metrics(begun, {"train/epoch": 1}, step=1)
    elsewhere.set_status(begun, "KILLED")
    before = elsewhere.get(begun)
    import_file(exported.bare, elsewhere)
    assert elsewhere.get(begun) == before
    assert find_study(elsewhere).manifest.cells[0].run_id != begun


def refused(file, tracker, said, capsys):
    """Import a file that is refused in one line, and see that nothing was written."""
    before = state(tracker)
    assert main(["import", str(file)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert said in captured.err
    assert state(tracker) == before


def turn_an_answer(members):
    name = next(name for name in members if name.endswith("predictions.parquet"))
    table = pd.read_parquet(BytesIO(members[name]))
    table["confidence"] *= 0.5  # which no score shows
    members[name] = table.to_parquet()


def test_the_same_cell_with_other_answers_is_a_conflict(exported, elsewhere, forge, capsys):
    import_file(exported.bare, elsewhere)
    refused(forge(turn_an_answer), elsewhere, " must have the answers that run run-elsewhere", capsys)


def test_other_variants_under_the_id_of_a_study_are_refused_even_where_the_id_fits(
    exported, elsewhere, renamed, capsys, monkeypatch
):
    import_file(exported.bare, elsewhere)
    refused(renamed, elsewhere, "study.json must have the id ", capsys)
    study = find_study(elsewhere).id
    monkeypatch.setattr(Plan, "study_of", lambda *_: study)
    refused(renamed, elsewhere, " must have the variants of the store's, none and sincos, got ", capsys)


def test_an_archive_that_does_not_hold_or_is_cut_is_not_written(exported, elsewhere, forge, workplace, capsys):
    refused(forge(turn_an_answer, digests=None), elsewhere, "predictions.parquet must be as it was exported", capsys)
    (workplace / "cut.zip").write_bytes(exported.bare.read_bytes()[:-1000])
    refused(workplace / "cut.zip", elsewhere, "must be a whole ZIP file", capsys)


def test_tags_of_an_archive_change_nothing_of_who_owns_a_run(elsewhere, forge):
    def foreign(members):
        for name in [name for name in members if name.endswith("run.json")]:
            record = json.loads(members[name])
            record["tags"] |= {
                "owner": "me",
                "lease": "mine",
                "mlflow.user": "root",
                "sha256/x": "0",
                "left_out": "x",
                "kind": "study",
            }
            members[name] = json.dumps(record).encode()

    import_file(forge(foreign), elsewhere)
    run = elsewhere.get(find_study(elsewhere).manifest.cells[0].run_id)
    assert run.tags["owner"] != "me"
    assert not {"lease", "mlflow.user", "sha256/x", "kind"} & run.tags.keys()
    assert run.tags["left_out"] == "checkpoints/best.pt"


# ------------------------------------------------------------------------------------------------- two halves, one study


@pytest.fixture(scope="module")
def more_seeds(tiny, tmp_path_factory):
    """An archive of the same study with the seeds 2 and 3."""
    folder = tmp_path_factory.mktemp("more")
    tracker = MemoryTracker(folder / "store")
    compare(load_study(None, models=["none", "sincos"], seeds=[2, 3], overrides=tiny), tracker, workers=1, device="cpu")
    export_study(find_study(tracker), tracker, folder / "more.zip", weights=False)
    return folder / "more.zip"


def test_two_archives_with_other_seeds_become_one_study(exported, elsewhere, more_seeds, workplace, capsys):
    import_file(exported.bare, elsewhere)
    capsys.readouterr()
    import_file(more_seeds, elsewhere)
    said = capsys.readouterr().out
    assert "The study was declared with seeds 2 and 3, the store's with 0 and 1, which stays declared." in said
    assert "imported 4 runs, 0 were there" in said
    assert "different processors" not in said
    assert len(elsewhere.find(kind="study")) == 1
    study = find_study(elsewhere)
    assert study.manifest.seeds == (0, 1, 2, 3)
    assert len({entry.run_id for entry in study.manifest.cells}) == 8
    assert read_declaration(study, elsewhere).seeds == (0, 1)
    export_study(study, elsewhere, workplace / "both.zip", weights=False)
    verify_file(workplace / "both.zip")
    report = archive.read(workplace / "both.zip")["report/analysis_report.md"].decode()
    assert "| Seeds |" in report
    assert "seed 3" in report
    assert "1 deviation from the plan" in report
    before = state(elsewhere)
    import_file(exported.bare, elsewhere)
    import_file(more_seeds, elsewhere)
    assert state(elsewhere) == before


def on_another_processor(members):
    for name in [name for name in members if name.endswith("/run.json")]:
        record = json.loads(members[name])
        record["tags"]["processor"] = "Another"
        members[name] = json.dumps(record).encode()


def test_halves_from_two_kinds_of_processor_are_said_to_be(forge, elsewhere, more_seeds, workplace, capsys):
    import_file(more_seeds, elsewhere)
    import_file(forge(on_another_processor), elsewhere)
    own = elsewhere.find(model="sincos", seed="2")[0].tags["processor"]
    both = " and ".join(sorted([own, "Another"]))
    assert f"Its runs were trained on different processors: {both}." in capsys.readouterr().out
    export_study(find_study(elsewhere), elsewhere, workplace / "both.zip", weights=False)
    report = archive.read(workplace / "both.zip")["report/analysis_report.md"].decode()
    assert "The runs used different processors" in report


def declared_otherwise(file, part, value, target):
    """Write an archive whose runs were trained with something else, as if it were true."""
    contents = load(file)
    members = dict(contents.members)
    plan = contents.declaration.model_copy(
        update={"identity": {model: {**parts, part: value} for model, parts in contents.declaration.identity.items()}}
    )
    members["plan.json"] = plan.model_dump_json(indent=2).encode()
    for name in ("evidence.json", "study.json"):
        members[name] = members[name].replace(contents.declaration.hash.encode(), plan.hash.encode())
    for cell, record in contents.runs.items():
        tree = record.model_dump()
        tree["tags"][part] = value
        members[f"runs/{cell}/run.json"] = json.dumps(tree).encode()
    from pipeline.exchange.crate import described  # noqa: PLC0415

    for name in ("ro-crate-metadata.json", "croissant.json"):
        del members[name]
    archive.write(target, {**members, **described(replace(contents, members=members))})
    return target


@pytest.mark.parametrize("part", ["code_digest", "data_digest"])
def test_runs_of_other_code_or_data_are_no_half_of_the_study(exported, elsewhere, more_seeds, capsys, part):
    import_file(exported.bare, elsewhere)
    capsys.readouterr()
    other = declared_otherwise(more_seeds, part, "f" * 64, more_seeds.with_name("other.zip"))
    refused(other, elsewhere, f"{part} must be that of the store's study, ", capsys)


def test_another_version_of_torch_is_said(exported, elsewhere, more_seeds, workplace, capsys):
    import_file(exported.bare, elsewhere)
    import_file(declared_otherwise(more_seeds, "torch_version", "1.0", workplace / "other.zip"), elsewhere)
    assert ", 1.0 in the archive)." in capsys.readouterr().out


# --------------------------------------------------------------------------------------------------------------- a server


@pytest.mark.slow
def test_from_a_file_to_a_server_and_back_is_the_same_bytes(server, mlflow_tracker, tiny, workplace, monkeypatch):
    monkeypatch.setattr(analyze, "_drawn", lambda _: ({"png": {}, "svg": {}}, None))
    study = load_study(None, models=["none", "sincos"], seeds=[0, 1], overrides=tiny)
    compare(study, mlflow_tracker, workers=1, device="cpu")
    analyze_study(find_study(mlflow_tracker), mlflow_tracker, output=workplace / "one", allow_missing=False)
    sent = bytes_of(mlflow_tracker, workplace / "sent.zip", weights=True)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "elsewhere")
    served = connect(server)
    import_file(workplace / "sent.zip", served)
    assert bytes_of(served, workplace / "back.zip", weights=True) == sent
    trained = []
    monkeypatch.setattr("pipeline.cells.run_cell", lambda *_args, **_more: trained.append(1))
    compare(study, served, workers=1, device="cpu")
    assert trained == []
    analyze_study(find_study(served), served, output=workplace / "other", allow_missing=False)
    for path in ("summary.json", "results_summary.csv", "significance.csv", "training_histories.json"):
        assert (workplace / "one" / path).read_bytes() == (workplace / "other" / path).read_bytes()
    assert bytes_of(served, workplace / "after.zip", weights=True) == sent
