"""Metrics of training curves: convergence, stability, and the gap between train and test."""

import pandas as pd

from analysis.results import Results

CONVERGENCE_WINDOW = 5
CONVERGENCE_SD = 0.005
STABILITY_WINDOW = 10
LEVELS = (0.90, 0.95, 0.96)
SHARE_OF_BEST = 0.99


def validation_accuracy(results: Results) -> pd.Series:
    """Return the validation accuracy at the best epoch."""
    curve = results.curve("validation", "accuracy")
    at_best = curve.columns.to_numpy() == results.runs["best_epoch"].to_numpy()[:, None]
    return curve.where(at_best).max(axis=1)


def convergence_epoch(results: Results) -> pd.Series:
    """Return the epoch that ends the first window of validation accuracy with a standard deviation under 0.005.

    It tells that the accuracy stopped changing, not at which level.
    """
    accuracy = results.curve("validation", "accuracy")
    spread = accuracy.T.rolling(CONVERGENCE_WINDOW).std().T
    return first_epoch(spread < CONVERGENCE_SD)


def training_stability(results: Results) -> pd.Series:
    """Return the standard deviation of validation accuracy over the last epochs, at most ten.

    In a run of at most ten epochs it mostly measures learning progress.
    """
    accuracy = results.curve("validation", "accuracy")
    return pd.Series({i: row.dropna().tail(STABILITY_WINDOW).std() for i, row in accuracy.iterrows()}, dtype=float)


def overfitting_gap(results: Results) -> pd.Series:
    """Return train minus test accuracy at the last epoch; train accuracy is the running mean in training mode."""
    train, test = (results.curve(split, "accuracy") for split in ("train", "test"))
    gap = (train - test).ffill(axis=1)
    return gap[gap.columns[-1]] if len(gap.columns) else pd.Series(float("nan"), index=results.runs.index)


def mean_validation_accuracy(results: Results) -> pd.Series:
    """Return the area under the curve of validation accuracy over epochs, divided by their number."""
    return results.curve("validation", "accuracy").mean(axis=1)


def epochs_to(level: float, results: Results) -> pd.Series:
    """Return the first epoch whose validation accuracy is at least `level`."""
    return first_epoch(results.curve("validation", "accuracy") >= level)


def epochs_to_best(results: Results) -> pd.Series:
    """Return the first epoch whose validation accuracy is at least 99 % of the run's own best."""
    accuracy = results.curve("validation", "accuracy")
    return first_epoch(accuracy.ge(SHARE_OF_BEST * accuracy.max(axis=1), axis=0))


def first_epoch(holds: pd.DataFrame) -> pd.Series:
    """Return, for each row, the first epoch (column) that is True; NaN where none is."""
    if holds.empty:
        return pd.Series(float("nan"), index=holds.index)
    return holds.idxmax(axis=1).astype(float).where(holds.any(axis=1))
