"""What is recorded of the answers after each epoch beside loss and accuracy. A new metric is a function and a line here.

These metrics decide nothing, so they are no part of a run's identity: runs from before a metric was added lack its curve.
"""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from pipeline.training.loop import Epoch

FIRST_CURVE = "validation/accuracy"


def brier_score(log_probabilities_NC: Tensor, labels_N: Tensor) -> float:
    """Return the mean squared distance of the probabilities (N, C) from the true classes (N,), in [0, 2] (Brier 1950)."""
    truth_NC = nn.functional.one_hot(labels_N, log_probabilities_NC.shape[1])
    return float((log_probabilities_NC.exp() - truth_NC).square().sum(dim=1).mean())


EPOCH_METRICS: dict[str, Callable[[Tensor, Tensor], float]] = {"brier": brier_score}
"""From log-probabilities (N, C) and labels (N,) to a number; lower-case names without a slash."""


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

    The tracking UI draws a group as a section; what has none is a number of the whole run. Its page of compared runs opens
    with the metric that was logged first, which is therefore the accuracy on validation.
    """
    curves = {name if "/" in name else f"train/{name}": value for name, value in row.items()}
    return {name: curves[name] for name in sorted(curves, key=lambda name: name != FIRST_CURVE)}
