"""Tests with one number per seed: t-tests, exact permutation tests, and rank tests as permutations of ranks.

- They treat the test images as fixed, so they never decide a verdict: they are shown besides the headline test.
- A permutation p has a floor, the p of the most extreme arrangement; with a floor above alpha, a test can never reject.
- Wilcoxon's test is the sign-flip test on signed ranks, Mann and Whitney's the label permutation test on ranks. Both are
  exact even with ties, and equal scipy's exact methods without ties.

Values are whole numbers of correct answers, so that ties are exact.

Letters: S seeds, K models, A arrangements, C choices of one model's values, R remaining values.
"""

from functools import cache
from itertools import combinations, permutations
from math import comb, factorial

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.statistics.two_way import Estimate, Part, estimate

Values = NDArray[np.int64]
EXACT_FLIPS = 20
"""Most pairs for which all arrangements of signs are enumerated."""
EXACT_LABELS = 200_000
"""Most arrangements of labels that are all enumerated."""
DRAWN = 9_999
"""Number of arrangements that are drawn at random if there are too many to enumerate."""


def welch(a_S: Values, b_S: Values) -> Estimate:
    """Estimate the difference of the means of independent values (S_A,) and (S_B,), with Welch's degrees of freedom."""
    return estimate(float(a_S.mean() - b_S.mean()), [_part(a_S), _part(b_S)])


def paired_t(a_S: Values, b_S: Values) -> Estimate:
    """Estimate the mean difference of paired values (S,), with S - 1 degrees of freedom."""
    return estimate(float((a_S - b_S).mean()), [_part(a_S - b_S)])


def _part(values_S: Values) -> Part:
    return Part(float(values_S.var(ddof=1)) if len(values_S) > 1 else np.nan, len(values_S))


def sign_flip(gap_S: Values, generator: np.random.Generator) -> float:
    """Return the two-sided p of the mean of differences (S,) under random signs."""
    if len(gap_S) <= EXACT_FLIPS:
        sums_A = gap_S[:1].astype(np.int64)  # the first sign is fixed, because both tails are counted together
        for value in gap_S[1:]:
            sums_A = np.concatenate([sums_A + value, sums_A - value])
        return float(np.mean(np.abs(sums_A) >= abs(gap_S.sum())))
    signs_AS = generator.choice(np.array([-1, 1]), size=(DRAWN, len(gap_S)))
    return _drawn_p(np.abs(signs_AS @ gap_S), abs(gap_S.sum()))


def label_permutation(a_S: Values, b_S: Values, generator: np.random.Generator) -> float:
    """Return the two-sided p of the difference of the means of (S_A,) and (S_B,) under random assignment of values to models."""
    pooled, count = np.concatenate([a_S, b_S]), len(a_S)
    # a's total times the number of values, minus its expectation: whole numbers, so ties are exact.
    centre = count * pooled.sum()
    observed = abs(a_S.sum() * len(pooled) - centre)
    if comb(len(pooled), count) <= EXACT_LABELS:
        totals_A = pooled[_subsets(len(pooled), count)].sum(axis=1)
        return float(np.mean(np.abs(totals_A * len(pooled) - centre) >= observed))
    shuffled = generator.permuted(np.tile(pooled, (DRAWN, 1)), axis=1)
    return _drawn_p(np.abs(shuffled[:, :count].sum(axis=1) * len(pooled) - centre), observed)


def wilcoxon(gap_S: Values, generator: np.random.Generator) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test of differences (S,); zeros are dropped."""
    gap_S = gap_S[gap_S != 0]
    if not len(gap_S):
        return 1.0
    return sign_flip(double_ranks(np.abs(gap_S)) * np.sign(gap_S), generator)


def mann_whitney(a_S: Values, b_S: Values, generator: np.random.Generator) -> float:
    """Return the two-sided p of Mann and Whitney's rank-sum test of values (S_A,) and (S_B,)."""
    ranks = double_ranks(np.concatenate([a_S, b_S]))
    return label_permutation(ranks[: len(a_S)], ranks[len(a_S) :], generator)


def double_ranks(values: Values) -> Values:
    """Return twice the mid-ranks, which are whole numbers."""
    ranks: Values = np.rint(2 * stats.rankdata(values)).astype(np.int64)
    return ranks


