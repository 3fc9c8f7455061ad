"""A study whose plan is about balanced accuracy: of its 400 sequences 20 are of a rare class."""

import numpy as np
import pytest

from analysis import run_analyses
from analysis.analyses.collapses import collapse_banner
from analysis.analyses.significance import pair_table
from analysis.plan import Plan
from analysis.report.latex import results_table, significance_table
from analysis.report.markdown import report, results_rows
from analysis.report.records import summary
from analysis.results import Results
from analysis.statistics.two_way import difference, hedges_g, totals

BALANCED = Plan(primary_metric="balanced_accuracy")
RARE = np.arange(400) % 20 == 0


def answers_of(recalls, seeds=5):
    """Return answers (seeds, 400) of models {name: (recall of the frequent class, of the rare one)}."""
    generator = np.random.default_rng(0)
    return {
        model: generator.random((seeds, 400)) < np.where(RARE, rare, frequent)
        for model, (frequent, rare) in recalls.items()
    }


def results_of(tables, correct, plan=BALANCED):
    runs, curves, predictions = tables(correct, classes=2)
    right = predictions["predicted"] == predictions["label"]
    label = RARE[predictions["sample_id"]].astype(int)
    predictions = predictions.assign(label=label, predicted=np.where(right, label, 1 - label))
    return Results(runs, curves, predictions, plan=plan)


@pytest.fixture(scope="module")
def correct():
    """The first model has the higher accuracy, the second the higher balanced accuracy."""
    return answers_of({"frequent": (0.98, 0.3), "rare": (0.93, 0.9)})


@pytest.fixture(scope="module")
def results(tables, correct):
    return results_of(tables, correct)


@pytest.fixture(scope="module")
def findings(results):
    return {finding.name: finding for finding in run_analyses(results)}


def test_the_verdict_is_about_the_mean_over_the_classes(results, correct, tables):
    row = pair_table(results).iloc[0]
    strata = [np.flatnonzero(~RARE), np.flatnonzero(RARE)]
    expected = difference(correct["rare"], correct["frequent"], paired=True, strata=strata)
    assert (row["difference"], row["p"], row["se"]) == (expected.value, expected.p, expected.se)
    assert row["hedges_g"] == hedges_g(*(totals(correct[name], strata) for name in ("rare", "frequent")))
    assert row["verdict"] == "better"
    assert pair_table(results_of(tables, correct, Plan())).iloc[0]["difference"] < 0


def test_the_leader_its_interval_and_the_costs_are_of_the_primary_metric(findings, correct):
    models = findings["overview"].tables["models"].set_index("model")
    assert findings["overview"].summary.startswith("Highest mean balanced accuracy: rare, ")
    assert models["test_accuracy_mean"].idxmax() == "frequent"
    row, right = models.loc["rare"], correct["rare"]
    assert row["balanced_accuracy_mean"] == pytest.approx((right[:, RARE].mean() + right[:, ~RARE].mean()) / 2)
    assert row["balanced_accuracy_low"] < row["balanced_accuracy_mean"] < row["balanced_accuracy_high"]
    assert "test_accuracy_low" not in models
    efficiency = findings["efficiency"]
    assert efficiency.tables["models"]["balanced_accuracy"].tolist() == models["balanced_accuracy_mean"].tolist()
    assert "| Balanced accuracy (95 % interval) |" in efficiency.summary
    assert "Balanced accuracy (%)" in efficiency.figures["efficiency"].layout.title.subtitle.text


def test_every_verdict_note_table_and_figure_says_what_it_is_about(findings):
    [verdict] = findings["significance"].data["verdicts"]
    assert verdict.startswith("rare is better than frequent: +")
    assert " points of balanced accuracy [+" in verdict
    assert "of balanced accuracy (the mean recall of the classes that occur)" in findings["significance"].data["notes"]
    figure = findings["significance"].figures["statistical_significance"]
    assert "Differences of balanced accuracy" in figure.layout.title.text
    every = list(findings.values())
    header, rows = results_rows(every)
    assert header[2:4] == ["Balanced accuracy (95 % interval)", "Test accuracy"]
    assert {len(row) for row in rows} == {len(header)}
    assert "& Balanced accuracy, \\% [95 \\% interval] &" in results_table(every)
    assert "% Two-way test of balanced accuracy over seeds" in significance_table(every)
    assert summary(every)["primary_metric"] == "balanced_accuracy"
    text = report(every)
    assert "| primary_metric | balanced_accuracy |" in text
    assert "| Balanced accuracy | Macro F1 |" in text


@pytest.mark.parametrize("name", ["opinions", "variance"])
def test_a_section_about_accuracy_says_so_where_the_verdicts_are_not(name, findings, tables, correct):
    said = "This section is about test accuracy. The verdicts are about balanced accuracy, and the two may disagree."
    assert findings[name].summary.startswith(said)
    [plain] = run_analyses(results_of(tables, correct, Plan()), [name])
    assert said not in plain.summary


def test_a_seed_that_loses_the_rare_class_alone_is_far_from_the_others(tables):
    correct = answers_of({"a": (0.97, 0.97), "b": (0.97, 0.97)})
    correct["a"][2, RARE] = False
    assert collapse_banner(results_of(tables, correct, Plan())) == []
    [banner] = collapse_banner(results_of(tables, correct))
    assert "in balanced accuracy: a seed 2 (" in banner


def test_what_would_decide_is_about_the_rare_class(tables):
    """Undecided at 20 of it; the sequences that are asked for are many times those that accuracy would need."""
    correct = answers_of({"a": (0.95, 0.6), "b": (0.9, 0.5)}, seeds=3)
    balanced, plain = (pair_table(results_of(tables, correct, plan)).iloc[0] for plan in (BALANCED, Plan()))
    assert balanced["verdict"] == "undecided"
    assert balanced["se_images"] > plain["se_images"]
    assert balanced["smallest_margin"] > plain["smallest_margin"]
    assert balanced["images_to_decide"] > 400
