"""Intervals of accuracies that stay inside [0, 1] and have a width where every answer is right.

Letters: S seeds, n images.
"""

from math import sqrt

from scipy import stats

from analysis.statistics.two_way import Correct, accuracy


def rate_interval(correct_Sn: Correct, level: float) -> tuple[float, float, float]:
    """Return mean accuracy and Wilson's interval at the effective sample size of the two-way variance.

    Source: Wilson 1927, with n = rate (1 - rate) / SE^2 and the quantile of the two-way error; n is the number of images where the
    standard error is zero or, for one seed, unknown. So it has a width when every answer is right.
    """
    estimate = accuracy(correct_Sn)
    rate, size = estimate.value, float(correct_Sn.shape[1])
    quantile = float(stats.norm.ppf((1 + level) / 2))
    if estimate.se > 0 and 0 < rate < 1:
        size = rate * (1 - rate) / estimate.se**2
        quantile = estimate.half_width(level) / estimate.se
    share = quantile**2 / size
    centre = (rate + share / 2) / (1 + share)
    half = quantile / (1 + share) * sqrt(rate * (1 - rate) / size + share / (4 * size))
    return rate, max(0.0, centre - half), min(1.0, centre + half)
