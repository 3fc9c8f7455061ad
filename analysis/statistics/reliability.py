"""Bins of confidence against accuracy, and the expected calibration error that they give.

Source: Guo et al. 2017 (arXiv 1706.04599), with bins of equal mass (Nguyen and O'Connor 2015, arXiv 1508.05154) where
they have bins of equal width: those of a good model are nearly all empty.

Letters: n test sequences, K bins.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
