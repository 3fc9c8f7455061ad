from math import inf, isnan, sqrt
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from analysis.statistics.outlook import outlook
from analysis.statistics.rates import rate_interval
from analysis.statistics.two_way import (
    Estimate,
    Part,
    accuracy,
    by_class,
    difference,
    estimate,
    hedges_g,
    holm,
    mixed_tail,
    scores,
    totals,
)

A = np.array([[1, 1, 0, 1], [1, 0, 0, 1]], dtype=bool)
B = np.array([[1, 0, 0, 0], [1, 0, 0, 1]], dtype=bool)
answers = hnp.arrays(bool, st.tuples(st.just(3), st.just(12)))
p_values = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def answers_of(seed, *, seeds=(4, 4), images=300):
    """Return answers of two models with noise of images, of model and image, and of seeds."""
    generator = np.random.default_rng(seed)
    image_n = generator.normal(2, 2, images)
    return [
        image_n
        + generator.normal(size=images)
        + generator.normal(size=(count, 1)) * 0.5
        + generator.normal(size=(count, images))
        > 0
        for count in seeds
    ]


def parts_by_definition(a, b):
    """Return Vs, B of the paired form, with nothing but numpy's variances."""
    gap = a.astype(float) - b
    seeds, images = gap.shape
    over_seeds = gap.mean(axis=1).var(ddof=1) / seeds
    flips = gap.var(axis=0, ddof=1).mean() / (seeds * images)
    padded = np.append(gap.mean(axis=0), [1, -1]).var(ddof=1) / (images + 2)
    return over_seeds, max(padded - flips, 0)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_the_paired_test_is_the_mean_over_400_quantiles_of_chi_squared(seeds, seed):
    a, b = answers_of(seed, seeds=(seeds, seeds))
    found, (over_seeds, over_images) = difference(a, b, paired=True), parts_by_definition(a, b)
    assert found.over_seeds == pytest.approx((over_seeds,))
    assert found.over_images == pytest.approx(over_images)
    assert found.se == pytest.approx(sqrt(over_seeds + over_images))
    chi2 = stats.chi2.ppf((np.arange(400) + 0.5) / 400, seeds - 1)
    spread = np.sqrt(over_seeds * (seeds - 1) / chi2 + over_images)
    gap = a.mean() - b.mean()
    assert found.value == pytest.approx(gap)
    assert found.p == pytest.approx(np.mean(2 * stats.norm.cdf(-abs(gap) / spread)), abs=1e-3)
    equivalent = np.mean(stats.norm.cdf(-(0.05 - abs(gap)) / spread))
    assert found.p_equivalent(0.05) == pytest.approx(equivalent, abs=1e-3)


@pytest.mark.parametrize(("seeds", "over_images"), [(3, 0.1), (3, 1), (3, 10), (5, 0.3), (5, 3)])
def test_the_error_is_a_students_t_and_a_normal_one_added(seeds, over_images):
    generator = np.random.default_rng(1)
    drawn = stats.t.rvs(seeds - 1, size=4_000_000, random_state=generator)
    drawn += sqrt(over_images) * generator.standard_normal(len(drawn))
    for size in (0.5, 1.5, 4.0, 12.0):
        assert mixed_tail(np.array(size), [1.0], [seeds - 1], over_images) == pytest.approx(
            (drawn > size).mean(), abs=1e-3
        )


def test_the_unpaired_error_adds_a_students_t_of_each_model():
    a, b = answers_of(3, seeds=(5, 3))
    found, generator = difference(a, b, paired=False), np.random.default_rng(2)
    over_seeds = [right.mean(axis=1).var(ddof=1) / len(right) for right in (a, b)]
    flips = sum(right.var(axis=0, ddof=1).mean() / right.size for right in (a, b))
    over_images = np.append(a.mean(axis=0) - b.mean(axis=0), [1, -1]).var(ddof=1) / 302 - flips
    assert found.over_seeds == pytest.approx(over_seeds)
    assert found.over_images == pytest.approx(over_images)
    assert found.value == pytest.approx(a.mean() - b.mean())
    drawn = sqrt(over_images) * generator.standard_normal(4_000_000)
    for share, df in zip(over_seeds, (4, 2), strict=True):
        drawn += sqrt(share) * stats.t.rvs(df, size=len(drawn), random_state=generator)
    for size in (0.5, 1, 2, 3):
        assert found.tail(size * found.se) == pytest.approx((drawn > size * found.se).mean(), abs=1e-3)


@pytest.mark.parametrize("df", [1, 2, 4, 9, 99])
@pytest.mark.parametrize("size", [0.1, 2, 5, 20])
def test_without_images_it_is_students_t_and_without_seeds_the_normal_test(df, size):
    assert mixed_tail(np.array(size), [1.0], [df], 0.0) == pytest.approx(stats.t.sf(size, df), rel=1e-6, abs=1e-12)
    assert mixed_tail(np.array(size), [0.0], [df], 1.0) == pytest.approx(stats.norm.sf(size), rel=1e-9)


