import numpy as np
import pytest

from analysis.analyses.variance import split, variance
from analysis.plan import Plan
from analysis.statistics.randomness import stream

A = np.array([[1, 1, 0, 1], [1, 0, 0, 1]], dtype=bool)


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


def test_the_interquartile_mean_and_the_profile_show_a_seed_that_fell_behind(study):
    right = np.arange(1000) < np.array([300, 880, 890, 900, 910])[:, None]
    finding = variance(study({"lete": right, "none": right[[1, 1, 2, 3, 3]]}))
    assert finding.tables["variance"]["interquartile_mean"].tolist() == pytest.approx([0.89, 0.89])
    lete, none = finding.figures["performance_profiles"].data
    assert (list(lete.x)[1:-1], list(lete.y)[1:-1]) == ([30, 88, 89, 90, 91], pytest.approx([80, 60, 40, 20, 0]))
    assert lete.line.shape == "hv"  # the share falls where a seed stands
    assert list(none.x)[1:-1] == [88, 88, 89, 90, 90]


def test_a_variance_below_the_predicted_one_is_no_sign_of_better_seeds(study):
    plan = Plan(alpha=0.49)  # a ratio of .8 over three seeds has a p of .45
    generator = stream("below")
    found = [variance(study({"lete": generator.random((3, 100)) < 0.5}, plan=plan)) for _ in range(40)]
    rows = [(finding.tables["variance"].iloc[0], finding.summary) for finding in found]
    below = [said for row, said in rows if row["p"] < plan.alpha and row["observed"] < row["predicted"]]
    assert below
    assert all("no sign that some seeds are better models" in said for said in below)
