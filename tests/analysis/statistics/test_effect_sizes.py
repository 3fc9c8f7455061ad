import numpy as np
import pytest
from baycomp import CorrelatedTTest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.analyses.variance import split
from analysis.statistics.bootstrap import crossed_interval, resample_images
from analysis.statistics.effect_sizes import cohens_dz, posterior, probability_of_improvement
from analysis.statistics.randomness import stream
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


def test_the_posterior_of_identical_models_is_within_the_margin():
    assert posterior(difference(A, A, paired=True), 0.002) == (0, 1, 0)


def test_the_variance_split_is_the_oracles(oracle):
    known = oracle["independent_errors_variance"]
    found = split(np.array(known["A"], dtype=bool))
    assert (found.predicted, found.observed) == pytest.approx((known["predicted"], known["observed"]))
    assert found.observed - found.predicted == pytest.approx(known["excess"])


def test_the_prediction_of_coin_flips_is_unbiased_and_seed_noise_shows():
    generator = stream("coin flips")
    chances = generator.random(500)
    flips = [split(generator.random((5, 500)) < chances) for _ in range(400)]
    ratio = np.mean([found.observed for found in flips]) / np.mean([found.predicted for found in flips])
    assert ratio == pytest.approx(1, abs=4 * np.sqrt(2 / 4 / 400))
    assert np.mean([found.p < 0.05 for found in flips]) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 400))
    worse = np.linspace(-0.2, 0.2, 5)[:, None]
    assert split(generator.random((5, 500)) < chances + worse).p < 0.001


def test_seeds_that_agree_have_no_variance_to_split():
    found = split(np.repeat(A[:1], 3, axis=0))
    assert (found.observed, found.predicted, found.ratio, found.p) == (0, 0, 1, 1)
    assert np.isnan(split(A[:1]).p)


@pytest.mark.parametrize("paired", [True, False])
def test_the_crossed_bootstrap_is_as_wide_as_its_two_sources(paired):
    generator = stream("answers")
    a, b = (generator.random((20, 1000)) < rate + 0.05 * generator.standard_normal((20, 1)) for rate in (0.8, 0.7))
    drawn = resample_images(np.concatenate([a, b]), stream("images"))
    assert drawn.mean(axis=0) == pytest.approx(np.concatenate([a, b]).mean(axis=1), abs=0.002)
    low, high = crossed_interval(drawn[:, :20], drawn[:, 20:], stream("seeds"), paired=paired, level=0.95)
    expected = difference(a, b, paired=paired)
    assert (low + high) / 2 == pytest.approx(expected.value, abs=0.01)
    assert high - low == pytest.approx(2 * 1.96 * expected.se, rel=0.15)


def test_the_bootstrap_of_identical_models_is_zero_and_of_one_seed_unknown():
    drawn = resample_images(A, stream("images"), draws=250)
    assert drawn.shape == (250, 2)
    assert crossed_interval(drawn, drawn, stream("seeds"), paired=True, level=0.95) == (0, 0)
    assert np.isnan(crossed_interval(drawn[:, :1], drawn[:, 1:], stream("seeds"), paired=True, level=0.95)).all()


def test_a_named_stream_gives_the_same_draws_again():
    assert stream("a", 1).random() == stream("a", 1).random() != stream("a", 2).random()
