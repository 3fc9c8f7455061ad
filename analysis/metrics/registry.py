"""One number per run, and the facts a reader needs of it.

A new metric is a function from Results to a Series aligned with `results.runs`, and a line in METRICS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import pandas as pd

from analysis.results import Results
from analysis.statistics.reliability import confidence_bins, expected_error
from analysis.wording import UNKNOWN, percent

CONVERGENCE_WINDOW = 5
CONVERGENCE_SD = 0.005
STABILITY_WINDOW = 10
LEVELS = (0.90, 0.95, 0.96)
SHARE_OF_BEST = 0.99

Unit = Literal["rate", "points", "epochs", "seconds", "count", "nats", "operations", "bytes"]
FORMATS: dict[Unit, Callable[[float], str]] = {
    "rate": percent,
    "points": lambda value: f"{100 * value:.2f} points",
    "epochs": lambda value: f"{value:.3g}",
    "seconds": lambda value: f"{value:.3g} s",
    "count": lambda value: f"{value:,.0f}",
    "nats": lambda value: f"{value:.3f}",
    "operations": lambda value: f"{value / 1e6:.3g} M",
    "bytes": lambda value: f"{value / 2**20:,.3g} MiB",
}


@dataclass(frozen=True)
class Metric:
    """A number per run."""

    name: str
    title: str
    unit: Unit
    """How it is shown; a rate or points are in [0, 1] units until then."""
    better: Literal["higher", "lower", "neither"]
    compute: Callable[[Results], pd.Series]
    """Values aligned with `results.runs`; NaN where there is none."""
    low: float = 0.0
    high: float = float("inf")
    caveat: str = ""
    """What a reader must know before comparing it."""

    def show(self, value: float) -> str:
        """Return a value as text with its unit."""
        return UNKNOWN if pd.isna(value) else FORMATS[self.unit](value)


def column(name: str, results: Results) -> pd.Series:
    """Return a column of the runs; NaN where it was not recorded."""
    if name not in results.runs:
        return pd.Series(float("nan"), index=results.runs.index)
    return results.runs[name].astype(float)


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


def validation_accuracy(results: Results) -> pd.Series:
    """Return the validation accuracy at the best epoch."""
    curve = results.curve("validation", "accuracy")
    at_best = curve.columns.to_numpy() == results.runs["best_epoch"].to_numpy()[:, None]
    return curve.where(at_best).max(axis=1)


def convergence_epoch(results: Results) -> pd.Series:
    """Return the epoch that ends the first window of validation accuracy with a standard deviation under 0.005.

    It says that accuracy stopped moving, not where it stopped.
    """
    accuracy = results.curve("validation", "accuracy")
    spread = accuracy.T.rolling(CONVERGENCE_WINDOW).std().T
    return first_epoch(spread < CONVERGENCE_SD)


def training_stability(results: Results) -> pd.Series:
    """Return the standard deviation of validation accuracy over the last epochs, at most ten."""
    accuracy = results.curve("validation", "accuracy")
    return pd.Series({i: row.dropna().tail(STABILITY_WINDOW).std() for i, row in accuracy.iterrows()}, dtype=float)


def overfitting_gap(results: Results) -> pd.Series:
    """Return train minus test accuracy at the last epoch; train is the running mean in training mode."""
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
    """Return the first epoch (column) at which each row holds, NaN where none does."""
    if holds.empty:
        return pd.Series(float("nan"), index=holds.index)
    return holds.idxmax(axis=1).astype(float).where(holds.any(axis=1))


def _per_run(results: Results, values: list[float]) -> pd.Series:
    return pd.Series(values, index=results.runs.index, dtype=float)


_CHOSEN = "chosen on the test split; do not compare models by it"
METRICS: tuple[Metric, ...] = (
    Metric("test_accuracy", "Test accuracy", "rate", "higher", accuracy_at_best_epoch, high=1),
    Metric(
        "best_accuracy", "Best accuracy", "rate", "higher", partial(column, "best_accuracy"), high=1, caveat=_CHOSEN
    ),
    Metric("final_accuracy", "Final accuracy", "rate", "higher", partial(column, "final_accuracy"), high=1),
    Metric("validation_accuracy", "Validation accuracy", "rate", "higher", validation_accuracy, high=1),
    Metric("negative_log_likelihood", "Test NLL", "nats", "lower", negative_log_likelihood),
    Metric("calibration_error", "Calibration error", "points", "lower", calibration_error, high=1),
    Metric("best_epoch", "Best epoch", "epochs", "neither", partial(column, "best_epoch"), low=1),
    Metric("convergence_epoch", "Convergence epoch", "epochs", "lower", convergence_epoch, low=1),
    Metric(
        "mean_validation_accuracy",
        "Mean validation accuracy over epochs",
        "rate",
        "higher",
        mean_validation_accuracy,
        high=1,
    ),
    Metric("training_stability", "Training stability (sd)", "points", "lower", training_stability, high=1),
    Metric("overfitting_gap", "Overfitting gap", "points", "lower", overfitting_gap, low=-1, high=1),
    Metric("parameters", "Parameters", "count", "lower", partial(column, "parameters")),
    Metric("flops", "Operations per sequence", "operations", "lower", partial(column, "flops")),
    Metric("epochs", "Epochs", "epochs", "neither", partial(column, "epochs"), low=1),
    Metric("epoch_seconds", "Time per epoch", "seconds", "lower", partial(column, "epoch_seconds")),
    Metric("total_seconds", "Training time", "seconds", "lower", partial(column, "total_seconds")),
    Metric("peak_memory_bytes", "Peak memory", "bytes", "lower", partial(column, "peak_memory_bytes")),
)
BY_NAME = {metric.name: metric for metric in METRICS}


def metric_table(results: Results) -> pd.DataFrame:
    """Return one row per run: run_id, model, seed and every metric."""
    keys = results.runs[["run_id", "model", "seed"]]
    return keys.assign(**{metric.name: metric.compute(results) for metric in METRICS})
