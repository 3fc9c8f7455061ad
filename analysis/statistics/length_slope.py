"""Logistic regression of correctness on the logarithm of length: log odds = c + b log(length).

b = 0 means that length does not matter; doubling the length multiplies the odds of being right by 2^b.
"""

from math import nan

import numpy as np
from numpy.typing import NDArray
from statsmodels.discrete.discrete_model import Logit

from analysis.statistics.two_way import Correct, Estimate, Part, estimate


def length_slope(correct_Sn: Correct, lengths_n: NDArray[np.int64]) -> Estimate:
    """Estimate the slope of one model from answers (S, n) and lengths (n,) in events; NaN if no finite slope fits best.

    The value is the slope of all answers together. Its squared standard error has the two parts of the headline test: the
    variance over seeds of their own slopes, and the variance over sequences; the answers of all seeds to a sequence form a cluster.
    """
    seeds, images = correct_Sn.shape
    log_n = np.log(np.maximum(lengths_n, 1).astype(float))
    own = [_fitted(right_n, log_n)[0] for right_n in correct_Sn]
    value, se = _fitted(correct_Sn.ravel(), np.tile(log_n, seeds), clusters=np.tile(np.arange(images), seeds))
    over_seeds = Part(float(np.var(own, ddof=1)) if seeds > 1 else nan, seeds)
    return estimate(value, [over_seeds, Part(se**2 * images, images)])


def _fitted(
    right: NDArray[np.bool_], log_length: NDArray[np.float64], clusters: NDArray[np.int64] | None = None
) -> tuple[float, float]:
    """Return slope and standard error; NaN if a length separates right from wrong answers, because the slope is then infinite."""
    hits, misses = log_length[right], log_length[~right]
    if not len(hits) or not len(misses) or hits.min() >= misses.max() or misses.min() >= hits.max():
        return nan, nan
    centred = np.column_stack([np.ones(len(right)), log_length - log_length.mean()])
    how = {} if clusters is None else {"cov_type": "cluster", "cov_kwds": {"groups": clusters}}
    fit = Logit(right.astype(float), centred).fit(disp=False, **how)
    return float(fit.params[1]), float(fit.bse[1])
