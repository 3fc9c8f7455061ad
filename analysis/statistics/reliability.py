"""Reliability of confidence: calibration error in bins, Brier score, and the risk-coverage curve.

Source of the bins: Guo et al. 2017 (arXiv 1706.04599). Differs from it: bins have equal mass (Nguyen and O'Connor 2015, arXiv
1508.05154) instead of equal width, because nearly all bins of equal width are empty for a good model.

Letters: n test sequences, K bins.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

BINS = 15


@dataclass(frozen=True, eq=False)
class ConfidenceBins:
    """Sequences in bins of ascending confidence; arrays (K,), NaN for an empty bin."""

    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    """Mean probability of the predicted class."""
    accuracy: NDArray[np.float64]
    """Share of predictions that are right."""


def confidence_bins(confidence_n: NDArray[np.generic], right_n: NDArray[np.bool_]) -> ConfidenceBins:
    """Return 15 bins, cut at quantiles of the confidence (n,) in [0, 1]; equal values share a bin, so others may be empty."""
    sure_n = confidence_n.astype(np.float64)
    inner = np.quantile(sure_n, np.linspace(0, 1, BINS + 1)[1:-1])
    bin_n = np.searchsorted(inner, sure_n)
    count = np.bincount(bin_n, minlength=BINS)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(bin_n, weights=sure_n, minlength=BINS) / count
        accuracy = np.bincount(bin_n, weights=right_n, minlength=BINS) / count
    return ConfidenceBins(count, confidence, accuracy)


def expected_error(bins: ConfidenceBins) -> float:
    """Return the expected calibration error in [0, 1]: the mean distance of confidence and accuracy, weighted by sequences."""
    gap = np.nan_to_num(np.abs(bins.confidence - bins.accuracy))
    return float(gap @ bins.count / bins.count.sum())


def calibrated_error(bins: ConfidenceBins) -> float:
    """Return the mean calibration error of these bins if every answer were right with the probability of its confidence, in [0, 1].

    It is not zero, because the share of right answers in a small bin varies. All answers of a bin are assumed to have its mean
    confidence p; for m answers, the mean absolute deviation of the share of right ones from p is 2 p (1 - p) P(B = floor(m p)),
    with B binomial (m - 1, p) (de Moivre 1730).
    """
    count, p = bins.count[bins.count > 0], np.clip(bins.confidence[bins.count > 0], 0, 1)
    distance = 2 * p * (1 - p) * stats.binom.pmf(np.floor(count * p), count - 1, p)
    return float(distance @ count / count.sum())


def brier(confidence_n: NDArray[np.generic], right_n: NDArray[np.bool_]) -> float:
    """Return the Brier score of the predicted class in [0, 1]: the mean of (confidence - right)^2 over n answers.

    Source: Brier 1950. Differs from it: only the predicted class counts, because the other probabilities are not stored.
    """
    return float(((confidence_n.astype(np.float64) - right_n) ** 2).mean())


def risk_coverage_area(confidence_n: NDArray[np.generic], right_n: NDArray[np.bool_]) -> float:
    """Return the area under the risk-coverage curve in [0, 1]: the mean over k = 1..n of the error rate of the k surest answers.

    Source: Geifman and El-Yaniv 2017 (arXiv 1705.08500). Answers of equal confidence count with their mean, which is the
    average over their possible orders.
    """
    _, place_n, size = np.unique(-confidence_n.astype(np.float64), return_inverse=True, return_counts=True)
    wrong_n = np.repeat(np.bincount(place_n, weights=~right_n) / size, size)
    return float((wrong_n.cumsum() / np.arange(1, len(wrong_n) + 1)).mean())
