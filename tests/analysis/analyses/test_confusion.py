from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix as independent_matrix
from sklearn.metrics import precision_recall_fscore_support

from analysis.analyses.confusion import confusion, confusion_matrix
from analysis.plan import Plan
from analysis.results import Results, ResultsError


@pytest.fixture
def results(study, draw):
    return study(draw({"sincos": 0.7, "lete": 0.9}))


def test_counts_and_scores_are_those_of_scikit_learn(results):
    finding = confusion(results)
    labels = np.tile(results.test_set.label, 3)
    predicted = results.predicted["lete"].ravel()
    assert (confusion_matrix(results, "lete") == independent_matrix(labels, predicted)).all()
    classes = finding.tables["classes"]
    found = classes.loc[classes["model"] == "lete", ["precision", "recall", "f1"]].to_numpy().T
    assert found == pytest.approx(np.array(precision_recall_fscore_support(labels, predicted)[:3]))


def test_the_scores_of_each_class_stand_in_the_report(results):
    found = confusion(results)
    classes = found.tables["classes"]
    row = classes[(classes["model"] == results.models[0]) & (classes["class"] == 1)].iloc[0]
    shown = f"{100 * row['f1']:.1f} ({100 * row['precision']:.1f} / {100 * row['recall']:.1f})"
    assert f"| 1 | {shown} |" in found.summary


def test_the_most_confused_pairs_come_first(results):
    confused = confusion(results).tables["confused"]
    of_model = confused[confused["model"] == "sincos"]
    counts = confusion_matrix(results, "sincos")
    wrong = counts - np.diag(np.diag(counts))
    assert of_model["count"].tolist() == sorted(wrong[wrong > 0].tolist(), reverse=True)
    top = of_model.iloc[0]
    assert top["share"] == pytest.approx(top["count"] / counts[top["true"]].sum())


def test_of_many_classes_the_weakest_are_listed_and_the_matrix_names_them_where_one_points(tables):
    runs, curves, predictions = tables({"lete": np.ones((2, 600))}, classes=200)
    predictions.loc[predictions["label"] == 150, "predicted"] = 7
    results = Results(runs, curves, predictions, plan=Plan())
    finding = confusion(results)
    assert finding.summary.count("100.0 (100.0 / 100.0)") == 8  # the ten weakest without 150 and 7
    assert "\n| 150 | 0.0 (- / 0.0) |" in finding.summary
    assert "the 10 classes where it is lowest on average" in finding.summary
    [matrix] = finding.figures["confusion_matrices"].data
    assert matrix.text is None
    assert list(matrix.y) == list(matrix.x) == results.classes
    assert len(finding.figures["confusion_matrices"].to_json()) < 1_000_000


def test_a_model_without_errors_has_no_confused_pairs(study):
    finding = confusion(study({"lete": np.ones((2, 30))}))
    assert finding.tables["confused"].empty
    assert "most confused: none" in finding.summary


def test_a_class_that_was_never_predicted_has_no_precision(tables, study):
    runs, curves, predictions = tables({"lete": np.ones((1, 30))})
    predictions["predicted"] = 0
    results = type(study({"lete": np.ones((1, 30))}))(runs, curves, predictions, plan=study({"a": [[1, 0]]}).plan)
    classes = confusion(results).tables["classes"]
    assert classes["precision"].isna().tolist() == [False, True, True]
    assert classes["recall"].tolist() == [1, 0, 0]


def test_classes_go_by_their_names(results):
    names = ("heron", "a|b", "wren", "stork that is never seen")
    named, plain = confusion(replace(results, class_names=names)), confusion(results)
    assert plain.data["classes"] == ["0", "1", "2"]
    assert named.data["classes"] == list(names)
    assert named.summary.count("\n| heron | ") == 1
    assert "\n| a\\|b | " in named.summary
    assert named.summary.count("\n| stork that is never seen | - (- / -)") == 1
    top = plain.tables["confused"].iloc[0]
    assert f"most confused: {names[top['true']]} read as {names[top['predicted']]} (" in named.summary
    ticks = named.figures["confusion_matrices"].layout
    assert ticks.xaxis.ticktext == ticks.yaxis2.ticktext == ("heron", "a|b", "wren", "stork t\u2026ver seen")
    pd.testing.assert_frame_equal(named.tables["confused"], plain.tables["confused"])


def test_a_class_without_a_name_is_refused(results):
    with pytest.raises(ResultsError, match="class_names: must name every class, got 2 names and class 2"):
        confusion(replace(results, class_names=("heron", "wren")))