def test_where_all_is_coin_flips_it_can_be_the_paired_t_of_scipy():
    # All of a pair's differences are coin flips: the part of the images is none, whatever the images that agree.
    generator = np.random.default_rng(1)
    a, b = generator.random((2, 5, 4000)) < 0.5
    found = difference(a, b, paired=True)
    assert found.over_images == 0
    assert found.p == pytest.approx(stats.ttest_rel(a.mean(axis=1), b.mean(axis=1)).pvalue)


def test_all_right_answers_to_few_images_do_not_show_equivalence():
    right = np.ones((5, 128), dtype=bool)
    for paired in (True, False):
        found = difference(right, right, paired=paired)
        assert (found.value, found.p) == (0, 1)
        assert found.p_equivalent(0.002) > 0.4
        low, high = found.interval(0.95)
        assert -low == high > 0.02  # 0 of 128 leaves room for 3 / 128


def test_satterthwaites_sum_of_parts_is_the_oracles(oracle):
    known = oracle["two_way_se"]
    parts = [Part(2 * known["var_seed_A"], 2), Part(2 * known["var_seed_B"], 2), Part(4 * known["var_examples"], 4)]
    found = estimate(0.25, parts)
    assert (found.se, found.t, found.df) == pytest.approx((known["se"], known["t"], known["df"]), abs=1e-9)
    assert found.p == pytest.approx(known["p"], abs=5e-8)


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


def test_the_accuracy_of_one_model_has_both_variances_and_coin_flips_once():
    found = accuracy(A)
    seeds, images, flips = (
        A.mean(axis=1).var(ddof=1) / 2, A.mean(axis=0).var(ddof=1) / 4, A.var(axis=0, ddof=1).mean() / 8,
    )  # fmt: skip
    assert (found.value, found.over_seeds[0], found.over_images) == pytest.approx((5 / 8, seeds, images - flips))
    assert found.se == pytest.approx(sqrt(seeds + images - flips))
    assert found.seed_df == (1,)
    assert isnan(accuracy(A[:1]).se)


def test_hedges_g_is_the_oracles(oracle):
    known = oracle["paired_t"]
    assert hedges_g(np.array(known["a"]), np.array(known["b"])) == pytest.approx(known["hedges_g"])
    assert hedges_g(np.array([3, 3]), np.array([3, 3])) == 0
    assert hedges_g(np.array([4, 4]), np.array([3, 3])) == inf
    assert hedges_g(np.array([3, 3]), np.array([4, 4])) == -inf
    assert isnan(hedges_g(np.array([4]), np.array([3])))


def test_holm_is_the_oracles(oracle):
    assert holm(np.array(oracle["holm"]["raw"])) == pytest.approx(oracle["holm"]["holm"])


def test_holm_counts_an_unknown_p_as_one_and_leaves_it_unknown():
    found = holm(np.array([0.01, np.nan, 0.03]))
    assert found[[0, 2]] == pytest.approx([0.03, 0.06])
    assert isnan(found[1])


@given(p_values)
@settings(max_examples=25, deadline=None)
def test_holm_agrees_with_statsmodels_and_is_monotone_and_never_below_the_raw_p(raw):
    found = holm(np.array(raw))
    with patch("gc.collect"):  # which statsmodels calls each time, and which takes a second in a large process
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
def test_identical_models_give_p_one_and_their_interval_is_that_of_two_made_up_images(a):
    found = difference(a, a, paired=True)
    assert (found.value, found.t, found.p) == (0, 0, 1)
    # Twelve zeros, a one and a minus one: variance 2 / 13, over 14 images.
    assert found.se == pytest.approx(sqrt(2 / 13 / 14))
    assert found.interval(0.95) == pytest.approx((-1.959964 * found.se, 1.959964 * found.se))


@given(answers, answers, st.booleans(), st.sampled_from([0.01, 0.05, 0.2]))
@settings(deadline=None)
def test_the_interval_excludes_zero_exactly_when_p_is_below_alpha(a, b, paired, alpha):
    found = difference(a, b, paired=paired)
    low, high = found.interval(1 - alpha)
    if abs(found.p - alpha) > 1e-9:
        assert (low > 0 or high < 0) == (found.p < alpha)


def test_a_difference_without_any_variance_is_certain():
    # Each seed is right on another image of two: equal totals, and more coin flips than variance over images.
    a = np.tile(np.eye(2, dtype=bool), (2, 150))
    none, all_of_it = difference(a, a[::-1], paired=True), difference(a, np.zeros_like(a), paired=True)
    assert (none.value, none.se, none.p, none.half_width(0.95)) == (0, 0, 1, 0)
    assert (all_of_it.value, all_of_it.se, all_of_it.p) == (0.5, 0, 0)
    assert (all_of_it.p_equivalent(0.4), all_of_it.p_equivalent(0.6)) == (1, 0)


def test_a_tenth_of_a_difference_for_every_seed_has_no_variance_over_seeds():
    a = np.zeros((3, 10), dtype=bool)
    a[:, 0] = True
    found = difference(a, np.zeros((3, 10), dtype=bool), paired=True)
    padded = np.append(a[0], [1, -1])
    assert found.p == pytest.approx(2 * stats.norm.sf(0.1 / (padded.std(ddof=1) / sqrt(12))))


