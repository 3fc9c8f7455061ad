"""Metrics of the predictions after each epoch, besides loss and accuracy. A new metric is a function and a line here.

These metrics decide nothing, so they are not part of a run's identity: runs that were trained before a metric was added lack
its curve.
"""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from pipeline.training.loop import Epoch

FIRST_CURVE = "validation/accuracy"


def brier_score(log_probabilities_NC: Tensor, labels_N: Tensor) -> float:
    """Return the Brier score in [0, 2]: the mean over N of the squared distance between probabilities and one-hot labels.

    Takes log-probabilities (N, C) in nats and labels (N,). Source: Brier 1950, "Verification of forecasts expressed in terms of
    probability", Monthly Weather Review 78.
    """
    truth_NC = nn.functional.one_hot(labels_N, log_probabilities_NC.shape[1])
    return float((log_probabilities_NC.exp() - truth_NC).square().sum(dim=1).mean())


EPOCH_METRICS: dict[str, Callable[[Tensor, Tensor], float]] = {"brier": brier_score}
"""Functions of log-probabilities (N, C) and labels (N,) that return a number. Names are lower-case and without a slash."""


def metrics_of(epoch: Epoch, labels: dict[str, Tensor]) -> dict[str, float]:
    """Return all metrics of an epoch as `split/metric`; `labels` are those of the validation and the test split."""
    scores = {"validation": epoch.validation, "test": epoch.test}
    further = {
        f"{split}/{name}": metric(score.log_probabilities, labels[split])
        for split, score in scores.items()
        if score is not None
        for name, metric in EPOCH_METRICS.items()
    }
    return {**epoch.metrics(), **further}


def curves_of(row: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics of an epoch under the names of their curves: each has a group before its slash.

    The tracking UI shows each group as a section; a metric without a group is a number of the whole run. The UI's page of compared
    runs opens with the metric that was logged first, which is therefore the validation accuracy.
    """
    curves = {name if "/" in name else f"train/{name}": value for name, value in row.items()}
    return {name: curves[name] for name in sorted(curves, key=lambda name: name != FIRST_CURVE)}
