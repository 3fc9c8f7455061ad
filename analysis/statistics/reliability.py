"""How far confidence can be trusted: calibration error in bins, Brier's score, and risk over coverage.

Source of the bins: Guo et al. 2017 (arXiv 1706.04599), with bins of equal mass (Nguyen and O'Connor 2015, arXiv 1508.05154) where
they have bins of equal width: those of a good model are nearly all empty.

Letters: n test sequences, K bins.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

BINS = 15


@dataclass(frozen=True, eq=False)
class ConfidenceBins:
    """Sequences by how sure the model was of its answer, least first; arrays (K,), NaN where a bin is empty."""

    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    """Mean probability of the predicted class."""
    accuracy: NDArray[np.float64]
    """Share of predictions that are right."""


def confidence_bins(confidence_n: NDArray[np.generic], right_n: NDArray[np.bool_]) -> ConfidenceBins:
    """Return 15 bins cut at the quantiles of confidence; equal values share a bin, which may leave others empty."""
    sure_n = confidence_n.astype(np.float64)
    inner = np.quantile(sure_n, np.linspace(0, 1, BINS + 1)[1:-1])
    bin_n = np.searchsorted(inner, sure_n)
    count = np.bincount(bin_n, minlength=BINS)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(bin_n, weights=sure_n, minlength=BINS) / count
        accuracy = np.bincount(bin_n, weights=right_n, minlength=BINS) / count
    return ConfidenceBins(count, confidence, accuracy)


def expected_error(bins: ConfidenceBins) -> float:
    """Return the mean distance of confidence and accuracy, each bin weighted by its sequences, in [0, 1]."""
    gap = np.nan_to_num(np.abs(bins.confidence - bins.accuracy))
    return float(gap @ bins.count / bins.count.sum())


def calibrated_error(bins: ConfidenceBins) -> float:
    """Return the error that these bins would show on average if every answer were right as often as its confidence says.

    It is not zero, as few answers of a bin are seldom right exactly that often. The answers of a bin are taken at their mean
    confidence p; of m answers the mean distance of their share of right ones to p is 2 p (1 - p) P(B = floor(m p)), with B
    binomial of m - 1 (de Moivre 1730).
    """
    count, p = bins.count[bins.count > 0], np.clip(bins.confidence[bins.count > 0], 0, 1)
    distance = 2 * p * (1 - p) * stats.binom.pmf(np.floor(count * p), count - 1, p)
    return float(distance @ count / count.sum())


def brier(confidence_n: NDArray[np.generic], right_n: NDArray[np.bool_]) -> float:
    """Return the mean squared distance of confidence and being right, 1 or 0.

    Source: Brier 1950. Differs from it: of the predicted class alone, as the other probabilities are not stored.
    """
    return float(((confidence_n.astype(np.float64) - right_n) ** 2).mean())


def risk_coverage_area(confidence_n: NDArray[np.generic], right_n: NDArray[np.bool_]) -> float:
    """Return the area under the curve of risk over coverage: the mean share of wrong answers among the k surest, k = 1..n.

    Source: Geifman and El-Yaniv 2017 (arXiv 1705.08500). Answers of equal confidence count with their mean, which is the
    average over their orders.
    """
    _, place_n, size = np.unique(-confidence_n.astype(np.float64), return_inverse=True, return_counts=True)
    wrong_n = np.repeat(np.bincount(place_n, weights=~right_n) / size, size)
    return float((wrong_n.cumsum() / np.arange(1, len(wrong_n) + 1)).mean())