def test_one_seed_has_no_standard_error():
    found = difference(A[:1], B[:1], paired=True)
    assert found.value == 0.5
    assert isnan(found.se)
    assert isnan(found.p)


def test_equivalence_needs_room_inside_the_margin():
    assert Estimate(0.002, 0.0, inf).p_equivalent(0.002) == 1


def unequal(seed, *, paired=True):
    """Return answers of two models to 19 images of one class to one of another, and the classes."""
    a, b = answers_of(seed, seeds=(4, 4) if paired else (5, 3))
    return a, b, (np.arange(a.shape[1]) % 20 == 0).astype(int)


def balanced_by_definition(right, classes):
    """Return the mean recall of each seed, with nothing but numpy's means."""
    return np.mean([right[:, classes == name].mean(axis=1) for name in np.unique(classes)], axis=0)


@given(answers, answers, st.booleans())
@settings(deadline=None)
def test_with_one_class_the_stratified_test_is_the_plain_one_bit_for_bit(a, b, paired):
    one = by_class(np.full(12, 7))
    assert difference(a, b, paired=paired, strata=one) == difference(a, b, paired=paired)
    assert accuracy(a, one) == accuracy(a)
    assert rate_interval(a, 0.95, one) == rate_interval(a, 0.95)
    how = {"paired": paired, "alpha": 0.05, "margin": 0.002}
    assert outlook(a, b, **how, strata=one) == outlook(a, b, **how)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_the_stratified_test_has_the_errors_of_a_mean_over_the_classes(seed, paired):
    a, b, classes = unequal(seed, paired=paired)
    found = difference(a, b, paired=paired, strata=by_class(classes))
    groups, images = [a.astype(float) - b] if paired else [a.astype(float), b.astype(float)], 0.0
    gap = a.mean(axis=0) - b.mean(axis=0)
    for name in (0, 1):
        inside = classes == name
        padded = np.append(gap[inside], [1, -1]).var(ddof=1) / (inside.sum() + 2)
        flips = [group[:, inside].var(axis=0, ddof=1).mean() / (len(group) * inside.sum()) for group in groups]
        images += (padded - sum(flips)) / 4
    assert found.value == pytest.approx(np.mean([gap[classes == name].mean() for name in (0, 1)]))
    assert found.over_images == pytest.approx(max(images, 0))
    over_seeds = [balanced_by_definition(group, classes).var(ddof=1) / len(group) for group in groups]
    assert found.over_seeds == pytest.approx(over_seeds)
    assert found.se == pytest.approx(sqrt(sum(over_seeds) + max(images, 0)))


def test_scores_are_balanced_accuracies_and_totals_are_n_times_these():
    a, _, classes = unequal(0)
    expected = balanced_by_definition(a, classes)
    assert scores(a, by_class(classes)) == pytest.approx(expected)
    assert totals(a, by_class(classes)) == pytest.approx(a.shape[1] * expected)
    assert totals(a).tolist() == a.sum(axis=1).tolist()


def test_seeds_that_are_right_as_often_in_each_class_have_no_variance_at_all():
    # Of 7 and of 3 images each seed has another one wrong: sums of sevenths and thirds are rounded, and all the same.
    strata = by_class(np.array([0] * 7 + [1] * 3))
    a = ~np.concatenate([np.eye(3, 7, dtype=bool), np.eye(3, dtype=bool)], axis=1)
    assert (
        accuracy(a, strata).over_seeds == difference(a, np.zeros_like(a), paired=True, strata=strata).over_seeds == (0,)
    )
    assert hedges_g(totals(a, strata), totals(np.zeros_like(a), strata)) == inf


def test_a_class_of_one_image_says_little_and_has_an_error_all_the_same():
    a, b, _ = unequal(0)
    strata = by_class(np.append(np.zeros(a.shape[1] - 1), 1))
    for paired in (True, False):
        assert difference(a, b, paired=paired, strata=strata).se > sqrt(1 / 3) / 2  # of its two made-up images
        assert outlook(a, b, paired=paired, alpha=0.05, margin=0.002, strata=strata).seeds == inf
    assert 0 < accuracy(a, strata).se < 1


def test_with_many_classes_that_are_all_right_balanced_accuracy_is_one():
    right = np.ones((3, 100), dtype=bool)
    assert accuracy(right, by_class(np.arange(100) % 10)).value == 1


def test_the_outlook_of_two_classes_that_are_alike_is_that_of_one():
    a, b = (np.concatenate([right, right], axis=1) for right in answers_of(5, seeds=(3, 3)))
    how = {"paired": True, "alpha": 0.05, "margin": 0.002}
    found, plain = outlook(a, b, **how, strata=by_class(np.repeat([0, 1], 300))), outlook(a, b, **how)
    assert found.seeds == pytest.approx(plain.seeds, abs=1)
    assert found.images == pytest.approx(plain.images, rel=0.1)
