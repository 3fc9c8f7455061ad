import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from analysis import run_analyses
from analysis.plan import Plan
from analysis.results import Results, ResultsError

CORRECT = {"none": [[1, 0, 1, 1], [0, 0, 1, 1]], "lete": [[1, 1, 1, 0], [1, 1, 1, 1]]}


@pytest.fixture
def parts(tables):
    return tables(CORRECT)


def build(runs, curves, predictions, **more):
    return Results(runs, curves, predictions, **{"plan": Plan(), **more})


def test_predictions_become_one_matrix_per_model_in_the_order_of_the_study(study):
    results = study(CORRECT)
    assert results.models == ["none", "lete"]
    assert results.reference == "none"
    for model, right in CORRECT.items():
        assert (results.correct[model] == np.array(right, dtype=bool)).all()


def test_the_order_of_the_rows_never_matters(parts, study):
    runs, curves, predictions = parts
    shuffled = build(
        runs.iloc[[1, 0, 3, 2]], curves.sample(frac=1, random_state=0), predictions.sample(frac=1, random_state=0)
    )
    whole = study(CORRECT)
    for model in whole.models:
        assert (shuffled.correct[model] == whole.correct[model]).all()
    pd.testing.assert_frame_equal(shuffled.curve("test", "accuracy"), whole.curve("test", "accuracy"))


def test_small_types_and_categories_are_welcome(parts):
    runs, curves, predictions = parts
    slim = predictions.astype({"model": "category", "run_id": "category", "predicted": "int8", "length": "int16"})
    assert build(runs, curves, slim).correct["none"].tolist() == np.array(CORRECT["none"], dtype=bool).tolist()


def test_a_missing_cell_is_named(parts):
    runs, curves, predictions = parts
    runs.loc[(runs["model"] == "lete") & (runs["seed"] == 1), "status"] = "FAILED"
    with pytest.raises(ResultsError, match=r"runs: .* got no finished run of lete seed 1\. .*--allow-missing"):
        build(runs, curves, predictions)
    results = build(runs, curves, predictions, allow_missing=True)
    assert results.missing == (("lete", 1),)
    assert results.seeds("lete") == [0]


def test_a_probe_is_added_to_a_copy_that_still_knows_what_is_missing(parts):
    runs, curves, predictions = parts
    runs.loc[(runs["model"] == "lete") & (runs["seed"] == 1), "status"] = "FAILED"
    results = build(runs, curves, predictions, allow_missing=True, probes={"kernel": pd.DataFrame()})
    assert set(results.with_probe("events", pd.DataFrame()).probes) == {"kernel", "events"}
    assert results.with_probe("events", pd.DataFrame()).missing == (("lete", 1),)
    assert set(results.probes) == {"kernel"}


def test_a_missing_row_is_a_missing_cell(parts):
    runs, curves, predictions = parts
    with pytest.raises(ResultsError, match="none seed 0"):
        build(runs.iloc[1:], curves, predictions)


def test_a_failed_run_may_lack_its_numbers(parts):
    runs, curves, predictions = parts
    runs.loc[3, "status"] = "FAILED"
    runs.loc[3, ["test_accuracy", "best_epoch"]] = np.nan
    kept = (predictions["model"] != "lete") | (predictions["seed"] != 1)
    results = build(runs, curves, predictions[kept], allow_missing=True)
    assert len(results.runs) == 3


def spoil(table, column, value, rows=slice(0, 0)):
    def change(parts):
        changed = parts[table].astype({column: object})
        changed.loc[rows, column] = value
        return {**parts, table: changed.infer_objects()}

    return change


