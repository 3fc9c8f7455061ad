import importlib
import json

import pandas as pd
import pytest

from analysis.analyses import overview, registry
from analysis.analyses.deviations import deviations
from analysis.figures.parts.style import colours
from analysis.findings import Finding
from analysis.metrics import registry as metrics
from analysis.metrics.predictions import accuracy_at_best_epoch
from analysis.metrics.registry import Metric
from analysis.plan import Declaration
from pipeline import analyze
from pipeline.analyze import analyze_study
from pipeline.comparison import compare
from pipeline.errors import RunError, UsageError
from pipeline.evidence import replace_text
from pipeline.probes.registry import PROBES
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
    assert [one.name for one in runs] == ["position s0", "sincos s0", "position s1", "sincos s1"]


def test_the_same_study_again_retrains_nothing_and_reopens_its_parent(memory, capsys):
    first = run(memory)
    cells = manifest(memory, first)["cells"]
    capsys.readouterr()
    assert run(memory) == first
    assert manifest(memory, first)["cells"] == cells
    assert "4 of 4 runs are finished, 0 to train" in capsys.readouterr().out


def test_more_seeds_and_variants_train_only_the_new_cells(memory):
    first = run(memory)
    more_seeds = run(memory, ("position", "sincos"), (0, 1, 2))
    more_models = run(memory, ("position", "sincos", "none"), (0, 1))
    assert more_seeds == first
    assert more_models != first
    before = {cell["run_id"] for cell in manifest(memory, first)["cells"]}
    reused = [cell for cell in manifest(memory, more_models)["cells"] if cell["run_id"] in before]
    assert len(reused) == 4
    assert len(memory.find(dataset="mnist_sample")) == 8


def test_the_plan_is_stored_before_the_first_training_and_never_overwritten(memory, monkeypatch):
    module = importlib.import_module("pipeline.comparison")

    seen = {}

    def nothing(*_):
        (parent,) = memory.find(kind="study")
        seen["tags"], seen["plan"] = parent.tags, memory.fetch(parent.id, "plan.json").read_text()
        return iter(())

    monkeypatch.setattr(module, "train_cells", nothing)
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
    with pytest.raises(UsageError, match=r"plan\.json must be as it was stored"):
        load_results(find_study(memory), memory, allow_missing=False)


def test_a_failed_cell_leaves_the_others_finished_and_the_study_failed(memory, monkeypatch):
    from pipeline import train  # noqa: PLC0415

    fit = train.fit

    def failing(training, splits, config, precision):
        if config.model.embedding.name == "sincos" and config.seed == 1:
            raise FloatingPointError("training: loss must be finite, got nan")
        return fit(training, splits, config, precision)

    monkeypatch.setattr(train, "fit", failing)
    with pytest.raises(RunError, match=r"sincos/seed-1: FloatingPointError: training: loss must be finite"):
        run(memory)
    found = find_study(memory)
    assert found.parent.status == "FAILED"
    with pytest.raises(ValueError, match="got no finished run of sincos seed 1"):
        load_results(found, memory, allow_missing=False)
    assert load_results(found, memory, allow_missing=True).missing == (("sincos", 1),)
    monkeypatch.setattr(train, "fit", fit)
    assert run(memory) == found.parent.id
    assert memory.get(found.parent.id).status == "FINISHED"
    assert not load_results(find_study(memory), memory, allow_missing=False).missing


@pytest.mark.parametrize(("batch_size", "said"), [(4, "loss must be finite"), (32, "validation loss must be finite")])
def test_a_run_that_diverges_fails_alone(memory, workplace, tiny, batch_size, said):
    # In 8 updates the loss of training itself ends. After 1 only the answers do, and the estimate meets it as well.
    wild = {"model.embedding.name": "none", "train.optimizer": "sgd", "train.clip_norm": 0, "train.learning_rate": 1e42}
    variants = {"calm": {"model.embedding.name": "sincos"}, "wild": wild}
    base = {**tiny, "train.epochs": 1, "train.batch_size": batch_size}
    (workplace / "own.json").write_text(json.dumps({"base": base, "variants": variants, "seeds": [0, 1]}))
    with pytest.raises(RunError, match=rf"wild/seed-0: FloatingPointError: training: {said}.*; wild/seed-1: "):
        compare(load_study(workplace / "own.json"), memory, workers=1, device="cpu")
    for model, status in {"calm": "FINISHED", "wild": "FAILED"}.items():
        assert [run.status for run in memory.find(model=model)] == [status, status]
    assert all("packaged" in run.tags for run in memory.find(model="calm"))


