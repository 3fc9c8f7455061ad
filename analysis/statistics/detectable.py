"""Power of t-tests over seeds: the smallest effect that a number of seeds detects, and the number that an effect needs.

The effect is in standard deviations over seeds: d_z of paired differences, d of independent seeds. The power is that of the
normal test, averaged over the chi distribution of the estimated standard deviation. The noncentral t distribution of scipy and
statsmodels is not used because it gives NaN for large effects and few seeds.
"""

from itertools import count
from math import nan, sqrt

import numpy as np
from scipy import optimize, special, stats

POWER = 0.8
_QUANTILES = (np.arange(20_000) + 0.5) / 20_000


def power(effect: float, seeds: int, alpha: float, *, paired: bool) -> float:
    """Return the probability that a two-sided t-test at level `alpha` with `seeds` seeds per model detects the effect."""
    df = seeds - 1 if paired else 2 * seeds - 2
    shift = effect * sqrt(seeds if paired else seeds / 2)
    bound = stats.t.ppf(1 - alpha / 2, df) * np.sqrt(stats.chi2.ppf(_QUANTILES, df) / df)
    return float((special.ndtr(shift - bound) + special.ndtr(-shift - bound)).mean())


def smallest_effect(seeds: int, alpha: float, *, paired: bool) -> float:
    """Return the effect that is detected with 80 % power from `seeds` seeds per model; NaN below two seeds."""
    if seeds < 2:  # noqa: PLR2004  a variance needs two values
        return nan
    high = next(2.0**i for i in count() if power(2.0**i, seeds, alpha, paired=paired) > POWER)
    return float(optimize.brentq(lambda effect: power(effect, seeds, alpha, paired=paired) - POWER, 0, high))


def seeds_needed(effect: float, alpha: float, *, paired: bool) -> int:
    """Return the smallest number of seeds per model from which the effect, not zero, is detected with 80 % power."""
    return next(seeds for seeds in count(2) if power(effect, seeds, alpha, paired=paired) >= POWER)