REFUSALS = {
    "other data": (spoil("runs", "data_digest", "other"), r"runs.data_digest: must be one digest of the data, got 2"),
    "other data set": (
        spoil("runs", "dataset", "fashion"),
        r"runs.dataset: must be one data set, got 2: fashion, event",
    ),
    "two configs": (spoil("runs", "config_hash", "x"), r"runs.config_hash of none: must be one config"),
    "percent": (spoil("runs", "test_accuracy", 97.0), r"runs.test_accuracy: must lie in \[0, 1\], got 97"),
    "no accuracy": (spoil("runs", "test_accuracy", np.nan), r"runs.test_accuracy: must lie in \[0, 1\], got nan"),
    "text": (spoil("runs", "seed", "zero"), r"runs.seed: must hold integer values"),
    "half an epoch": (spoil("runs", "best_epoch", 1.5), r"runs.best_epoch: must hold integer values"),
    "twice": (
        spoil("runs", "seed", 1),
        r"runs: must have one row for each model, seed, got two for model=none, seed=1",
    ),
    "all failed": (
        spoil("runs", "status", "FAILED", slice(None)),
        r"runs: at least one must be FINISHED, got none of 4",
    ),
    "no column": (
        lambda parts: {**parts, "curves": parts["curves"].drop(columns="split")},
        r"curves: .*none named split",
    ),
    "stray": (spoil("curves", "model", "rope"), r"curves: must hold cells of runs only, got rope seed 0"),
    "short": (lambda parts: {**parts, "predictions": parts["predictions"].iloc[1:]}, r"got 3 of none seed 0"),
    "repeat": (spoil("predictions", "sample_id", 1), r"predictions.sample_id: must be the same for every run"),
    "other label": (spoil("predictions", "label", 2), r"predictions.label: must be the same for every run"),
    "class -1": (spoil("predictions", "predicted", -1), r"predictions.predicted: must lie at least 0, got -1\. Number"),
    "label -1": (spoil("predictions", "label", -1), r"predictions.label: must lie at least 0, got -1\. Number"),
    "no label": (
        lambda parts: {**parts, "predictions": parts["predictions"].assign(label=pd.array([None] * 16, dtype="Int64"))},
        r"predictions.label: must hold integer values without gaps, got dtype Int64 with gaps\.",
    ),
    "confidence in percent": (
        spoil("predictions", "confidence", 75.0),
        r"predictions.confidence: must lie in \[0, 1\], got 75",
    ),
    "no confidence": (
        spoil("predictions", "confidence", np.nan),
        r"predictions.confidence: must lie in \[0, 1\], got nan",
    ),
    "a likelihood": (
        spoil("predictions", "log_likelihood", 0.5),
        r"predictions.log_likelihood: must lie at most 0, got 0\.5",
    ),
    "repeats": (spoil("predictions", "sample_id", 1, slice(None)), r"predictions.sample_id: must be unique"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_bad_tables_are_refused_with_what_to_do(parts, case):
    change, message = REFUSALS[case]
    changed = change(dict(zip(("runs", "curves", "predictions"), parts, strict=True)))
    with pytest.raises(ResultsError, match=message) as error:
        run_analyses(build(**changed))
    assert str(error.value).endswith(".")


def test_a_class_without_a_name_is_refused_before_any_analysis(parts):
    with pytest.raises(ResultsError, match=r"class_names: must name every class, got 2 names and class 2\."):
        build(*parts, class_names=("zero", "one"))


def test_a_reference_that_is_no_model_is_refused_with_the_closest(parts):
    with pytest.raises(
        ResultsError, match=r"plan.reference: must be one of none, lete, got 'let'\. Did you mean 'lete'\?"
    ):
        build(*parts, plan=Plan(reference="let"))


def test_an_unknown_analysis_is_refused_with_the_closest(study):
    with pytest.raises(ResultsError, match=r"Did you mean 'significance'\?"):
        run_analyses(study(CORRECT), ["signifcance"])


def test_the_named_analyses_run_in_the_order_of_the_registry(study):
    assert [finding.name for finding in run_analyses(study(CORRECT), ["confusion", "overview"])] == [
        "overview",
        "confusion",
    ]


def test_the_plan_is_described_without_loading_pandas():
    code = "import sys; from analysis.plan import Plan; print('pandas' in sys.modules, 'plotly' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    assert all(field.description for field in Plan.model_fields.values())
