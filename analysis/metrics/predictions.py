"""What the predictions of a run on the test split say: how often it was right, and how sure it was."""

import pandas as pd

from analysis.results import Results
from analysis.statistics.reliability import confidence_bins, expected_error


def accuracy_at_best_epoch(results: Results) -> pd.Series:
    """Return the share of correct test predictions at the epoch that was best on validation."""
    return _per_run(results, [float(row.mean()) for model in results.models for row in results.correct[model]])


def negative_log_likelihood(results: Results) -> pd.Series:
    """Return the mean of minus the log-probability of the true class on test, natural logarithm."""
    return _per_run(results, [-float(row.mean()) for model in results.models for row in results.log_likelihood[model]])


def calibration_error(results: Results) -> pd.Series:
    """Return the expected calibration error of each run on test; see `analysis.statistics.reliability`."""
    errors = [
        expected_error(confidence_bins(confidence_n, right_n))
        for model in results.models
        for confidence_n, right_n in zip(results.confidence[model], results.correct[model], strict=True)
    ]
    return _per_run(results, errors)


def _per_run(results: Results, values: list[float]) -> pd.Series:
    return pd.Series(values, index=results.runs.index, dtype=float)
