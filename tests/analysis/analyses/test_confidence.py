import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from analysis.analyses.confidence import confidence
from analysis.metrics.registry import metric_table
from analysis.statistics.reliability import BINS, confidence_bins, expected_error


@pytest.fixture
def answers():
    """Return confidences (n,) of a model that is too sure, and which answers were right (n,)."""
    generator = np.random.default_rng(0)
    sure = generator.beta(6, 1, 3000).astype(np.float32)
    return sure, generator.random(3000) < sure**2


def test_the_bins_are_scikit_learns_of_equal_mass(answers):
    found = confidence_bins(*answers)
    right, sure = calibration_curve(answers[1], answers[0], n_bins=BINS, strategy="quantile")
    assert found.count.tolist() == [200] * BINS
    assert found.accuracy == pytest.approx(right)
    assert found.confidence == pytest.approx(sure, rel=1e-6)
    assert expected_error(found) == pytest.approx(np.mean(np.abs(right - sure)), rel=1e-5)


def test_equal_confidences_share_a_bin_and_the_error_is_that_of_a_hand_computation():
    # 8 answers given with 0.9, of which 6 are right, and 2 with 0.5, of which none is: (8 * .15 + 2 * .5) / 10.
    sure, right = np.array([0.9] * 8 + [0.5] * 2), np.array([1] * 6 + [0] * 4, dtype=bool)
    found = confidence_bins(sure, right)
    assert sorted(found.count[found.count > 0]) == [2, 8]
    assert expected_error(found) == pytest.approx(0.22)


def test_a_model_that_is_right_as_often_as_it_says_has_no_error():
    assert expected_error(confidence_bins(np.full(10, 0.7), np.arange(10) < 7)) == pytest.approx(0)


def test_the_metrics_of_a_run_are_those_of_its_predictions(study):
    # The made-up runs of seed s answer with 0.6 + 0.01 s, and 3 of 4 answers are right.
    runs = metric_table(study({"lete": [[1, 1, 1, 0], [1, 1, 0, 1]]}))
    assert runs["calibration_error"].tolist() == pytest.approx([0.15, 0.14])
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


def test_the_figure_shows_every_seed_of_every_model(study, draw):
    figure = confidence(study(draw({"modest": 0.9, "boastful": 0.3}))).figures["reliability"]
    shown = {trace.name: len(trace.x) for trace in figure.data if trace.name.endswith("seeds")}
    assert shown == {"modest seeds": 3, "boastful seeds": 3}  # one confidence a seed, so one bin
