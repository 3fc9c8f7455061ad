"""Metrics of the predictions of a run on the test split: correctness and confidence."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.results import Results
from analysis.statistics.reliability import (
    brier,
    calibrated_error,
    confidence_bins,
    expected_error,
    risk_coverage_area,
)
from analysis.statistics.two_way import scores

Measure = Callable[[NDArray[np.generic], NDArray[np.bool_]], float]
"""A function from the confidence of predictions (n,) and whether they are correct (n,) to a number."""


def accuracy_at_best_epoch(results: Results) -> pd.Series:
    """Return the share of correct test predictions at the best epoch on validation."""
    return _per_run(results, [float(row.mean()) for model in results.models for row in results.correct[model]])


def balanced_accuracy(results: Results) -> pd.Series:
    """Return the mean recall on test over the classes that occur."""
    recalls = [scores(results.correct[model], results.class_strata) for model in results.models]
    return _per_run(results, np.concatenate(recalls).tolist())


def macro_f1(results: Results) -> pd.Series:
    """Return the mean F1 on test over the classes that occur or are predicted; a class with only one of the two has F1 0."""
    label_n, classes = results.test_set.label, len(results.classes)
    true_K = np.bincount(label_n, minlength=classes)
    values = []
    for predicted_n in np.concatenate([results.predicted[model] for model in results.models]).astype(np.int64):
        right_K = np.bincount(label_n[predicted_n == label_n], minlength=classes)
        named_K = true_K + np.bincount(predicted_n, minlength=classes)
        values.append(float((2 * right_K[named_K > 0] / named_K[named_K > 0]).mean()))
    return _per_run(results, values)


def negative_log_likelihood(results: Results) -> pd.Series:
    """Return the mean of minus the log-probability of the true class on test, natural logarithm."""
    return _per_run(results, [-float(row.mean()) for model in results.models for row in results.log_likelihood[model]])


def calibration_error(results: Results) -> pd.Series:
    """Return the expected calibration error of each run on test; see `analysis.statistics.reliability`."""
    return _of_confidence(results, lambda sure_n, right_n: expected_error(confidence_bins(sure_n, right_n)))


def calibrated_calibration_error(results: Results) -> pd.Series:
    """Return the expected calibration error that each run would show on average if it were perfectly calibrated."""
    return _of_confidence(results, lambda sure_n, right_n: calibrated_error(confidence_bins(sure_n, right_n)))


def brier_score(results: Results) -> pd.Series:
    """Return Brier's score of the predicted class on test."""
    return _of_confidence(results, brier)


def risk_coverage(results: Results) -> pd.Series:
    """Return the area under the curve of risk over coverage on test."""
    return _of_confidence(results, risk_coverage_area)


def _of_confidence(results: Results, measure: Measure) -> pd.Series:
    answers = [
        measure(sure_n, right_n)
        for model in results.models
        for sure_n, right_n in zip(results.confidence[model], results.correct[model], strict=True)
    ]
    return _per_run(results, answers)


def _per_run(results: Results, values: list[float]) -> pd.Series:
    return pd.Series(values, index=results.runs.index, dtype=float)
