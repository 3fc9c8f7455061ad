import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from analysis.analyses.convergence import convergence
from analysis.analyses.overview import overview
from analysis.metrics.curves import convergence_epoch
from analysis.metrics.registry import METRICS, metric_table
from analysis.plan import Plan
from analysis.results import Results


def test_a_convergence_that_was_not_reached_is_no_number(study, right):
    results = study(right, epochs=4, curve=lambda *_: 0.9)
    assert convergence_epoch(results).isna().all()
    summary = convergence(results).summary
    assert "It needs 5 epochs; these runs have 4." in summary
    assert "- lete: train minus test" in summary  # what needs no convergence is said all the same
    assert "accuracy moves because the model is learning" in summary
    results = study(right, epochs=6, curve=lambda _m, _s, _split, epoch: epoch / 10)
    assert "lete: convergence not reached; train minus test" in convergence(results).summary


def test_the_other_metrics_are_what_they_say(results):
    row = metric_table(results).iloc[0]
    assert row["test_accuracy"] == 0.75
    assert row["validation_accuracy"] == pytest.approx(0.963)
    assert row["overfitting_gap"] == pytest.approx(0.03)
    assert row["negative_log_likelihood"] == pytest.approx(-(3 * np.log(0.6) + np.log(0.1)) / 4)
    assert row["final_accuracy"] == pytest.approx(0.953)


@pytest.mark.filterwarnings("ignore:y_pred contains classes")
@pytest.mark.parametrize("shares", [(0.25, 0.25, 0.25, 0.25, 0), (0.9, 0.06, 0, 0.04, 0)], ids=["equal", "unequal"])
def test_balanced_accuracy_and_macro_f1_are_those_of_scikit_learn(shares, tables):
    """Of the five classes one or two never occur, and all are predicted."""
    runs, curves, predictions = tables({"a": np.ones((2, 300)), "b": np.ones((2, 300))})
    generator = np.random.default_rng(0)
    predictions["label"] = generator.choice(5, size=300, p=shares)[predictions["sample_id"]]
    named = generator.integers(5, size=len(predictions))
    predictions["predicted"] = np.where(generator.random(len(predictions)) < 0.7, predictions["label"], named)
    found = metric_table(Results(runs, curves, predictions, plan=Plan())).set_index("run_id")
    for run_id, answers in predictions.groupby("run_id"):
        truth, said = answers["label"], answers["predicted"]
        assert found.loc[run_id, "balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, said))
        assert found.loc[run_id, "macro_f1"] == pytest.approx(f1_score(truth, said, average="macro"))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_gives_a_number_per_run_within_its_range(metric, results):
    values = metric.compute(results)
    assert values.index.equals(results.runs.index)
    assert values.dropna().between(metric.low, metric.high).all()
    assert metric.show(float("nan")) == "n/a"
    assert any(digit in metric.show(values.iloc[0]) for digit in "0123456789")


def test_only_the_best_accuracy_is_chosen_on_test():
    assert [metric.name for metric in METRICS if metric.caveat] == ["best_accuracy"]


def test_stability_over_epochs_and_over_seeds_are_two_numbers(results, rising):
    row = convergence(results).tables["models"].iloc[0]
    assert row["sd_over_seeds"] == pytest.approx(np.std([0.75, 0.5], ddof=1))
    assert row["training_stability"] == pytest.approx(np.std(rising[-10:], ddof=1))
    assert row["seconds_to_90"] == 4 * 2.0


def test_the_area_under_the_curve_is_the_mean_over_epochs(results, rising):
    assert metric_table(results)["mean_validation_accuracy"].tolist() == pytest.approx([sum(rising) / 12] * 2)


def test_epochs_and_seconds_to_each_mark_are_told_with_how_many_seeds_reached_it(study, right):
    # An epoch takes 2 s. Only seed 1 reaches 90 % (epoch 3); both reach 99 % of their own best, in epochs 1 and 3.
    found = convergence(study(right, epochs=3, curve=lambda _m, seed, _split, epoch: 0.8 + seed * 0.05 * (epoch - 1)))
    assert (
        "| lete | 82.50 % | 3 epochs, 6 s (1 of 2 seeds) | not reached | not reached | 2 epochs, 4 s |" in found.summary
    )


def test_the_overview_gives_mean_spread_and_interval(results):
    row = overview(results).tables["models"].iloc[0]
    assert (row["seeds"], row["test_accuracy_mean"]) == (2, 0.625)
    assert row["test_accuracy_sd"] == pytest.approx(np.std([0.75, 0.5], ddof=1))
    assert 0 <= row["test_accuracy_low"] < 0.625 < row["test_accuracy_high"] <= 1


def test_a_model_that_is_always_right_has_an_interval_with_a_width(study):
    # Wilson's lower end at 128 of 128 is 128 / (128 + 1.96^2) = .9709.
    row = overview(study({"lete": np.ones((3, 128))})).tables["models"].iloc[0]
    assert (row["test_accuracy_mean"], row["test_accuracy_high"]) == (1, 1)
    assert row["test_accuracy_low"] == pytest.approx(128 / (128 + 1.959964**2))


def test_one_seed_has_no_interval_as_it_says_nothing_about_seeds(study):
    row = overview(study({"lete": np.ones((1, 128))})).tables["models"].iloc[0]
    assert np.isnan([row["test_accuracy_low"], row["test_accuracy_high"]]).all()
