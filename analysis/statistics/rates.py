"""Intervals of accuracies that stay inside [0, 1] and have a positive width even if every answer is right.

Letters: S seeds, n images, K strata.
"""

from math import sqrt

from scipy import stats

from analysis.statistics.two_way import WHOLE, Correct, Strata, accuracy, weights


def rate_interval(correct_Sn: Correct, level: float, strata: Strata = WHOLE) -> tuple[float, float, float]:
    """Return the mean accuracy over the strata, and the ends of Wilson's interval at `level`, from right answers (S, n).

    Source: Wilson 1927, with the effective sample size n = rate (1 - rate) / SE^2 and the quantile of the two-way error; n is
    `images_that_count` if the standard error is zero or, for one seed, unknown. The interval therefore has a width even if every
    answer is right.
    """
    estimate = accuracy(correct_Sn, strata)
    rate, size = estimate.value, images_that_count(strata, correct_Sn.shape[1])
    quantile = float(stats.norm.ppf((1 + level) / 2))
    if estimate.se > 0 and 0 < rate < 1:
        size = rate * (1 - rate) / estimate.se**2
        quantile = estimate.half_width(level) / estimate.se
    share = quantile**2 / size
    centre = (rate + share / 2) / (1 + share)
    half = quantile / (1 + share) * sqrt(rate * (1 - rate) / size + share / (4 * size))
    return rate, max(0.0, centre - half), min(1.0, centre + half)


def images_that_count(strata: Strata, images: int) -> float:
    """Return the effective number of images of a mean over strata, K^2 / sum_k (1 / n_k), as for a single accuracy."""
    return images * len(strata) / sum(weights(strata, images))
