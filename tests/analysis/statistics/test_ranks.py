"""Against the example of Demsar 2006 (JMLR 7, tables 6 and following): C4.5 in four forms on 14 data sets, in the golden file."""

from itertools import combinations, product

import numpy as np
import pytest
import scikit_posthocs
from scipy import stats

from analysis.statistics.randomness import stream
from analysis.statistics.ranks import (
    cliques,
    critical_difference,
    friedman,
    median_interval,
    ranks,
    signed_rank,
    smallest_p,
)
from analysis.statistics.two_way import holm


@pytest.fixture(scope="module")
def demsar(oracle):
    return oracle["demsar2006"]


@pytest.fixture(scope="module")
def scores(demsar):
    return np.array(demsar["data"])


def test_mean_ranks_chi_squared_and_f_are_the_published_ones(demsar, scores):
    ranked = ranks(scores)
    assert ranked.mean(axis=0).round(3).tolist() == [3.143, 2.0, 2.893, 1.964]
    found = friedman(ranked)
    assert (round(found.chi_squared, 2), round(found.f, 2), found.df) == (9.28, 3.69, (3, 39))
    assert found.f > 2.85  # the critical value of F(3, 39) that the paper gives
    assert (found.chi_squared, found.f, found.p) == pytest.approx(
        (demsar["chi2_uncorrected"], demsar["F_iman_davenport"], demsar["p_F"])
    )


def test_the_critical_differences_are_the_published_ones(demsar):
    assert round(critical_difference(4, 14, 0.05), 2) == 1.25
    assert round(critical_difference(4, 14, 0.10), 2) == 1.12
    assert critical_difference(4, 14, 0.05) == pytest.approx(demsar["CD05"])


def test_the_signed_ranks_of_the_first_two_are_the_published_ones(demsar, scores):
    known = demsar["wilcoxon_C45m_vs_C45"]
    found = signed_rank(scores[:, 1] - scores[:, 0], stream("test"))
    assert found.statistic == 12 == min(known["Rplus"], known["Rminus"])
    assert found.balance == known["Rplus"] - known["Rminus"]
    assert round(found.z, 2) == -2.54
    assert found.z == pytest.approx(known["zsplit_z_no_tie_corr"])
    assert found.p == pytest.approx(known["zsplit"][1], abs=0.004)  # theirs is of the normal approximation


def test_with_ties_and_zeros_p_counts_all_signs(scores):
    signs = np.array(list(product([-1, 1], repeat=14)))
    for a, b in combinations(range(4), 2):
        gaps = (scores[:, b] - scores[:, a]).round(12)
        ranked = stats.rankdata(abs(gaps)) * np.sign(gaps)
        more_extreme = abs(signs @ ranked) >= abs(ranked.sum())
        assert signed_rank(gaps, stream("test")).p == more_extreme.mean()


def test_holm_over_all_pairs_comes_near_that_of_the_normal_approximation(demsar, scores):
    found = np.array([signed_rank(scores[:, b] - scores[:, a], stream("test")).p for a, b in combinations(range(4), 2)])
    assert found == pytest.approx(demsar["wilcoxon_pratt_holm"]["raw"], abs=0.03)
    assert holm(found) == pytest.approx(demsar["wilcoxon_pratt_holm"]["holm"], abs=0.06)


def test_without_ties_it_is_scipys_friedman_and_exact_wilcoxon():
    drawn = np.random.default_rng(0).random((9, 4))
    found = friedman(ranks(drawn))
    assert found.chi_squared == pytest.approx(stats.friedmanchisquare(*drawn.T).statistic)
    exact = stats.wilcoxon(drawn[:, 0], drawn[:, 1], method="exact")
    assert signed_rank(drawn[:, 0] - drawn[:, 1], stream("test"))[::2] == pytest.approx(exact)


def test_nemenyis_difference_is_the_one_at_which_scikit_posthocs_reaches_alpha():
    # Mean ranks of 1.25, 2.0 and 2.75 over eight data sets.
    drawn = np.array([[3.0, 2.0, 1.0]] * 6 + [[2.0, 3.0, 1.0], [2.0, 1.0, 3.0]])
    gap = np.abs(np.subtract.outer(*[ranks(drawn).mean(axis=0)] * 2))
    p = scikit_posthocs.posthoc_nemenyi_friedman(drawn).to_numpy()
    assert ((gap > critical_difference(3, 8, 0.05)) == (p < 0.05)).all()
    assert (p < 0.05).any()


def test_models_that_all_data_sets_order_alike_differ_without_doubt():
    found = friedman(np.array([[1.0, 2.0, 3.0]] * 6))
    assert found.f == np.inf
    assert found.p == 0


def test_models_that_are_equal_everywhere_do_not_differ():
    ranked = ranks(np.full((6, 3), 0.3))
    assert (ranked == 2).all()
    assert friedman(ranked).p == 1
    assert signed_rank(np.zeros(6), stream("test"))[::2] == (10.5, 1.0)


def test_scores_that_differ_by_rounding_tie():
    assert ranks(np.array([[0.1 + 0.2, 0.3]])).tolist() == [[1.5, 1.5]]


def test_the_smallest_p_is_reached_where_one_model_always_wins():
    for sets in (6, 7, 10):
        assert signed_rank(np.arange(1.0, sets + 1), stream("test")).p == smallest_p(sets)
    assert smallest_p(6) < 0.05 < smallest_p(5)


def test_the_interval_of_the_median_is_of_order_statistics():
    gaps = np.array([0.5, 0.1, 0.3, 0.6, 0.2, 0.4])
    assert median_interval(gaps, 0.95) == (0.1, 0.6)  # holds the median in 1 - 2 / 2^6 of studies
    assert np.isnan(median_interval(gaps[:5], 0.95)).all()


@pytest.mark.parametrize(
    ("apart", "expected"),
    [
        ([], [(0, 1, 2, 3)]),
        ([(0, 3)], [(0, 1, 2), (1, 2, 3)]),
        ([(0, 2), (0, 3), (1, 3)], [(0, 1), (1, 2), (2, 3)]),
        ([(0, 1), (2, 3)], [(0, 2), (0, 3), (1, 2), (1, 3)]),  # not neighbours by rank
        ([(1, 2)], [(0, 1, 3), (0, 2, 3)]),
        ([(0, 1), (0, 2), (0, 3)], [(1, 2, 3)]),
        ([*combinations(range(4), 2)], []),
    ],
)
def test_cliques_are_the_largest_sets_without_a_pair_that_differs(apart, expected):
    joined = np.ones((4, 4), dtype=bool)
    for a, b in apart:
        joined[a, b] = joined[b, a] = False
    assert cliques(joined) == expected
