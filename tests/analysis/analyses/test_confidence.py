import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import log_loss

from analysis.analyses.confidence import confidence
from analysis.metrics.registry import metric_table
from analysis.statistics.reliability import BINS


def test_the_metrics_of_a_run_are_those_of_its_predictions(study):
    # The made-up runs of seed s answer with 0.6 + 0.01 s, and 3 of 4 answers are right.
    runs = metric_table(study({"lete": [[1, 1, 1, 0], [1, 1, 0, 1]]}))
    assert runs["calibration_error"].tolist() == pytest.approx([0.15, 0.14])
    assert runs["brier_score"][0] == pytest.approx((3 * 0.4**2 + 0.6**2) / 4)
    assert runs["risk_coverage"].tolist() == pytest.approx([0.25, 0.25])  # all equally sure
    probabilities = [[0.6, 0.4]] * 3 + [[0.1, 0.9]]
    assert runs["negative_log_likelihood"][0] == pytest.approx(log_loss([0, 0, 0, 0], probabilities, labels=[0, 1]))


def test_it_says_who_is_too_sure_from_the_interval_over_seeds(study, draw):
    # Confidence 0.6 to 0.62: one model is right in about 9 of 10 answers, the other in about 3.
    found = confidence(study(draw({"modest": 0.9, "boastful": 0.3})))
    apart = confidence(study(draw({"boastful": 0.1, "honest": 0.6})))
    assert apart.summary.startswith("Lowest mean calibration error: honest. ")
    alike = confidence(study(draw({"first": 0.6, "second": 0.6})))
    assert ", but its interval is not clear of the others'." in alike.summary
    assert "Too sure on average: boastful. Not sure enough: modest." in found.summary
    assert f"{BINS} bins with equally many sequences" in found.summary
    assert set(found.tables["bins"]["seed"]) == {0, 1, 2}


def test_one_model_is_held_against_no_other(study, draw):
    summary = confidence(study(draw({"lete": 0.6}))).summary
    assert summary.startswith("One model: there is no other to compare it with.")
    assert "the others'" not in summary


def test_the_error_of_a_calibrated_model_stands_beside_that_of_the_model(study):
    # All four answers of a seed are given with 0.6 or 0.61: the mean of |B / 4 - p| over B of 4 answers.
    table = confidence(study({"lete": [[1, 1, 1, 0], [1, 1, 0, 1]]})).tables["models"]
    right = np.arange(5)
    known = [stats.binom.pmf(right, 4, p) @ np.abs(right / 4 - p) for p in (0.6, 0.61)]
    assert table["calibrated_calibration_error_mean"][0] == pytest.approx(np.mean(known))
    assert f"| {100 * np.mean(known):.2f} |" in confidence(study({"lete": [[1, 1, 1, 0], [1, 1, 0, 1]]})).summary


def test_the_figure_shows_every_seed_of_every_model(study, draw):
    figure = confidence(study(draw({"modest": 0.9, "boastful": 0.3}))).figures["reliability"]
    shown = {trace.name: len(trace.x) for trace in figure.data if trace.name.endswith("seeds")}
    assert shown == {"modest seeds": 3, "boastful seeds": 3}  # one confidence a seed, so one bin