def test_a_failed_cell_is_named_with_the_kind_of_its_error(memory, monkeypatch):
    module = importlib.import_module("pipeline.comparison")

    monkeypatch.setattr(module, "train_cells", lambda tasks, *_: [(tasks[0], KeyError("x"))])
    with pytest.raises(
        RunError,
        match=r"^position/seed-0: KeyError: 'x' \(3 of 4 runs are finished; --allow-missing analyses them\.\)$",
    ):
        run(memory)


def test_workers_that_train_for_an_analysis_measure_the_probes_too(memory, monkeypatch):
    from pipeline.probes import tables  # noqa: PLC0415

    compare(study(("position",), (0,)), memory, workers=1, device="cpu", probed=True)
    monkeypatch.setattr(tables, "predict", None)  # nothing is computed again
    assert set(PROBES) <= set(load_results(find_study(memory), memory, allow_missing=False).probes)


def test_a_probe_that_fails_leaves_the_run_finished(memory, monkeypatch):
    module = importlib.import_module("pipeline.cells")

    def failing(*_):
        raise ValueError("a defect")

    monkeypatch.setattr(module, "probe_tables", failing)
    parent = compare(study(("position",), (0,)), memory, workers=1, device="cpu", probed=True)
    assert memory.get(parent).status == "FINISHED"


def test_a_run_that_mlflow_created_becomes_the_parent_or_a_link_to_it(memory):
    adopted = memory.create("mlflow run", tags={})
    assert compare(study(), memory, workers=1, device="cpu", adopted=adopted) == adopted
    second = memory.create("mlflow run again", tags={})
    assert compare(study(), memory, workers=1, device="cpu", adopted=second) == adopted
    assert memory.get(second).tags["parent"] == adopted


def test_variants_that_do_not_differ_are_refused(memory, workplace):
    (workplace / "study.json").write_text(
        json.dumps(
            {**SMALL, "variants": {"a": {"model.embedding.name": "none"}, "b": {"model.embedding.name": "none"}}}
        )
    )
    with pytest.raises(UsageError, match="same config for a/seed-0 and b/seed-0"):
        compare(load_study(workplace / "study.json", seeds=[0]), memory, workers=1, device="cpu")
    assert memory.find(kind="study") == []


@pytest.mark.usefixtures("browser")
def test_the_analysis_writes_every_promised_file_and_stores_it(memory, workplace):
    parent = run(memory)
    output = workplace / "out"
    findings = analyze_study(find_study(memory), memory, output=output, allow_missing=False)
    assert [finding.name for finding in findings][:2] == ["overview", "significance"]
    figures = [
        "accuracy",
        "differences",
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
        "performance_profiles",
        "reliability",
    ]
    promised = [f"{stem}.{kind}" for stem in figures for kind in ("png", "svg", "html")]
    promised += [
        "plotly.js",
        "training_histories.json",
        "summary.json",
        "results_summary.csv",
        "detailed_analysis.json",
    ]
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
    kept = [name for name in promised if not name.endswith((".pth", ".log", ".js"))]  # the runs hold their own files
    for name in kept:
        assert memory.fetch(parent, name).read_bytes() == (output / name).read_bytes()
    assert not memory.fetch_all(parent, set(promised) - set(kept))
    histories = json.loads((output / "training_histories.json").read_text())
    assert len(histories["position"]["0"]["test_accuracy"]) == 2
    assert "position" in memory.get(parent).tags["mlflow.note.content"]
    assert set(memory.get(parent).metrics) == {"leader_test_accuracy", "pairs", "pairs_decided"}
    runs = memory.find(**{"mlflow.parentRunId": parent})
    assert {one.tags["model"]: one.tags["mlflow.runColor"] for one in runs} == colours(["position", "sincos"])
    assert all(
        {"calibration_error", "negative_log_likelihood", "time_use/true_times", "time_use/rank_only"} < set(one.metrics)
        for one in runs
    )
    assert {step for one in runs for step, row in memory.history[one.id] if not all("/" in name for name in row)} == {0}
    assert len(json.loads(memory.fetch(parent, "significance.json").read_text())["data"]) == 1


