import json
import re

import numpy as np
import pytest

from analysis import run_analyses
from analysis.analyses.banners import banners
from analysis.plan import Plan
from analysis.report.markdown import description, report, verdict_lines, verdict_markdown
from analysis.report.records import detailed_analysis, jsonable, summary, training_histories
from analysis.results import Results

RATES = {"none": 0.6, "sincos": 0.9, "lete": 0.91}


@pytest.fixture(scope="module")
def findings(study, draw):
    return run_analyses(study(draw(RATES)))


def test_the_verdict_comes_first_and_then_the_results(findings):
    text = report(findings)
    places = [
        text.index(f"\n## {title}\n") for title in ("Verdict", "Results", "Training curves", "Plan", "Environment")
    ]
    assert places == sorted(places)
    verdict, figure = text.index("- **lete is better than none**: +"), text.index("(statistical_significance.png)")
    assert places[0] < verdict < figure < text.index("Test: two-way t") < places[1]
    assert text.count("lete is better than none") == 1


def test_every_run_is_linked_where_an_address_is_known(findings):
    text = report(findings, links={"lete-1": "http://host/runs/lete-1"})
    assert "[lete seed 1](http://host/runs/lete-1)" in text
    assert "| lete seed 0 |" in text


def test_every_figure_is_shown_once(findings):
    shown = re.findall(r"!\[[^\]]+\]\((\w+)\.png\)", report(findings))
    assert sorted(shown) == sorted(stem for finding in findings for stem in finding.figures)
    assert set(shown) == {
        "training_curves",
        "convergence_analysis",
        "temporal_patterns",
        "confusion_matrices",
        "reliability",
        "efficiency",
        "statistical_significance",
    }


def test_no_p_is_written_without_an_effect_and_an_interval(findings):
    for line in report(findings).splitlines():
        if re.search(r"\bp [=<] \d", line):
            assert re.search(r"[+-]\d+\.\d\d points \[[+-]\d+\.\d\d, [+-]\d+\.\d\d\]", line), line


def test_the_best_accuracy_is_flagged_as_chosen_on_test(findings):
    text = report(findings)
    assert "Best accuracy *" in text
    assert "* Chosen on the test split" in text


def test_environment_and_plan_are_listed(findings):
    text = report(findings, environment={"git commit": "abc123"})
    assert "| git commit | abc123 |" in text
    assert "| torch_version | 2.13.0 |" in text
    assert "| margin | 0.002 |" in text
    assert "| reference | none |" in text


def test_the_short_forms_say_one_sentence_a_pair(findings):
    lines = verdict_lines(findings)
    assert len(lines) == 3
    assert lines[1].startswith("lete is better than none: +")
    markdown = verdict_markdown(findings, {"lete-1": "http://host/1"})
    assert all(line in markdown.replace("**", "") for line in lines)
    assert "[lete seed 1](http://host/1)" in markdown
    assert len(markdown) < 5000


def test_a_description_fits_what_mlflow_keeps_and_loses_the_runs_first(study, draw):
    many = run_analyses(study(draw({f"model_{number:02d}": 0.8 for number in range(12)})), ["overview", "significance"])
    long = description(many)
    assert len(long) <= 8_000 < len(verdict_markdown(many))
    assert long.endswith("The rest is in the report among the artifacts.\n")
    some = run_analyses(
        study(draw({f"model_{number}": 0.8 for number in range(4)}, seeds=12)), ["overview", "significance"]
    )
    links = {f"model_{number}-{seed}": "#/experiments/1/runs/" + 32 * "0" for number in range(4) for seed in range(12)}
    assert len(verdict_markdown(some, links)) > 8_000
    assert description(some, links) == verdict_markdown(some, runs=False)


def test_without_the_significance_analysis_there_is_no_verdict(study, draw):
    findings = run_analyses(study(draw(RATES)), ["overview"])
    assert verdict_lines(findings) == []
    assert "No verdict" in report(findings)
    assert "No verdict" in verdict_markdown(run_analyses(study(draw(RATES)), ["confusion"]))


@pytest.mark.parametrize("record", [detailed_analysis, summary])
def test_records_are_json_without_nan(record, study, draw, findings):
    for found in (findings, run_analyses(study(draw(RATES, seeds=1), epochs=1))):
        text = json.dumps(record(found), allow_nan=False)
        assert "lete" in text
        assert json.loads(text) == record(found)


