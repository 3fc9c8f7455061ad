"""Models compared over data sets by their ranks, and pair by pair.

Source: Demsar 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets" (JMLR 7): Friedman's chi-squared without
a correction for ties, Iman and Davenport's F of it, Wilcoxon's signed ranks with the ranks of zeros split, and the critical
difference of Nemenyi's test. Differs from it: the p of Wilcoxon's test is that of all signs (or of drawn ones beyond 20 data
sets), since data sets are few; and models are joined where no pair of them differs by Wilcoxon's test with Holm, because
whether Nemenyi's test parts two models depends on which others are there (Benavoli, Corani and Mangili 2016, JMLR 17(5)).

Letters: N data sets, K models.
"""

from collections.abc import Iterator
from math import inf, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.statistics.seed_tests import double_ranks, sign_flip

Scores = NDArray[np.float64]
DIGITS = 12
"""Decimals to which scores are compared: two that differ by the rounding of a computer tie."""


class Friedman(NamedTuple):
    """Whether models differ over data sets at all."""

    chi_squared: float
    f: float
    """Of Iman and Davenport."""
    df: tuple[int, int]
    p: float
    """Of F."""


class SignedRank(NamedTuple):
    """Wilcoxon's signed-rank test of one pair."""

    statistic: float
    """The smaller sum of ranks, T."""
    z: float
    """Of the normal approximation; for comparison with what is published."""
    p: float
    """Two-sided, over all signs."""
    balance: float
    """Sum of the ranks of positive differences minus that of negative ones."""


def ranks(scores_NK: Scores) -> Scores:
    """Return the rank of each model on each data set, (N, K): 1 for the highest score, mid-ranks for equal ones."""
    ranked: Scores = stats.rankdata(-np.round(scores_NK, DIGITS), axis=1)
    return ranked


def friedman(ranks_NK: Scores) -> Friedman:
    """Test whether mean ranks differ by more than chance; two data sets and two models at least."""
    sets, models = ranks_NK.shape
    centre = models * (models + 1) ** 2 / 4
    squared = 12 * sets / (models * (models + 1)) * (float(np.square(ranks_NK.mean(axis=0)).sum()) - centre)
    room = sets * (models - 1) - squared
    f = (sets - 1) * squared / room if room > 10**-DIGITS else inf  # all data sets agree
    df = (models - 1, (models - 1) * (sets - 1))
    return Friedman(squared, f, df, float(stats.f.sf(f, *df)))


def critical_difference(models: int, sets: int, alpha: float) -> float:
    """Return by how much two mean ranks must differ in Nemenyi's test."""
    quantile = float(stats.studentized_range.ppf(1 - alpha, models, inf)) / sqrt(2)
    return quantile * sqrt(models * (models + 1) / (6 * sets))


def signed_rank(gap_N: Scores, generator: np.random.Generator) -> SignedRank:
    """Test whether differences (N,) lie around zero."""
    gap_N = np.round(gap_N, DIGITS)
    sets, signed_N = len(gap_N), double_ranks(np.abs(gap_N)) * np.sign(gap_N).astype(np.int64)
    # A zero adds half its rank to both sums, and so nothing to their difference.
    balance = int(signed_N.sum()) / 2
    smaller = (sets * (sets + 1) / 2 - abs(balance)) / 2
    z = (smaller - sets * (sets + 1) / 4) / sqrt(sets * (sets + 1) * (2 * sets + 1) / 24)
    return SignedRank(smaller, z, sign_flip(signed_N, generator), balance)


def median_interval(gap_N: Scores, level: float) -> tuple[float, float]:
    """Return an interval of the median difference from order statistics; NaN where the data sets are too few for one."""
    found = stats.quantile_test(gap_N, p=0.5).confidence_interval(level)
    return float(found.low), float(found.high)


def smallest_p(sets: int) -> float:
    """Return the smallest p that Wilcoxon's test can give over so many data sets."""
    return 2.0 ** (1 - sets)


def cliques(joined_KK: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    """Return the largest sets of two models or more all of whose pairs are joined, each ascending."""
    neighbours = [{int(other) for other in np.flatnonzero(row) if other != k} for k, row in enumerate(joined_KK)]
    found = _grown(set(), set(range(len(neighbours))), set(), neighbours)
    return sorted(tuple(sorted(clique)) for clique in found if len(clique) > 1)


def _grown(clique: set[int], open_: set[int], done: set[int], neighbours: list[set[int]]) -> Iterator[set[int]]:
    """Yield every maximal clique that extends this one (Bron and Kerbosch 1973)."""
    if not open_ and not done:
        yield clique
    for k in sorted(open_):
        yield from _grown(clique | {k}, open_ & neighbours[k], done & neighbours[k], neighbours)
        open_, done = open_ - {k}, done | {k}
