import pytest
import torch
from sklearn.metrics import brier_score_loss

from pipeline.epoch_metrics import EPOCH_METRICS, brier_score, curves_of, metrics_of
from pipeline.training.evaluation import Evaluation, Score
from pipeline.training.loop import Epoch


def test_the_brier_score_is_scikit_learns_of_several_classes():
    log_probabilities = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).log_softmax(
        1
    )
    labels = torch.arange(50) % 4
    expected = brier_score_loss(
        labels.numpy(), log_probabilities.exp().numpy(), labels=[0, 1, 2, 3], scale_by_half=False
    )
    assert brier_score(log_probabilities, labels) == pytest.approx(expected)


def test_every_metric_is_recorded_of_each_split_that_is_evaluated(monkeypatch):
    monkeypatch.setitem(
        EPOCH_METRICS, "classes", lambda log_probabilities, labels: log_probabilities.shape[1] + len(labels)
    )
    test = Evaluation(0.5, 0.25, torch.zeros(3, 4))
    epoch = Epoch(1, Score(1.0, 0.5), None, test, seconds=2.0, learning_rate=0.1, gradient_norm=1.0)
    metrics = metrics_of(
        epoch, {"test": torch.zeros(3, dtype=torch.long), "validation": torch.zeros(0, dtype=torch.long)}
    )
    assert metrics["test/classes"] == 7
    assert metrics["test/accuracy"] == 0.25
    assert "validation/classes" not in metrics


def test_every_curve_has_a_group():
    row = {
        "epoch": 1,
        "train/loss": 2.0,
        "seconds": 3.0,
        "learning_rate": 0.1,
        "gradient_norm": 1.0,
        "gap_entropy": 0.5,
    }
    assert set(curves_of(row)) == {
        "train/epoch", "train/loss", "train/seconds", "train/learning_rate", "train/gradient_norm", "train/gap_entropy",
    }  # fmt: skip


def test_the_accuracy_on_validation_is_logged_first():
    row = {"epoch": 1, "train/loss": 2.0, "validation/accuracy": 0.5, "test/accuracy": 0.4}
    assert list(curves_of(row)) == ["validation/accuracy", "train/epoch", "train/loss", "test/accuracy"]
