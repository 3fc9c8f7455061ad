"""Tests that see one number per seed: t, exact permutation, and the rank tests as permutations of ranks.

- They take the test images as given, so they never decide: they stand beside the headline test.
- A permutation p has a floor, the p of the most extreme arrangement; a floor above alpha means that it can never reject.
- Wilcoxon's test is the sign-flip test of signed ranks, Mann and Whitney's the label permutation of ranks. That is
  exact with ties too, and equals scipy's exact methods without them.

Values are whole numbers of correct answers, so that ties are ties.

Letters: S seeds, K models, A arrangements.
"""

from functools import cache
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.statistics.two_way import Estimate, Part, estimate

Values = NDArray[np.int64]
EXACT_FLIPS = 20
"""Pairs up to which all arrangements of signs are enumerated."""
EXACT_LABELS = 200_000
"""Arrangements up to which all of them are enumerated."""
DRAWN = 9_999
"""Arrangements that are drawn where there are more."""


def welch(a_S: Values, b_S: Values) -> Estimate:
    """Estimate the difference of means of independent seeds; its df are Welch's."""
    return estimate(float(a_S.mean() - b_S.mean()), [_part(a_S), _part(b_S)])


def paired_t(a_S: Values, b_S: Values) -> Estimate:
    """Estimate the mean difference of seeds that belong together."""
    return estimate(float((a_S - b_S).mean()), [_part(a_S - b_S)])


def _part(values_S: Values) -> Part:
    return Part(float(values_S.var(ddof=1)) if len(values_S) > 1 else np.nan, len(values_S))


def sign_flip(gap_S: Values, generator: np.random.Generator) -> float:
    """Return the two-sided p of the mean difference when each pair may swap its members."""
    if len(gap_S) <= EXACT_FLIPS:
        sums_A = gap_S[:1].astype(np.int64)  # the first sign is fixed: both tails are counted at once
        for value in gap_S[1:]:
            sums_A = np.concatenate([sums_A + value, sums_A - value])
        return float(np.mean(np.abs(sums_A) >= abs(gap_S.sum())))
    signs_AS = generator.choice(np.array([-1, 1]), size=(DRAWN, len(gap_S)))
    return _drawn_p(np.abs(signs_AS @ gap_S), abs(gap_S.sum()))


def label_permutation(a_S: Values, b_S: Values, generator: np.random.Generator) -> float:
    """Return the two-sided p of the difference of means when every value may have come from either model."""
    pooled, count = np.concatenate([a_S, b_S]), len(a_S)
    # a's total times the number of values, around what the pooled mean makes it: whole numbers, exact ties.
    centre = count * pooled.sum()
    observed = abs(a_S.sum() * len(pooled) - centre)
    if comb(len(pooled), count) <= EXACT_LABELS:
        totals_A = pooled[_subsets(len(pooled), count)].sum(axis=1)
        return float(np.mean(np.abs(totals_A * len(pooled) - centre) >= observed))
    shuffled = generator.permuted(np.tile(pooled, (DRAWN, 1)), axis=1)
    return _drawn_p(np.abs(shuffled[:, :count].sum(axis=1) * len(pooled) - centre), observed)


def wilcoxon(gap_S: Values, generator: np.random.Generator) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test; zeros are dropped."""
    gap_S = gap_S[gap_S != 0]
    if not len(gap_S):
        return 1.0
    return sign_flip(_double_ranks(np.abs(gap_S)) * np.sign(gap_S), generator)


def mann_whitney(a_S: Values, b_S: Values, generator: np.random.Generator) -> float:
    """Return the two-sided p of the rank-sum test."""
    ranks = _double_ranks(np.concatenate([a_S, b_S]))
    return label_permutation(ranks[: len(a_S)], ranks[len(a_S) :], generator)


def _double_ranks(values: Values) -> Values:
    """Return twice the mid-ranks: whole numbers."""
    ranks: Values = np.rint(2 * stats.rankdata(values)).astype(np.int64)
    return ranks


def flip_floor(seeds: int) -> float:
    """Return the smallest p of tests that flip the signs of pairs."""
    return float(min(1.0, 2.0 / 2**seeds))


def label_floor(seeds_a: int, seeds_b: int) -> float:
    """Return the smallest p of tests that permute labels."""
    return min(1.0, 2 / comb(seeds_a + seeds_b, seeds_a))


def permutation_f(values_SK: Values, generator: np.random.Generator, *, paired: bool) -> tuple[float, float]:
    """Return the one-way F of K models over S seeds and its permutation p.

    Labels are permuted within each seed where streams are shared, else over all runs. The sum of squares between
    models is compared: it orders the arrangements as F does.
    """
    seeds, models = values_SK.shape
    between, total = _squares(values_SK[None])[0], int((values_SK.astype(np.int64) ** 2).sum())
    centre = int(values_SK.sum()) ** 2 / values_SK.size
    residual = total - between / seeds
    f = ((between / seeds - centre) / (models - 1)) / (residual / (seeds * models - models)) if residual else np.inf
    if total * values_SK.size == int(values_SK.sum()) ** 2:
        return 0.0, 1.0
    if paired:
        shuffled_ASK = generator.permuted(np.tile(values_SK, (DRAWN, 1, 1)), axis=2)
    else:
        flat = generator.permuted(np.tile(values_SK.ravel(), (DRAWN, 1)), axis=1)
        shuffled_ASK = flat.reshape((DRAWN, seeds, models))
    return float(f), _drawn_p(_squares(shuffled_ASK), between)


def _squares(values_ASK: Values) -> Values:
    squares: Values = (values_ASK.sum(axis=1) ** 2).sum(axis=1)
    return squares


def _drawn_p(drawn_A: Values, observed: float) -> float:
    return float((1 + (drawn_A >= observed).sum()) / (1 + len(drawn_A)))


@cache
def _subsets(size: int, count: int) -> NDArray[np.int64]:
    return np.array(list(combinations(range(size), count)))
