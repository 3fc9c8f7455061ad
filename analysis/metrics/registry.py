"""The registry of metrics, one line each, with their unit, direction and caveats.

A new metric is a function from Results to a Series aligned with `results.runs`, and a line in METRICS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import pandas as pd

from analysis.metrics.curves import (
    convergence_epoch,
    mean_validation_accuracy,
    overfitting_gap,
    training_stability,
    validation_accuracy,
)
from analysis.metrics.predictions import (
    accuracy_at_best_epoch,
    balanced_accuracy,
    brier_score,
    calibration_error,
    macro_f1,
    negative_log_likelihood,
    risk_coverage,
)
from analysis.results import Results
from analysis.wording import UNKNOWN, percent

Unit = Literal["rate", "points", "epochs", "seconds", "count", "nats", "score", "operations", "bytes"]
FORMATS: dict[Unit, Callable[[float], str]] = {
    "rate": percent,
    "points": lambda value: f"{100 * value:.2f} points",
    "epochs": lambda value: f"{value:.3g}",
    "seconds": lambda value: f"{value:.3g} s",
    "count": lambda value: f"{value:,.0f}",
    "nats": lambda value: f"{value:.3f}",
    "score": lambda value: f"{value:.4f}",
    "operations": lambda value: f"{value / 1e6:.3g} M",
    "bytes": lambda value: f"{value / 2**20:,.3g} MiB",
}


@dataclass(frozen=True)
class Metric:
    """A number per run."""

    name: str
    title: str
    unit: Unit
    """Unit in which the metric is shown; values of rates and points are stored in [0, 1]."""
    better: Literal["higher", "lower", "neither"]
    compute: Callable[[Results], pd.Series]
    """Values aligned with `results.runs`; NaN where there is none."""
    low: float = 0.0
    high: float = float("inf")
    caveat: str = ""
    """What a reader must know before comparing values of the metric."""

    def show(self, value: float) -> str:
        """Return a value as text with its unit."""
        return UNKNOWN if pd.isna(value) else FORMATS[self.unit](value)


def column(name: str, results: Results) -> pd.Series:
    """Return a column of the runs; NaN if it was not recorded."""
    if name not in results.runs:
        return pd.Series(float("nan"), index=results.runs.index)
    return results.runs[name].astype(float)


_CHOSEN = "chosen on the test split; do not compare models by it"
METRICS: tuple[Metric, ...] = (
    Metric("test_accuracy", "Test accuracy", "rate", "higher", accuracy_at_best_epoch, high=1),
    Metric(
        "best_accuracy", "Best accuracy", "rate", "higher", partial(column, "best_accuracy"), high=1, caveat=_CHOSEN
    ),
    Metric("final_accuracy", "Final accuracy", "rate", "higher", partial(column, "final_accuracy"), high=1),
    Metric("balanced_accuracy", "Balanced accuracy", "rate", "higher", balanced_accuracy, high=1),
    Metric("macro_f1", "Macro F1", "rate", "higher", macro_f1, high=1),
    Metric("validation_accuracy", "Validation accuracy", "rate", "higher", validation_accuracy, high=1),
    Metric("negative_log_likelihood", "Test NLL", "nats", "lower", negative_log_likelihood),
    Metric("calibration_error", "Calibration error", "points", "lower", calibration_error, high=1),
    Metric("brier_score", "Brier score of the predicted class", "score", "lower", brier_score, high=1),
    Metric("risk_coverage", "Risk over coverage (AURC)", "score", "lower", risk_coverage, high=1),
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
