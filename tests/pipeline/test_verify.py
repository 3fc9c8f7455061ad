"""The verb that checks what is stored of a study."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import torch

from pipeline import analyze, checkpoint
from pipeline import verify as module
from pipeline.__main__ import main
from pipeline.evidence import Evidence, replace_text
from pipeline.stored_study import find_study
from pipeline.tracking import SEALED


@pytest.fixture
def unanalysed(store, monkeypatch):
    """The same store without what takes seconds, the analysis."""
    monkeypatch.setattr(module, "REPORT_FILE", "a report that is not there")
    return store


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def failing(said):
    return [line for line in said if line.startswith("FAILS")]


def first_cell(store):
    return store.get(find_study(store).manifest.cells[0].run_id)


def test_a_study_that_is_as_it_was_stored_verifies(store, capsys):
    study = find_study(store)
    assert main(["verify", study.id, "--choice", "7"]) == 0
    said = lines(capsys)
    assert failing(said) == []
    names = [line.split(":")[0] for line in said if line.startswith("holds")]
    assert {f"holds  {model}/seed-{seed}" for model in ("none", "sincos") for seed in (0, 1)} < set(names)
    texts = ("summary.json", "detailed_analysis.json", "significance.csv", "analysis_report.md", "analysis_report.html")
    assert {f"holds  {name}" for name in texts} < set(names)
    [again] = [line for line in said if "trained again" in line]
    assert "drawn by --choice 7" in again
    assert again.endswith("of weights, bit for bit")
    assert said[-1] == f"lstm_comparison (study {study.id}) verifies: {len(names)} checks hold"


def test_a_study_of_balanced_accuracy_is_compared_analysed_and_verified(memory, tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("pipeline.verbs.open_store", lambda *_: (memory, None))
    monkeypatch.setattr(analyze, "_drawn", lambda _: ({"png": {}, "svg": {}}, None))
    file, out = tmp_path / "rare.json", tmp_path / "out"
    variants = {name: {"model.embedding.name": name} for name in ("none", "sincos")}
    plan = {"primary_metric": "balanced_accuracy"}
    file.write_text(json.dumps({"base": tiny, "variants": variants, "seeds": [0, 1, 2], "plan": plan}))
    assert main(["main", "--config", str(file), "--output", str(out), "--workers", "1"]) == 0
    study = find_study(memory)
    assert study.manifest.plan.primary_metric == "balanced_accuracy"
    stored = pd.read_csv(out / "results_summary.csv").set_index("model")
    assert study.parent.metrics["leader_balanced_accuracy"] == pytest.approx(stored["balanced_accuracy_mean"].max())
    report = (out / "analysis_report.md").read_text()
    assert "| Balanced accuracy (95 % interval) | Test accuracy |" in report
    assert " points of balanced accuracy [" in report
    assert main(["verify", study.id, "--no-retrain"]) == 0
    assert failing(lines(capsys)) == []


def test_a_report_verifies_where_the_server_has_another_address(store, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(analyze, "_drawn", lambda _: ({"png": {}, "svg": {}}, None))
    monkeypatch.setattr(analyze, "site_of", lambda _: "http://mlflow:5000/")
    analyze.analyze_study(find_study(store), store, output=tmp_path / "out", allow_missing=False)
    monkeypatch.setattr(module, "site_of", lambda _: "https://runs.example/")
    capsys.readouterr()
    assert "(http://mlflow:5000/" in (tmp_path / "out" / "analysis_report.md").read_text()
    assert main(["verify", "--no-retrain"]) == 0
    assert failing(lines(capsys)) == []


def test_the_choice_decides_which_run_is_trained_again_and_none_is_where_that_is_asked_for(
    unanalysed, capsys, monkeypatch
):
    assert unanalysed.find(kind="study")
    monkeypatch.setattr(module, "_trained_again", lambda run, *_: (run.id, None))
    drawn = []
    for choice in ("1", "1", "2", "3", "4", "5", "6"):
        assert main(["verify", "--choice", choice]) == 0
        drawn += [line.split()[-1] for line in lines(capsys) if "trained again" in line]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1
    assert main(["verify", "--no-retrain"]) == 0
    assert "trained again" not in capsys.readouterr().out


def change_an_answer(store):
    path = store.fetch(first_cell(store).id, "predictions.parquet")
    table = pd.read_parquet(path)
    table.loc[0, "predicted"] = (table.loc[0, "predicted"] + 1) % 4
    table.to_parquet(path)


def flip_a_byte_of_the_weights(store):
    path = store.fetch(first_cell(store).id, "checkpoints/best.pt")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def change_alpha(store):
    path = store.fetch(find_study(store).parent.id, "study.json")
    path.write_text(path.read_text().replace('"alpha": 0.05', '"alpha": 0.1'))


def change_a_verdict(store):
    path = store.fetch(find_study(store).parent.id, "significance.csv")
    path.write_text(path.read_text().replace("undecided", "better"))


def change_a_mean(store):
    run = find_study(store).parent
    store._runs[run.id] = replace(run, metrics={**run.metrics, "leader_test_accuracy": 0.99})


def change_a_metric(store):
    run = first_cell(store)
    store._runs[run.id] = replace(run, metrics={**run.metrics, "final_accuracy": 0.99})


def lose_a_table(store):
    store.fetch(find_study(store).parent.id, "results_summary.csv").unlink()


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (change_an_answer, ["predictions.parquet must be as it was stored", "predictions.parquet must be as it was stored"]),
        (change_alpha, ["study.json must be as it was stored"]),
        (change_a_metric, ["history.json must give the final_accuracy that was logged, 0.99, got ", "history.json must give"]),
        (change_a_mean, ["metric leader_test_accuracy must be "]),
        (change_a_verdict, ["significance.csv must be as it was stored", "significance.csv must be what follows from the"]),
    ],
)  # fmt: skip
def test_what_has_changed_is_named_and_the_study_does_not_verify(store, capsys, change, names):
    change(store)
    fails(store, capsys, names)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (flip_a_byte_of_the_weights, "checkpoints/best.pt must be as it was stored"),
        (lose_a_table, "results_summary.csv must be as it was stored, got none"),
    ],
)
def test_what_no_analysis_reads_is_checked_too(unanalysed, capsys, change, name):
    change(unanalysed)
    fails(unanalysed, capsys, [name])


def fails(store, capsys, names):
    study = store.find(kind="study")[0].tags["study"]
    assert main(["verify", study, "--no-retrain"]) == 1
    captured = capsys.readouterr()
    said = captured.out.splitlines()
    found = failing(said)
    assert len(found) == len(names)
    assert all(name in line for name, line in zip(names, found, strict=True))
    assert f"(study {study}) does not verify: {len(names)} of " in said[-1]
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("failed: verify: ")


def forge_weights(store):
    """Change the weights of a run with their digests: nothing but training shows it."""
    run = first_cell(store)
    path = store.fetch(run.id, "checkpoints/best.pt")
    state = checkpoint.load(path)
    checkpoint.save(path, {**state, "model": {name: weight + 1 for name, weight in state["model"].items()}})
    evidence = Evidence(store, run.id)
    path.rename(path.with_name("forged"))
    path.with_name("forged").rename(path.parent.parent / "best.pt")
    evidence.log_file(path.parent.parent / "best.pt", "checkpoints")
    evidence.seal()


def only_first(monkeypatch, store):
    monkeypatch.setattr(
        module.Random,
        "choice",
        lambda _self, names: next(n for n in names if n == f"{first_cell(store).tags['model']}/seed-0"),
    )


def test_weights_that_training_does_not_give_are_found_by_training(unanalysed, capsys, monkeypatch):
    forge_weights(unanalysed)
    only_first(monkeypatch, unanalysed)
    assert main(["verify"]) == 1
    [line] = [line for line in failing(lines(capsys)) if "trained again" in line]
    assert "checkpoints/best.pt must be what training gives on the same machine, got 32 of 32 answers alike" in line


def move_to_another_machine(store):
    """Let the first run have been trained on another processor, with another torch."""
    run = first_cell(store)
    told = json.loads(store.fetch(run.id, "environment.json").read_text())
    replace_text(run.id, "environment.json", json.dumps({**told, "processor": "another"}), store)
    store.set_tags(run.id, {"torch_version": "1.0"})


def test_where_the_machine_was_another_it_is_said_why_bits_cannot_be_expected(unanalysed, capsys, monkeypatch):
    forge_weights(unanalysed)
    only_first(monkeypatch, unanalysed)
    move_to_another_machine(unanalysed)
    main(["verify"])
    [line] = [line for line in lines(capsys) if "trained again" in line]
    assert line.startswith("holds")
    assert "the bits cannot be expected to be the same, because these differ: torch_version (1.0, now " in line
    assert f"(1.0, now {torch.__version__}) and processor (another, now " in line


def invent_answers(store):
    """Make every answer of the first run right, with the digest and the score of that."""
    run, file = first_cell(store), store._folder.parent / "predictions.parquet"
    table = pd.read_parquet(store.fetch(run.id, "predictions.parquet"))
    table.assign(predicted=table["label"]).to_parquet(file)
    evidence = Evidence(store, run.id)
    evidence.log_file(file)
    evidence.seal()
    store._runs[run.id] = replace(store.get(run.id), metrics={**run.metrics, "test_accuracy": 1.0})


def test_an_accuracy_that_training_gives_on_no_machine_fails_there_too(unanalysed, capsys, monkeypatch):
    invent_answers(unanalysed)
    only_first(monkeypatch, unanalysed)
    move_to_another_machine(unanalysed)
    assert main(["verify"]) == 1
    [line] = failing(lines(capsys))
    assert "predictions.parquet must be within 25.0 points of the accuracy that training gives elsewhere, got " in line
    assert "and stored 100.00% (the bits cannot be expected to be the same, because these differ: torch_version" in line


@pytest.mark.parametrize(
    ("now", "count"),
    [("Linux-5.15.0-x86_64-with-glibc2.36", 0), ("Linux-5.15.0-x86_64-with-glibc2.31", 1), ("Linux-6.1.0-aarch64", 1)],
)
def test_the_release_of_the_kernel_is_no_difference_of_the_machine(now, count):
    stored = {"platform": "Linux-6.1.0-18-cloud-amd64-x86_64-with-glibc2.36"}
    assert len(module._differences(stored, {"platform": now}, ("platform",))) == count


def test_all_studies_are_checked_and_one_that_fails_is_named(unanalysed, capsys):
    other = unanalysed.create("other", tags={"kind": "ablation", "study": "of a grid"})
    assert main(["verify", "--all", "--no-retrain"]) == 0
    assert "other (study of a grid) verifies: 3 checks hold" in lines(capsys)
    replace_text(other, "digests.json", json.dumps({"trials.csv": "0"}), unanalysed)
    assert main(["verify", "--all", "--no-retrain"]) == 1
    captured = capsys.readouterr()
    assert "trials.csv must be as it was stored, got none" in captured.out
    assert "got 1 failure: of a grid." in captured.err


def test_the_runs_of_a_grid_are_those_of_its_trials(unanalysed, capsys):
    cell = first_cell(unanalysed)
    other = unanalysed.create("other", tags={"kind": "ablation", "study": "of a grid"})
    unanalysed.log_text(other, "trials.csv", f"trial,seed,cell\n3,0,{cell.id}\n4,0,\n")
    assert main(["verify", other, "--no-retrain"]) == 0
    assert any(line.startswith("holds  trial 3/seed-0: ") for line in lines(capsys))


def test_runs_of_older_code_verify_with_a_word(unanalysed, capsys):
    for run in unanalysed.find():
        for tag in [tag for tag in run.tags if tag.startswith(SEALED)]:
            del run.tags[tag]
    assert main(["verify", "--no-retrain"]) == 0
    assert sum("no digests, being from before files had any" in line for line in lines(capsys)) == 4


def test_a_study_whose_name_is_nearly_right_is_asked_for(unanalysed, capsys):
    study = find_study(unanalysed).id
    assert main(["verify", study[:-1] + "x"]) == 2
    assert f"Did you mean {study}?" in capsys.readouterr().err
