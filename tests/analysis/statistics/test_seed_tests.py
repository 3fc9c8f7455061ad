from itertools import combinations, permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from analysis.statistics.randomness import stream
from analysis.statistics.seed_tests import (
    flip_floor,
    label_floor,
    label_permutation,
    mann_whitney,
    paired_t,
    permutation_f,
    sign_flip,
    welch,
    wilcoxon,
)

counts = hnp.arrays(np.int64, 5, elements=st.integers(0, 30))


@pytest.fixture
def generator():
    return stream("test")


@pytest.fixture
def samples(oracle):
    """The oracle's accuracies in hundredths of a percent: whole numbers."""
    return tuple(np.rint(100 * np.array(oracle["paired_t"][name])).astype(np.int64) for name in "ab")


def test_both_t_are_the_oracles(oracle, samples):
    known = oracle["paired_t"]
    assert (paired_t(*samples).t, paired_t(*samples).p) == pytest.approx((known["t"], known["p"]))
    assert (welch(*samples).t, welch(*samples).p) == pytest.approx((known["welch_t"], known["welch_p"]))


def test_permutation_and_rank_tests_are_the_oracles(oracle, samples, generator):
    known, (a, b) = oracle["paired_t"], samples
    assert sign_flip(a - b, generator) == known["signflip_p"]
    assert wilcoxon(a - b, generator) == known["wilcoxon_p"]
    assert mann_whitney(a, b, generator) == pytest.approx(known["mw_p"])


@given(st.lists(st.integers(-200, 200).filter(bool), min_size=4, max_size=10, unique_by=abs))
@settings(deadline=None)
def test_wilcoxon_is_scipys_exact_one_without_ties(gaps):
    expected = stats.wilcoxon(gaps, method="exact").pvalue
    assert wilcoxon(np.array(gaps), stream("test")) == pytest.approx(expected)


@given(st.lists(st.integers(0, 500), min_size=8, max_size=11, unique=True))
@settings(deadline=None)
def test_mann_whitney_is_scipys_exact_one_without_ties(values):
    a, b = np.array(values[:4]), np.array(values[4:])
    expected = stats.mannwhitneyu(a, b, method="exact").pvalue
    assert mann_whitney(a, b, stream("test")) == pytest.approx(expected)


@pytest.mark.parametrize("paired", [True, False])
def test_permutations_are_scipys(paired, generator):
    a, b = np.array([7, 9, 4, 8, 12]), np.array([5, 4, 4, 7, 6])
    kind = "samples" if paired else "independent"
    known = stats.permutation_test(
        (a, b), lambda x, y, axis: (x - y).mean(axis=axis) if paired else x.mean(axis=axis) - y.mean(axis=axis),
        permutation_type=kind, n_resamples=np.inf, vectorized=True,
    )  # fmt: skip
    found = sign_flip(a - b, generator) if paired else label_permutation(a, b, generator)
    assert found == pytest.approx(known.pvalue)


def test_the_floors_are_the_oracles_and_are_reached(oracle, generator):
    for seeds, floor in oracle["min_two_sided_p_wilcoxon_exact"].items():
        gaps = np.arange(1, int(seeds) + 1)
        assert flip_floor(gaps) == floor == wilcoxon(gaps, generator)
    for seeds, floor in oracle["min_two_sided_p_mannwhitney_exact"].items():
        values = np.arange(2 * int(seeds))
        assert label_floor(values[: int(seeds)], values[int(seeds) :]) == pytest.approx(floor)
        assert mann_whitney(values[: int(seeds)], values[int(seeds) :], generator) == pytest.approx(floor)


def test_gaps_of_zero_raise_the_floor_of_the_tests_that_flip_signs(generator):
    # Of 2^4 signs of the gaps that are not zero, two arrangements are extreme: 2 / 16.
    gaps = np.array([0, 0, 5, 6, 7, 8])
    assert flip_floor(gaps) == wilcoxon(gaps, generator) == sign_flip(gaps, generator) == 0.125
    assert flip_floor(np.zeros(6, dtype=np.int64)) == 1


