from math import inf, isnan, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from analysis.analyses.significance import FALSE_POSITIVES
from analysis.statistics.two_way import Estimate, Part, accuracy, difference, estimate, hedges_g, holm, satterthwaite

A = np.array([[1, 1, 0, 1], [1, 0, 0, 1]], dtype=bool)
B = np.array([[1, 0, 0, 0], [1, 0, 0, 1]], dtype=bool)
answers = hnp.arrays(bool, st.tuples(st.just(3), st.just(12)))
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=8)


@pytest.mark.parametrize(("paired", "name"), [(False, "two_way_se"), (True, "two_way_se_paired")])
def test_the_toy_oracle_is_reproduced(oracle, paired, name):
    known, found = oracle[name], difference(A, B, paired=paired)
    assert found.value == known["diff"]
    assert found.se == pytest.approx(known["se"], abs=1e-12)
    assert found.t == pytest.approx(known["t"], abs=1e-9)
    assert found.df == pytest.approx(known["df"], abs=1e-9)
    assert found.p == pytest.approx(known["p"], abs=5e-8)


def test_the_parts_of_the_unpaired_variance_are_the_oracles(oracle):
    known = oracle["two_way_se"]
    parts = [Part(2 * known["var_seed_A"], 2), Part(2 * known["var_seed_B"], 2), Part(4 * known["var_examples"], 4)]
    assert estimate(0.25, parts).se == pytest.approx(known["se"], abs=1e-9)


def test_with_different_numbers_of_seeds_the_formula_is_the_textbooks():
    a = np.vstack([A, [[0, 1, 1, 1]]])
    found = difference(a, B, paired=False)
    per_image = a.mean(axis=0) - B.mean(axis=0)
    squared = a.mean(axis=1).var(ddof=1) / 3 + B.mean(axis=1).var(ddof=1) / 2 + per_image.var(ddof=1) / 4
    assert found.value == pytest.approx(per_image.mean())
    assert found.se == pytest.approx(sqrt(squared))


def test_with_one_part_it_is_the_one_sample_t_of_scipy(oracle):
    gap = np.subtract(oracle["paired_t"]["a"], oracle["paired_t"]["b"])
    found = estimate(gap.mean(), [Part(gap.var(ddof=1), len(gap))])
    known = oracle["paired_t"]
    assert (found.t, found.p, found.df) == pytest.approx((known["t"], known["p"], known["df"]))
    assert found.interval(0.95) == pytest.approx(known["ci95"])


def test_equivalence_is_the_oracles_and_statsmodels(oracle):
    known = oracle["tost"]
    gap = np.array(known["d"])
    found = estimate(gap.mean(), [Part(gap.var(ddof=1), len(gap))])
    assert found.p_equivalent(known["margin"]) == pytest.approx(known["p"])
    assert found.interval(0.90) == pytest.approx(known["ci90"])
    p, _, _ = ttost_paired(gap, np.zeros(len(gap)), -0.25, 0.25)
    assert found.p_equivalent(0.25) == pytest.approx(p)


def test_the_accuracy_of_one_model_has_both_variances():
    found = accuracy(A)
    squared = A.mean(axis=1).var(ddof=1) / 2 + A.mean(axis=0).var(ddof=1) / 4
    assert (found.value, found.se) == pytest.approx((5 / 8, sqrt(squared)))


def test_hedges_g_is_the_oracles(oracle):
    known = oracle["paired_t"]
    assert hedges_g(np.array(known["a"]), np.array(known["b"])) == pytest.approx(known["hedges_g"])
    assert hedges_g(np.array([3, 3]), np.array([3, 3])) == 0
    assert hedges_g(np.array([4, 4]), np.array([3, 3])) == inf
    assert isnan(hedges_g(np.array([4]), np.array([3])))


def test_holm_is_the_oracles(oracle):
    assert holm(np.array(oracle["holm"]["raw"])) == pytest.approx(oracle["holm"]["holm"])


def test_holm_counts_an_unknown_p_as_one_and_leaves_it_unknown():
    found = holm(np.array([0.01, np.nan, 0.03]))
    assert found[[0, 2]] == pytest.approx([0.03, 0.06])
    assert isnan(found[1])


