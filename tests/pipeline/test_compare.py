import json

import pytest

from analysis.analyses.deviations import deviations
from analysis.plan import Declaration
from pipeline.analyze import analyze
from pipeline.compare import compare
from pipeline.errors import RunError, UsageError
from pipeline.stored_study import find_study, load_results
from pipeline.study import load_study

SMALL = {
    "data.name": "mnist_sample",
    "data.max_events": 12,
    "model.hidden_dim": 8,
    "model.embedding.dim": 4,
    "train.batch_size": 64,
    "train.epochs": 2,
}


def study(models=("position", "sincos"), seeds=(0, 1), **settings):
    return load_study(None, models=models, seeds=list(seeds), overrides={**SMALL, **settings})


def run(tracker, *arguments, workers=1, **settings):
    return compare(study(*arguments, **settings), tracker, workers=workers, device="cpu")


def manifest(tracker, parent):
    return json.loads(tracker.fetch(parent, "study.json").read_text())


def test_a_study_is_one_tree_of_finished_runs(mlflow_tracker):
    parent = run(mlflow_tracker, workers=2)
    stored = manifest(mlflow_tracker, parent)
    assert [(cell["model"], cell["seed"]) for cell in stored["cells"]] == [
        ("position", 0), ("sincos", 0), ("position", 1), ("sincos", 1),
    ]  # fmt: skip
    runs = [mlflow_tracker.get(cell["run_id"]) for cell in stored["cells"]]
    assert {one.status for one in runs} == {mlflow_tracker.get(parent).status} == {"FINISHED"}
    assert {one.tags["mlflow.parentRunId"] for one in runs} == {parent}
    assert [one.name for one in runs] == ["position/seed-0", "sincos/seed-0", "position/seed-1", "sincos/seed-1"]


def test_the_same_study_again_retrains_nothing_and_reopens_its_parent(mlflow_tracker, capsys):
    first = run(mlflow_tracker)
    cells = manifest(mlflow_tracker, first)["cells"]
    capsys.readouterr()
    assert run(mlflow_tracker) == first
    assert manifest(mlflow_tracker, first)["cells"] == cells
    assert "4 of 4 runs are finished, 0 to train" in capsys.readouterr().out


def test_more_seeds_and_variants_train_only_the_new_cells(mlflow_tracker):
    first = run(mlflow_tracker)
    more_seeds = run(mlflow_tracker, ("position", "sincos"), (0, 1, 2))
    more_models = run(mlflow_tracker, ("position", "sincos", "none"), (0, 1))
    assert more_seeds == first
    assert more_models != first
    before = {cell["run_id"] for cell in manifest(mlflow_tracker, first)["cells"]}
    reused = [cell for cell in manifest(mlflow_tracker, more_models)["cells"] if cell["run_id"] in before]
    assert len(reused) == 4
    assert len(mlflow_tracker.find(dataset="mnist_sample")) == 8


def test_the_plan_is_stored_before_the_first_training_and_never_overwritten(memory, monkeypatch):
    from pipeline import compare as module  # noqa: PLC0415

    seen = {}

    def nothing(*_):
        (parent,) = memory.find(kind="study")
        seen["tags"], seen["plan"] = parent.tags, memory.fetch(parent.id, "plan.json").read_text()
        return iter(())

    monkeypatch.setattr(module, "_train", nothing)
    parent = run(memory)
    declared = Declaration.model_validate_json(seen["plan"])
    assert declared.hash == seen["tags"]["plan_hash"] == manifest(memory, parent)["plan_hash"]
    assert (declared.seeds, declared.plan.reference, declared.finished_before) == ((0, 1), "position", ())
    assert set(declared.identity) == {"position", "sincos"}
    assert declared.identity["sincos"]["shared_code_digest"] == declared.identity["position"]["shared_code_digest"]
    assert run(memory, ("position", "sincos"), (0, 1, 2)) == parent
    assert memory.fetch(parent, "plan.json").read_text() == seen["plan"]


def test_seeds_that_were_added_or_seen_before_are_deviations_and_a_changed_plan_is_refused(memory):
    from pipeline.train import run_cell  # noqa: PLC0415

    first = study(("position",), (0,)).cells()[0]
    run_cell(first, memory, device="cpu", report=lambda *_: None)
    parent = compare(study(("position",), (0,)), memory, workers=1, device="cpu")
    (found,) = deviations(load_results(find_study(memory), memory, allow_missing=False))
    assert found.startswith("1 run had finished before the plan was declared")
    run_cell(study(("position",), (1,)).cells()[0], memory, device="cpu", report=lambda *_: None)
    compare(study(("position",), (0, 1)), memory, workers=1, device="cpu")
    results = load_results(find_study(memory), memory, allow_missing=False)
    assert "Extra seeds, not in the plan: 1." in deviations(results)
    path = memory.fetch(parent, "plan.json")
    path.write_text(path.read_text().replace('"alpha": 0.05', '"alpha": 0.1').replace('"alpha":0.05', '"alpha":0.1'))
    with pytest.raises(UsageError, match=r"plan\.json must be what was declared"):
        load_results(find_study(memory), memory, allow_missing=False)