@given(st.lists(st.integers(0, 3), min_size=6, max_size=6), st.integers(2, 4))
@settings(deadline=None)
def test_the_floor_of_label_permutations_is_the_smallest_p_of_any_division(values, count):
    pooled, generator = np.array(values), stream("test")
    divisions = [list(chosen) for chosen in combinations(range(6), count)]
    found = [label_permutation(pooled[chosen], np.delete(pooled, chosen), generator) for chosen in divisions]
    assert label_floor(pooled[:count], pooled[count:]) == pytest.approx(min(found))


def test_many_seeds_are_sampled_and_agree_with_the_normal_approximation(generator):
    values = stream("sampled").integers(-50, 70, size=40)
    known = stats.ttest_1samp(values, 0).pvalue
    assert sign_flip(values, generator) == pytest.approx(known, abs=0.02)
    assert label_permutation(values, values - 5, generator) == pytest.approx(
        stats.ttest_ind(values, values - 5).pvalue, abs=0.02
    )


@given(counts, counts)
@settings(deadline=None)
def test_swapping_the_models_changes_no_p_and_turns_the_difference(a, b):
    for test in (label_permutation, mann_whitney):
        assert test(a, b, stream("test")) == test(b, a, stream("test"))
    for test in (sign_flip, wilcoxon):
        assert test(a - b, stream("test")) == test(b - a, stream("test"))
    for test in (welch, paired_t):
        assert test(a, b).value == -test(b, a).value
        assert test(a, b).p == pytest.approx(test(b, a).p)


@given(counts, counts, st.permutations(range(5)))
@settings(deadline=None)
def test_the_order_of_the_seeds_never_matters(a, b, order):
    order = list(order)
    assert sign_flip(a - b, stream("test")) == sign_flip((a - b)[order], stream("test"))
    assert label_permutation(a, b, stream("test")) == label_permutation(a[order], b, stream("test"))


@given(counts)
@settings(deadline=None)
def test_identical_models_give_p_one(a):
    same = np.zeros_like(a)
    assert sign_flip(same, stream("t")) == wilcoxon(same, stream("t")) == paired_t(a, a).p == 1
    assert label_permutation(a, a, stream("t")) == mann_whitney(a, a, stream("t")) == welch(a, a).p == 1
    assert permutation_f(np.stack([a[:3]] * 3, axis=1), stream("t"), paired=True)[1] == 1


def test_f_is_scipys_and_its_p_near_the_parametric_one(generator):
    values = np.array([[90, 93, 99], [88, 95, 97], [91, 94, 92], [87, 90, 96], [92, 91, 95]])
    known = stats.f_oneway(*values.T)
    f, p = permutation_f(values, generator, paired=False)
    assert f == pytest.approx(known.statistic)
    assert p == pytest.approx(known.pvalue, abs=0.01)


def test_f_within_seeds_is_exact(generator):
    # Two seeds, two models: of 4 arrangements, 2 are as extreme as the observed one.
    _, p = permutation_f(np.array([[1, 2], [1, 2]]), generator, paired=True)
    assert p == 0.5


@pytest.mark.parametrize("paired", [True, False])
def test_few_arrangements_of_f_are_all_counted(paired, generator):
    values = np.array([[7, 9, 4], [8, 9, 5], [5, 6, 6]])
    if paired:
        orders = [np.array(order) for order in product(permutations(range(3)), repeat=3)]  # (6^3, seeds, models)
        arranged = [np.take_along_axis(values, order, axis=1) for order in orders]
    else:
        arranged = [np.reshape(order, (3, 3)) for order in set(permutations(values.ravel().tolist()))]
    between = [(one.sum(axis=0) ** 2).sum() for one in arranged]
    _, p = permutation_f(values, generator, paired=paired)
    assert p == pytest.approx(np.mean(np.array(between) >= (values.sum(axis=0) ** 2).sum()))
    assert p == permutation_f(values, stream("another"), paired=paired)[1]


def test_many_arrangements_of_f_are_drawn_and_agree_with_the_parametric_p(generator):
    values = stream("many").integers(80, 100, size=(10, 4))
    _, p = permutation_f(values, generator, paired=False)
    assert p == pytest.approx(stats.f_oneway(*values.T).pvalue, abs=0.02)
