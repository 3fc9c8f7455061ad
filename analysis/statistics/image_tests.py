"""Tests of one seed on many images: McNemar's test for two models, Cochran's Q for more.

They are about these trained weights on new images, not about the algorithm, so they never decide a verdict.

Letters: S seeds, n images, K models.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.statistics.two_way import Correct


def discordant(a_Sn: Correct, b_Sn: Correct) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, for each seed (S,), the number of images on which only a, and only b, was right; answers are (S, n)."""
    return (a_Sn & ~b_Sn).sum(axis=1), (b_Sn & ~a_Sn).sum(axis=1)


def mcnemar(only_a: NDArray[np.int64], only_b: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return McNemar's exact p and its mid-p, two-sided, for each pair of discordant counts (S,)."""
    fewer, total = np.minimum(only_a, only_b), only_a + only_b
    tails = 2 * stats.binom.cdf(fewer, total, 0.5)
    return np.minimum(tails, 1.0), np.minimum(tails - stats.binom.pmf(fewer, total, 0.5), 1.0)


def cochran_q(correct_Kn: Correct) -> tuple[float, float]:
    """Return Cochran's Q of K models on the same images, from answers (K, n), and its p from chi-squared with K - 1 df."""
    models = len(correct_Kn)
    by_model, by_image = correct_Kn.sum(axis=1), correct_Kn.sum(axis=0)
    right = int(by_model.sum())
    spread = models * right - int((by_image**2).sum())
    if spread == 0:  # on every image the models agree
        return 0.0, 1.0
    q = (models - 1) * (models * int((by_model**2).sum()) - right**2) / spread
    return q, float(stats.chi2.sf(q, models - 1))