def test_a_failed_cell_leaves_the_others_finished_and_the_study_failed(mlflow_tracker, monkeypatch):
    from pipeline import train  # noqa: PLC0415

    fit = train.fit

    def failing(training, splits, config, precision):
        if config.model.embedding.name == "sincos" and config.seed == 1:
            raise FloatingPointError("training: loss must be finite, got nan")
        return fit(training, splits, config, precision)

    monkeypatch.setattr(train, "fit", failing)
    with pytest.raises(RunError, match=r"sincos/seed-1: FloatingPointError: training: loss must be finite"):
        run(mlflow_tracker)
    found = find_study(mlflow_tracker)
    assert found.parent.status == "FAILED"
    with pytest.raises(ValueError, match="got no finished run of sincos seed 1"):
        load_results(found, mlflow_tracker, allow_missing=False)
    assert load_results(found, mlflow_tracker, allow_missing=True).missing == (("sincos", 1),)
    monkeypatch.setattr(train, "fit", fit)
    assert run(mlflow_tracker) == found.parent.id
    assert mlflow_tracker.get(found.parent.id).status == "FINISHED"
    assert not load_results(find_study(mlflow_tracker), mlflow_tracker, allow_missing=False).missing


def test_a_failed_cell_is_named_with_the_kind_of_its_error(memory, monkeypatch):
    from pipeline import compare as module  # noqa: PLC0415

    monkeypatch.setattr(module, "_train", lambda tasks, *_: [(tasks[0], KeyError("x"))])
    with pytest.raises(RunError, match=r"^position/seed-0: KeyError: 'x'$"):
        run(memory)


def test_a_run_that_mlflow_created_becomes_the_parent_or_a_link_to_it(mlflow_tracker):
    adopted = mlflow_tracker.create("mlflow run", tags={})
    assert compare(study(), mlflow_tracker, workers=1, device="cpu", adopted=adopted) == adopted
    second = mlflow_tracker.create("mlflow run again", tags={})
    assert compare(study(), mlflow_tracker, workers=1, device="cpu", adopted=second) == adopted
    assert mlflow_tracker.get(second).tags["parent"] == adopted


def test_variants_that_do_not_differ_are_refused(mlflow_tracker, workplace):
    (workplace / "study.json").write_text(
        json.dumps(
            {**SMALL, "variants": {"a": {"model.embedding.name": "none"}, "b": {"model.embedding.name": "none"}}}
        )
    )
    with pytest.raises(UsageError, match="same config for a/seed-0 and b/seed-0"):
        compare(load_study(workplace / "study.json", seeds=[0]), mlflow_tracker, workers=1, device="cpu")
    assert mlflow_tracker.find(kind="study") == []


def test_the_analysis_writes_every_promised_file_and_stores_it(mlflow_tracker, workplace):
    parent = run(mlflow_tracker)
    output = workplace / "out"
    findings = analyze(find_study(mlflow_tracker), mlflow_tracker, output=output, allow_missing=False)
    assert [finding.name for finding in findings][:2] == ["overview", "significance"]
    figures = [
        "training_curves",
        "convergence_analysis",
        "temporal_patterns",
        "confusion_matrices",
        "statistical_significance",
        "time_use",
        "anytime_accuracy",
        "encoding_spectrum",
        "encoding_kernel",
        "efficiency",
        "reliability",
    ]
    promised = [f"{stem}.{kind}" for stem in figures for kind in ("png", "svg", "html")]
    promised += ["training_histories.json", "summary.json", "results_summary.csv", "detailed_analysis.json"]
    promised += [
        "analysis_report.md",
        "analysis_report.html",
        "significance.csv",
        "results_table.tex",
        "significance_table.tex",
        "position_best.pth",
        "sincos_best.pth",
    ]
    promised += [f"logs/{model}-seed{seed}.log" for model in ("position", "sincos") for seed in (0, 1)]
    written = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    assert (written - set(promised), set(promised) - written) == (set(), set())
    for name in promised:
        assert mlflow_tracker.fetch(parent, name).read_bytes() == (output / name).read_bytes()
    histories = json.loads((output / "training_histories.json").read_text())
    assert len(histories["position"]["0"]["test_accuracy"]) == 2
    assert "position" in mlflow_tracker.get(parent).tags["mlflow.note.content"]
    assert set(mlflow_tracker.get(parent).metrics) == {"position/test_accuracy", "sincos/test_accuracy"}
    assert "significance.json" in mlflow_tracker.get(parent).tags["mlflow.loggedArtifacts"]


def test_a_folder_with_another_study_is_refused(mlflow_tracker, workplace):
    run(mlflow_tracker)
    output = workplace / "out"
    output.mkdir()
    (output / "summary.json").write_text('{"study": "another"}')
    with pytest.raises(UsageError, match="--output: must be a new folder or that of study"):
        analyze(find_study(mlflow_tracker), mlflow_tracker, output=output, allow_missing=False)
    assert [path.name for path in output.iterdir()] == ["summary.json"]
    with pytest.raises(UsageError, match=r"--output: must be a folder, got .*summary\.json, which is a file"):
        analyze(find_study(mlflow_tracker), mlflow_tracker, output=output / "summary.json", allow_missing=False)


def test_a_study_that_does_not_exist_is_said(mlflow_tracker):
    with pytest.raises(UsageError, match=r"--study: must be a study .* got nothere"):
        find_study(mlflow_tracker, "nothere")
