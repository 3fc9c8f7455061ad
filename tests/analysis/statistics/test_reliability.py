from itertools import permutations

import numpy as np
import pytest
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from analysis.statistics.reliability import (
    BINS,
    brier,
    calibrated_error,
    confidence_bins,
    expected_error,
    risk_coverage_area,
)


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


def test_the_error_of_a_calibrated_model_is_the_mean_distance_of_a_binomial_share():
    # One bin of 10 answers given with 0.7: the mean of |B / 10 - 0.7|.
    found = calibrated_error(confidence_bins(np.full(10, 0.7), np.ones(10, dtype=bool)))
    right = np.arange(11)
    assert found == pytest.approx(stats.binom.pmf(right, 10, 0.7) @ np.abs(right / 10 - 0.7))
    assert calibrated_error(confidence_bins(np.ones(10), np.ones(10, dtype=bool))) == 0


def test_a_perfect_model_has_an_error_of_points_on_few_sequences_and_it_is_told():
    draw = np.random.default_rng(0)
    sure = draw.beta(12, 1, 128)
    found = np.mean([expected_error(confidence_bins(sure, draw.random(128) < sure)) for _ in range(1_000)])
    expected = calibrated_error(confidence_bins(sure, draw.random(128) < sure))
    assert expected > 0.04
    assert found == pytest.approx(expected, rel=0.03)


def test_briers_score_is_scikit_learns(answers):
    sure, right = answers
    assert brier(sure, right) == pytest.approx(brier_score_loss(right, sure))


def test_the_area_under_risk_over_coverage_is_that_of_a_hand_computation():
    # The surest is right, the second wrong, the third right: risks 0, 1/2 and 1/3.
    assert risk_coverage_area(np.array([0.7, 0.9, 0.8]), np.array([True, True, False])) == pytest.approx(5 / 18)


def test_answers_of_equal_confidence_count_with_the_mean_over_their_orders():
    sure, right = np.array([0.9, 0.8, 0.8, 0.8, 0.5]), np.array([1, 0, 1, 1, 0], dtype=bool)
    orders = [[0, *(1 + place for place in order), 4] for order in permutations(range(3))]
    areas = [np.mean((~right[order]).cumsum() / np.arange(1, 6)) for order in orders]
    assert risk_coverage_area(sure, right) == pytest.approx(np.mean(areas))
