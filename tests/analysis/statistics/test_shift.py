"""Samples against sketches of earlier ones: the numbers of SciPy on the samples, or on the safe side of them."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency, ks_2samp, wasserstein_distance

from analysis.statistics.shift import shift_of_classes, shift_of_values
from analysis.statistics.sketch import CUTS, Sketch


def draws(size, seed, scale=1.0):
    return (scale * np.random.default_rng(seed).gamma(2, 10, size)).astype(np.float32)


def test_a_sketch_keeps_quantiles_and_comes_back_from_json():
    values = draws(5000, 0)
    sketch = Sketch.of(values)
    assert (len(sketch.cuts), sketch.size) == (CUTS, 5000)
    for at in (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1):
        assert sketch.quantile(at) == np.quantile(values, at, method="inverted_cdf")
    again = Sketch.from_json(sketch.to_json())
    assert np.array_equal(again.cuts, sketch.cuts)
    assert np.array_equal(again.counts, sketch.counts)
    assert np.array_equal(sketch.reached(values), sketch.counts)


def test_a_sample_of_few_values_loses_nothing():
    first, second = np.random.default_rng(0).poisson(8, 900), np.random.default_rng(1).poisson(9, 500)
    found = shift_of_values(Sketch.of(first), second.astype(np.float32))
    whole = ks_2samp(first, second, method="asymp")
    assert (found.effect, found.p) == pytest.approx((whole.statistic, whole.pvalue))
    assert found.wasserstein == pytest.approx(wasserstein_distance(first, second))


@pytest.mark.parametrize("scale", [1.0, 1.05, 1.5, 0.02, 90])
def test_a_sketch_never_finds_more_than_the_whole_sample(scale):
    first, second = draws(3000, 0), draws(2000, 1, scale)
    found = shift_of_values(Sketch.of(first), second)
    whole = ks_2samp(first, second, method="asymp")
    assert whole.statistic - 1 / 60 <= found.effect <= whole.statistic + 1e-12
    assert found.p >= whole.pvalue * (1 - 1e-9)
    assert found.wasserstein == pytest.approx(wasserstein_distance(first, second), rel=0.1, abs=0.3)


def test_whole_numbers_that_all_shrink_a_little_are_seen():
    values = np.random.default_rng(0).poisson(8, 900).astype(np.float32)
    found = shift_of_values(Sketch.of(values), np.float32(0.97) * values)
    assert found.effect == pytest.approx(ks_2samp(values, np.float32(0.97) * values, method="asymp").statistic)
    assert found.effect > 0.1
    assert found.wasserstein == pytest.approx(0.03 * values.mean(), rel=1e-4)


def test_equal_distributions_are_told_apart_no_more_often_than_promised():
    alarms = sum(shift_of_values(Sketch.of(draws(300, 2 * at)), draws(200, 2 * at + 1)).p < 0.05 for at in range(400))
    assert alarms <= 30  # 20 are expected at most, with a deviation of 4.4


def test_nothing_is_compared_with_an_empty_sample():
    assert np.isnan(shift_of_values(Sketch.of(np.zeros(0)), draws(5, 0)).p)
    assert np.isnan(shift_of_values(Sketch.of(draws(5, 0)), np.zeros(0, np.float32)).p)
    assert np.isnan(shift_of_classes(np.array([3, 4]), np.array([0, 0])).p)


def test_classes_are_compared_by_chi_square_with_rare_ones_together():
    first, second = np.array([50, 60, 2, 0, 3]), np.array([70, 20, 1, 0, 6])
    found = shift_of_classes(first, second)
    assert found.p == pytest.approx(chi2_contingency([[50, 60, 5], [70, 20, 7]], correction=False).pvalue)
    assert found.effect == pytest.approx(np.abs(first / 115 - second / 97).sum() / 2)
    assert np.isnan(shift_of_classes(np.array([0, 9]), np.array([0, 7])).p)
