"""Tests of whether a sample has the distribution of an earlier one, of which only a sketch or counts are stored.

Letters: n, m values, K cut points, C classes.
"""

from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, kstwo

from analysis.statistics.sketch import Sketch

LEAST_EXPECTED = 5
"""Least expected count of a class in either sample; classes below it are merged."""


@dataclass(frozen=True)
class Shift:
    """The distance of two samples, and the probability of at least that distance by chance."""

    effect: float
    """Largest difference of the distribution functions (Kolmogorov-Smirnov), or total variation of classes; in [0, 1]."""
    p: float
    """NaN if there is nothing to compare."""
    wasserstein: float = nan
    """Wasserstein distance: mean distance by which values would have to be moved, in their unit; NaN for classes."""


def shift_of_values(earlier: Sketch, values_m: NDArray[np.float32]) -> Shift:
    """Compare a sketch with values (m,) by the two-sample Kolmogorov-Smirnov test, at the cut points and just below them.

    The statistic at these points is at most that of all values, and p at least as large: a coarse sketch loses power but adds no
    error. The p is that of the one-sample distribution with n m / (n + m) values, as in SciPy's `asymp`. NaN for an empty sample.
    """
    sample = np.sort(values_m).astype(np.float64)
    if not earlier.size or not len(sample):
        return Shift(nan, nan)
    cuts = earlier.cuts.astype(np.float64)
    at_K = np.searchsorted(sample, cuts, side="right") / len(sample) - earlier.counts / earlier.size
    below_K = np.searchsorted(sample, cuts, side="left") / len(sample) - earlier.below / earlier.size
    effect = float(np.abs([at_K, below_K]).max())
    worth = earlier.size * len(sample) / (earlier.size + len(sample))
    p = float(np.clip(kstwo.sf(effect, max(1, round(worth))), 0, 1))
    return Shift(effect, p, _wasserstein(earlier, sample))


def _wasserstein(earlier: Sketch, sample_m: NDArray[np.float64]) -> float:
    """Return the area between the two distribution functions, in the unit of the values; the sample must be sorted."""
    x = np.union1d(earlier.cuts, sample_m)
    share = np.searchsorted(sample_m, x[:-1], side="right") / len(sample_m)  # from each value up to the next
    ends = np.abs([earlier.shares(x[:-1], "right") - share, earlier.shares(x[1:], "left") - share])
    return float(ends.mean(axis=0) @ np.diff(x))


def shift_of_classes(earlier_C: NDArray[np.int64], later_C: NDArray[np.int64]) -> Shift:
    """Compare counts (C,) by the chi-square test of homogeneity, rare classes merged; the effect is the total variation."""
    counts_2C = np.stack([earlier_C, later_C])
    sizes = counts_2C.sum(axis=1)
    if not sizes.all():
        return Shift(nan, nan)
    effect = float(np.abs(np.subtract(*(counts_2C / sizes[:, None]))).sum() / 2)
    rare_C = counts_2C.sum(axis=0) * sizes.min() / sizes.sum() < LEAST_EXPECTED
    compared = np.column_stack([counts_2C[:, ~rare_C], counts_2C[:, rare_C].sum(axis=1)])
    compared = compared[:, compared.sum(axis=0) > 0]
    if compared.shape[1] == 1:
        return Shift(effect, nan)
    return Shift(effect, float(chi2_contingency(compared, correction=False).pvalue))