def test_histories_list_every_epoch_by_model_and_seed(study, draw):
    histories = training_histories(study(draw(RATES), epochs=4))
    assert list(histories) == ["none", "sincos", "lete"]
    assert set(histories["lete"]["2"]) == {
        "seconds",
        *(f"{split}_{metric}" for split in ("train", "validation", "test") for metric in ("loss", "accuracy")),
    }
    assert histories["lete"]["2"]["test_accuracy"] == pytest.approx([0.9 - 0.4 / epoch for epoch in (1, 2, 3, 4)])


def test_numpy_scalars_and_gaps_become_plain_values():
    found = jsonable({np.int64(3): [np.float64("nan"), np.bool_(True), (np.int8(2), float("inf"))], "a": None})
    assert found == {"3": [None, True, [2, None]], "a": None}
    assert type(found["3"][1]) is bool


def change(column, value, rows=0):
    def changed(runs, curves, predictions):
        runs.loc[rows, column] = value
        return runs, curves, predictions

    return changed


def one_class(runs, curves, predictions):
    wrong = (predictions["model"] == "lete") & (predictions["seed"] == 1)
    predictions.loc[wrong, "predicted"] = 0
    runs.loc[runs["run_id"] == "lete-1", "test_accuracy"] = (predictions.loc[wrong, "label"] == 0).mean()
    return runs, curves, predictions


def same_seeds(runs, curves, predictions):
    rows = predictions["model"] == "lete"
    columns = ["predicted", "log_likelihood"]
    first = predictions.loc[rows & (predictions["seed"] == 0), columns].to_numpy()
    predictions.loc[rows & (predictions["seed"] == 2), columns] = first
    runs.loc[runs["run_id"] == "lete-2", "test_accuracy"] = runs.loc[runs["run_id"] == "lete-0", "test_accuracy"].item()
    return runs, curves, predictions


def same_models(runs, curves, predictions):
    none, lete = (predictions["model"] == model for model in ("none", "lete"))
    columns = ["predicted", "log_likelihood"]
    predictions.loc[lete, columns] = predictions.loc[none, columns].to_numpy()
    runs.loc[runs["model"] == "lete", "test_accuracy"] = runs.loc[runs["model"] == "none", "test_accuracy"].to_numpy()
    return runs, curves, predictions


def tuned(runs, curves, predictions):
    runs["tuning_trials"] = (runs["model"] == "lete") * 30
    return runs, curves, predictions


def kernels(*names):
    def changed(runs, curves, predictions):
        # A model without an LSTM has none, which makes no difference.
        runs["lstm_kernel"] = [*names, *[None] * (len(runs) - len(names))]
        return runs, curves, predictions

    return changed


BANNERS = {
    "shared code": (change("shared_code_digest", "other", [6, 7, 8]), "code that all models share"),
    "tuning": (tuned, "Unequal tuning budgets: none 0 trials, sincos 0 trials and lete 30 trials."),
    "precision": (change("precision", "bf16"), "different precisions: bf16 and fp32"),
    "torch": (change("torch_version", "2.12.0"), "different builds of torch: 2.12.0 and 2.13.0"),
    "device": (change("device", "cuda"), "different devices: cpu and cuda"),
    "kernel": (kernels("compiled", "torch"), "different kernels of the LSTM: compiled and torch"),
    "code": (change("code_digest", "other"), "trained by different code: none."),
    "epochs": (change("epochs", 5), "between 5 and 6 epochs"),
    "missing": (change("status", "FAILED"), "Missing cells: none seed 0."),
    "recorded": (change("test_accuracy", 0.123), "recorded test accuracy of none seed 0 (12.30 %)"),
    "one class": (one_class, "All predictions are one class: lete seed 1."),
    "same seeds": (same_seeds, "Seeds of lete gave identical results"),
    "same models": (same_models, "none and lete gave identical results with seeds 0, 1 and 2"),
}


@pytest.mark.parametrize("case", BANNERS)
def test_what_a_reader_must_know_stands_at_the_head(case, tables, draw):
    spoil, said = BANNERS[case]
    results = Results(*spoil(*tables(draw(RATES))), plan=Plan(), allow_missing=True)
    found = banners(results)
    assert len(found) == 1
    assert said in found[0]
    text = report(run_analyses(results, ["overview"]))
    assert text.index(said) < text.index("## Verdict")


def test_a_sound_study_has_no_banner(study, draw):
    assert banners(study(draw(RATES))) == []


def test_too_few_epochs_or_seeds_are_said(study, draw):
    found = " ".join(banners(study(draw(RATES, seeds=1), epochs=4)))
    assert "Convergence needs 5 epochs, and these runs have 4 epochs" in found
    assert "One seed per model" in found