@given(p_values)
@settings(max_examples=25, deadline=None)  # statsmodels collects garbage at every call
def test_holm_agrees_with_statsmodels_and_is_monotone_and_never_below_the_raw_p(raw):
    found = holm(np.array(raw))
    assert found == pytest.approx(multipletests(raw, method="holm")[1])
    assert (found >= np.array(raw)).all()
    assert (np.diff(found[np.argsort(raw, kind="stable")]) >= 0).all()


@given(answers, answers, st.booleans())
@settings(deadline=None)
def test_swapping_the_models_mirrors_everything(a, b, paired):
    there, back = difference(a, b, paired=paired), difference(b, a, paired=paired)
    assert (back.value, back.se, back.df) == pytest.approx((-there.value, there.se, there.df))
    assert back.p == pytest.approx(there.p)
    low, high = there.interval(0.95)
    assert back.interval(0.95) == pytest.approx((-high, -low))
    assert back.p_equivalent(0.1) == pytest.approx(there.p_equivalent(0.1))


@given(answers, answers, st.permutations(range(3)), st.booleans())
@settings(deadline=None)
def test_the_order_of_the_seeds_never_matters(a, b, order, paired):
    order = list(order)
    there, again = difference(a, b, paired=paired), difference(a[order], b[order], paired=paired)
    assert (again.value, again.se, again.df, again.p) == pytest.approx((there.value, there.se, there.df, there.p))


@given(answers)
@settings(deadline=None)
def test_identical_models_give_p_one_and_are_equivalent(a):
    found = difference(a, a, paired=True)
    assert (found.value, found.se, found.t, found.p) == (0, 0, 0, 1)
    assert found.interval(0.95) == (0, 0)
    assert found.p_equivalent(0.002) == 0


@given(answers, answers, st.booleans(), st.sampled_from([0.01, 0.05, 0.2]))
@settings(deadline=None)
def test_the_interval_excludes_zero_exactly_when_p_is_below_alpha(a, b, paired, alpha):
    found = difference(a, b, paired=paired)
    low, high = found.interval(1 - alpha)
    if abs(found.p - alpha) > 1e-9:
        assert (low > 0 or high < 0) == (found.p < alpha)


def test_a_difference_without_any_variance_is_certain():
    found = difference(np.ones((2, 4), dtype=bool), np.zeros((2, 4), dtype=bool), paired=True)
    assert (found.value, found.se, found.p) == (1, 0, 0)
    assert found.p_equivalent(0.5) == 1


def test_a_tenth_of_a_difference_for_every_seed_has_no_variance_over_seeds():
    a = np.zeros((3, 10), dtype=bool)
    a[:, 0] = True
    found = difference(a, np.zeros((3, 10), dtype=bool), paired=True)
    only_images = stats.ttest_1samp(a[0].astype(float), 0)
    assert found.p == pytest.approx(only_images.pvalue)


def test_one_seed_has_no_standard_error():
    found = difference(A[:1], B[:1], paired=True)
    assert found.value == 0.5
    assert isnan(found.se)
    assert isnan(found.p)


def test_equivalence_needs_room_inside_the_margin():
    assert Estimate(0.002, 0.0, inf).p_equivalent(0.002) == 1


def null_rate(seeds, share, images=2_000, draws=40_000):
    """How often the paired test is under .05 where there is no difference, normal parts, `share` image over seed part."""
    generator = np.random.default_rng(0)
    gap_RS = generator.normal(size=(draws, seeds))
    of_images = share / seeds
    over_images = images * of_images * generator.chisquare(images - 1, draws) / (images - 1)
    gap = gap_RS.mean(axis=1) + generator.normal(size=draws) * sqrt(of_images)
    se, df = satterthwaite((gap_RS.var(axis=1, ddof=1), seeds), (over_images, images))
    return (2 * stats.t.sf(np.abs(gap) / se, df) < 0.05).mean()


@pytest.mark.parametrize(("seeds", "most"), [*FALSE_POSITIVES.items(), (5, 6), (10, 5)])
def test_with_few_seeds_the_test_is_wrong_as_often_as_the_report_says(seeds, most):
    rates = [100 * null_rate(seeds, share) for share in (0.05, 0.1, 0.2, 0.5, 1, 5)]
    assert max(rates) == pytest.approx(most, abs=0.8)
    assert rates[-1] == pytest.approx(5, abs=0.5)
