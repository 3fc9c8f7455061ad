from itertools import combinations

import pytest

from analysis.plan import Plan, spent
from analysis.statistics.looks import error_of_looks


def error(looks, models=2, pairs=None, *, paired=True):
    every = [(a, b) for b, a in combinations(range(models), 2)]
    return error_of_looks(looks, models, pairs or every, alpha=0.05, paired=paired)


def test_one_look_has_its_level_and_two_have_that_of_armitage_and_others():
    # Armitage, McPherson and Rowe (1969), normal values: .05, .083 and .142 at one, two and five equally spaced looks.
    assert error([100]) == pytest.approx(0.05, abs=0.007)
    assert error([50, 100]) == pytest.approx(0.083, abs=0.009)
    assert error([20, 40, 60, 80, 100]) == pytest.approx(0.142, abs=0.011)
    assert error([100], paired=False) == pytest.approx(0.05, abs=0.007)


def test_more_looks_are_wrong_more_often_and_never_more_than_bonferroni_says():
    once, twice, often = error([5], 4), error([5, 10], 4), error(range(5, 11), 4)
    assert once < twice < often
    assert twice <= 0.1
    assert error([5], 4, [(1, 0), (2, 0), (3, 0)]) == pytest.approx(0.04, abs=0.012)
    assert error([5], 4, [(3, 1)]) == pytest.approx(0.05, abs=0.007)


@pytest.mark.parametrize("looks", [(4, 6, 8, 10), (3, 5, 6, 8), (8, 12, 16, 20)])
@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.3])
def test_the_levels_spend_alpha_and_no_more(looks, alpha):
    levels = spent(looks, alpha)
    assert 0.999 * alpha < sum(levels) <= alpha
    assert all(level > 0 for level in levels)


def test_the_levels_are_those_of_the_spending_function():
    # Lan and DeMets (1983), O'Brien-Fleming type: .00194, .01140, .02843 and .05 are spent at .4, .6, .8 and 1.
    assert spent((4, 6, 8, 10), 0.05) == pytest.approx([0.00194, 0.00946, 0.01703, 0.02157], abs=1e-5)
    assert Plan().until_decided().levels == (0.005, 0.015, 0.03)
    assert Plan(alpha=0.01).until_decided().levels == (0.001, 0.003, 0.006)