def test_an_analysis_and_a_metric_that_were_added_reach_the_report_and_the_store(store, workplace, monkeypatch):
    table = pd.DataFrame({"sequence": [7], "missed": [0.5]})
    own = Finding("own", "My analysis", "What I found.", {"mine": table})
    half = Metric("half", "Half the accuracy", "rate", "higher", lambda results: accuracy_at_best_epoch(results) / 2)
    monkeypatch.setitem(registry.ANALYSES, "own", lambda _: own)
    for module in (metrics, overview):
        monkeypatch.setattr(module, "METRICS", (*metrics.METRICS, half))
    monkeypatch.setitem(metrics.BY_NAME, "half", half)
    monkeypatch.setattr(analyze, "_drawn", lambda _: ({"png": {}, "svg": {}}, None))
    stored, output = find_study(store), workplace / "own"
    analyze_study(stored, store, output=output, allow_missing=False)
    told = (output / "analysis_report.md").read_text()
    assert "\n| Half the accuracy | higher |" in told
    assert "## My analysis\n\nWhat I found.\n\nTable: Mine\n\n| sequence | missed |" in told
    kept = json.loads(store.fetch(stored.parent.id, "tables/own_mine.json").read_text())
    assert kept == {"columns": ["sequence", "missed"], "data": [[7, 0.5]]}
    assert "half_mean" in store.fetch(stored.parent.id, "results_summary.csv").read_text()
    assert "My analysis" in store.fetch(stored.parent.id, "analysis_report.html").read_text()


def test_a_folder_with_another_study_is_refused(memory, workplace):
    run(memory)
    output = workplace / "out"
    output.mkdir()
    (output / "summary.json").write_text('{"study": "another"}')
    with pytest.raises(UsageError, match="--output: must be a new folder or that of study"):
        analyze_study(find_study(memory), memory, output=output, allow_missing=False)
    assert [path.name for path in output.iterdir()] == ["summary.json"]
    with pytest.raises(
        UsageError, match=r"--output: must be a folder that can be .*, got .*summary\.json \(Not a directory\)"
    ):
        analyze_study(find_study(memory), memory, output=output / "summary.json", allow_missing=False)


def test_a_study_that_does_not_exist_is_said(memory):
    with pytest.raises(UsageError, match=r"--study: must be a study .* got nothere"):
        find_study(memory, "nothere")


def test_the_runs_of_a_study_that_was_killed_are_found_by_their_cells(memory):
    parent = run(memory)
    whole = manifest(memory, parent)
    lost = json.loads(json.dumps(whole))
    for cell in lost["cells"][1:]:
        cell["run_id"] = None  # as it is written when a study begins
    replace_text(parent, "study.json", json.dumps(lost), memory)
    found = [entry.run_id for entry in find_study(memory).manifest.cells]
    assert found == [cell["run_id"] for cell in whole["cells"]]


def test_a_study_looks_its_runs_up_with_one_search_for_each_variant(memory, monkeypatch):
    run(memory, ("position", "sincos"), (0, 1, 2))
    find, asked = memory.find, []
    monkeypatch.setattr(memory, "find", lambda **tags: asked.append(tags) or find(**tags))
    run(memory, ("position", "sincos"), (0, 1, 2))
    assert len([tags for tags in asked if "variant" in tags]) == 2
    assert not [tags for tags in asked if "cell" in tags]