def flip_floor(gap_S: Values) -> float:
    """Return the smallest p of a test that flips the signs of these gaps (S,); a gap of zero has no sign to flip."""
    return float(min(1.0, 2.0 / 2 ** np.count_nonzero(gap_S)))


def label_floor(a_S: Values, b_S: Values) -> float:
    """Return the smallest p of a test that permutes the labels of these values (S_A,) and (S_B,).

    In the most extreme arrangements, a has the highest or the lowest values; values that tie with its last one are interchangeable.
    """
    ordered, count = np.sort(np.concatenate([a_S, b_S])), len(a_S)
    centre = count * int(ordered.sum())
    extremes = []
    for taken, last in ((ordered[:count], ordered[count - 1]), (ordered[-count:], ordered[-count])):
        ways = comb(int((ordered == last).sum()), int((taken == last).sum()))
        extremes.append((abs(int(taken.sum()) * len(ordered) - centre), ways))
    furthest = max(distance for distance, _ in extremes)
    reached = sum(ways for distance, ways in extremes if distance == furthest)
    return min(1.0, reached / comb(len(ordered), count))


def permutation_f(values_SK: Values, generator: np.random.Generator, *, paired: bool) -> tuple[float, float]:
    """Return the one-way F of K models over S seeds, from values (S, K), and its permutation p.

    With `paired`, labels are permuted within each seed, otherwise over all runs. The sum of squares between models is compared,
    which orders the arrangements like F.
    """
    seeds, models = values_SK.shape
    between, total = _squares(values_SK[None])[0], int((values_SK.astype(np.int64) ** 2).sum())
    centre = int(values_SK.sum()) ** 2 / values_SK.size
    residual = total - between / seeds
    f = ((between / seeds - centre) / (models - 1)) / (residual / (seeds * models - models)) if residual else np.inf
    if total * values_SK.size == int(values_SK.sum()) ** 2:
        return 0.0, 1.0
    exact = factorial(models) ** (seeds - 1) if paired else factorial(seeds * models) // factorial(seeds) ** models
    if exact <= EXACT_LABELS:
        totals_AK = _totals_within(values_SK) if paired else _totals_over(values_SK)
        return float(f), float(np.mean((totals_AK**2).sum(axis=1) >= between))
    if paired:
        shuffled_ASK = generator.permuted(np.tile(values_SK, (DRAWN, 1, 1)), axis=2)
    else:
        flat = generator.permuted(np.tile(values_SK.ravel(), (DRAWN, 1)), axis=1)
        shuffled_ASK = flat.reshape((DRAWN, seeds, models))
    return float(f), _drawn_p(_squares(shuffled_ASK), between)


def _totals_within(values_SK: Values) -> Values:
    """Return the totals (A, K) of the models in every arrangement within seeds; the first seed is fixed, as F is symmetric."""
    orders = np.array(list(permutations(range(values_SK.shape[1]))))
    totals_AK = values_SK[:1]
    for values_K in values_SK[1:]:
        totals_AK = (totals_AK[:, None] + values_K[orders]).reshape(-1, len(values_K))
    return totals_AK


def _totals_over(values_SK: Values) -> Values:
    """Return the totals (A, K) of the models in every division of all values among them."""
    seeds, models = values_SK.shape
    totals_AK, left_AR = np.empty((1, 0), dtype=np.int64), values_SK.reshape(1, -1)
    for size in range(seeds * models, seeds, -seeds):
        chosen_CS = _subsets(size, seeds)
        left = np.ones((len(chosen_CS), size), dtype=bool)
        np.put_along_axis(left, chosen_CS, values=False, axis=1)
        others_CR = np.nonzero(left)[1].reshape(len(chosen_CS), -1)
        totals_A = left_AR[:, chosen_CS].sum(axis=2).ravel()
        totals_AK = np.column_stack([np.repeat(totals_AK, len(chosen_CS), axis=0), totals_A])
        left_AR = left_AR[:, others_CR].reshape(len(totals_AK), -1)
    return np.column_stack([totals_AK, left_AR.sum(axis=1)])


def _squares(values_ASK: Values) -> Values:
    squares: Values = (values_ASK.sum(axis=1) ** 2).sum(axis=1)
    return squares


def _drawn_p(drawn_A: Values, observed: float) -> float:
    return float((1 + (drawn_A >= observed).sum()) / (1 + len(drawn_A)))


@cache
def _subsets(size: int, count: int) -> NDArray[np.int64]:
    return np.array(list(combinations(range(size), count)))
