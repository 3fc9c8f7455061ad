import numpy as np
import pytest
from baycomp import CorrelatedTTest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.statistics.effect_sizes import cohens_dz, posterior, probability_of_improvement
from analysis.statistics.two_way import Estimate, Part, difference, estimate

A = np.array([[1, 1, 0, 1], [1, 0, 0, 1]], dtype=bool)


@pytest.fixture
def samples(oracle):
    return np.array(oracle["paired_t"]["a"]), np.array(oracle["paired_t"]["b"])


def test_effect_sizes_are_the_oracles(oracle, samples):
    known, (a, b) = oracle["paired_t"], samples
    assert cohens_dz(a - b) == pytest.approx(known["dz"])
    assert probability_of_improvement(a, b) == pytest.approx(known["A12"])
    assert probability_of_improvement(b, a) == pytest.approx(1 - known["A12"])


def test_effects_of_identical_models_are_none():
    same = np.array([3, 4, 5])
    assert cohens_dz(same - same) == 0
    assert probability_of_improvement(same, same) == 0.5
    assert cohens_dz(np.array([2, 2])) == np.inf


def test_the_posterior_is_the_oracles_and_baycomps(oracle, samples):
    known, gap = oracle["paired_t"], samples[0] - samples[1]
    found = posterior(estimate(gap.mean(), [Part(gap.var(ddof=1), len(gap))]), 0.05)
    assert found.better == pytest.approx(known["bayes_t_P_gt_0.05"])
    assert found.within == pytest.approx(known["bayes_t_P_in_rope_0.05"])
    # baycomp corrects the variance for the overlap of cross-validation, which the runs here do not have.
    corrected = Estimate(gap.mean(), np.sqrt(gap.var(ddof=1) * (1 / 5 + 1 / 4)), 4)
    left, within, right = CorrelatedTTest(samples[1], samples[0], rope=0.05).probs()
    assert posterior(corrected, 0.05) == pytest.approx((right, within, left))


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(1, 50), st.floats(0.001, 0.5))
@settings(deadline=None)
def test_the_posterior_mirrors_and_sums_to_one(value, se, df, margin):
    there, back = posterior(Estimate(value, se, df), margin), posterior(Estimate(-value, se, df), margin)
    assert (there.better, there.worse) == pytest.approx((back.worse, back.better))
    assert sum(there) == pytest.approx(1)
    assert min(there) >= -1e-12


def test_the_posterior_of_identical_models_is_symmetric_and_as_wide_as_few_images_leave_it():
    found = posterior(difference(A, A, paired=True), 0.002)
    # Four images without a difference: variance 2 / 5 with a one and a minus one, over 6 images.
    assert found.better == found.worse == pytest.approx(stats.norm.sf(0.002 / np.sqrt(2 / 5 / 6)))
    assert posterior(Estimate(0, 0, 1), 0.002) == (0, 1, 0)
