"""Comparison of models over data sets by their ranks, and pair by pair.

Source: Demsar 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets" (JMLR 7): Friedman's chi-squared without
a correction for ties, Iman and Davenport's F of it, Wilcoxon's signed ranks with the ranks of zeros split, and the critical
difference of Nemenyi's test. Differs from it: the p of Wilcoxon's test is computed over all signs (over drawn signs beyond 20
data sets), because data sets are few; and a group of models is joined if no pair of them differs by Wilcoxon's test with Holm,
because the result of Nemenyi's test on a pair depends on the other models (Benavoli, Corani and Mangili 2016, JMLR 17(5)).

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
"""Decimals to which scores are compared, so that scores that differ only by rounding errors are tied."""


class Friedman(NamedTuple):
    """Friedman's test of whether models differ over data sets at all."""

    chi_squared: float
    f: float
    """The F statistic of Iman and Davenport."""
    df: tuple[int, int]
    p: float
    """The p of F."""


class SignedRank(NamedTuple):
    """Wilcoxon's signed-rank test of one pair."""

    statistic: float
    """The smaller sum of ranks, T."""
    z: float
    """The statistic of the normal approximation, for comparison with published values."""
    p: float
    """Two-sided p over all signs."""
    balance: float
    """Sum of the ranks of positive differences minus that of negative ones."""


def ranks(scores_NK: Scores) -> Scores:
    """Return the rank of each model on each data set, (N, K), from scores (N, K): 1 for the highest, mid-ranks for ties."""
    ranked: Scores = stats.rankdata(-np.round(scores_NK, DIGITS), axis=1)
    return ranked


def friedman(ranks_NK: Scores) -> Friedman:
    """Test whether mean ranks differ by more than chance, from ranks (N, K); at least two data sets and two models."""
    sets, models = ranks_NK.shape
    centre = models * (models + 1) ** 2 / 4
    squared = 12 * sets / (models * (models + 1)) * (float(np.square(ranks_NK.mean(axis=0)).sum()) - centre)
    room = sets * (models - 1) - squared
    f = (sets - 1) * squared / room if room > 10**-DIGITS else inf  # all data sets agree
    df = (models - 1, (models - 1) * (sets - 1))
    return Friedman(squared, f, df, float(stats.f.sf(f, *df)))


def critical_difference(models: int, sets: int, alpha: float) -> float:
    """Return the difference of two mean ranks that is significant at level `alpha` in Nemenyi's test."""
    quantile = float(stats.studentized_range.ppf(1 - alpha, models, inf)) / sqrt(2)
    return quantile * sqrt(models * (models + 1) / (6 * sets))


def signed_rank(gap_N: Scores, generator: np.random.Generator) -> SignedRank:
    """Test whether differences (N,) are symmetric around zero; the generator draws signs beyond 20 data sets."""
    gap_N = np.round(gap_N, DIGITS)
    sets, signed_N = len(gap_N), double_ranks(np.abs(gap_N)) * np.sign(gap_N).astype(np.int64)
    # A zero adds half its rank to both sums, so it does not change their difference.
    balance = int(signed_N.sum()) / 2
    smaller = (sets * (sets + 1) / 2 - abs(balance)) / 2
    z = (smaller - sets * (sets + 1) / 4) / sqrt(sets * (sets + 1) * (2 * sets + 1) / 24)
    return SignedRank(smaller, z, sign_flip(signed_N, generator), balance)


def median_interval(gap_N: Scores, level: float) -> tuple[float, float]:
    """Return an interval at `level` of the median of differences (N,), from order statistics; NaN for too few data sets."""
    found = stats.quantile_test(gap_N, p=0.5).confidence_interval(level)
    return float(found.low), float(found.high)


def smallest_p(sets: int) -> float:
    """Return the smallest p that Wilcoxon's test can give over `sets` data sets."""
    return 2.0 ** (1 - sets)


def cliques(joined_KK: NDArray[np.bool_]) -> list[tuple[int, ...]]:
    """Return the maximal sets of two or more models of which all pairs are joined, from a symmetric matrix (K, K), each ascending."""
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
