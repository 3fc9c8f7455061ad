"""The predictions of a model over a split, and their score.

Letters: B sequences of a batch, N sequences of a split, C classes.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.classifier import Classifier
from pipeline.data import EventDataset

EVALUATION_BATCH = 512
"""Sequences in a batch of an evaluation."""


@dataclass(frozen=True)
class Score:
    """Mean cross-entropy in nats and accuracy in [0, 1] over a split."""

    loss: float
    accuracy: float


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context that runs the recurrent layers in `precision`, fp32 or bf16; embeddings always compute in fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@torch.no_grad()
def predict(model: Classifier, dataset: EventDataset, precision: str = "fp32") -> Tensor:
    """Return the log-probabilities (N, C) of a split in its own order, in evaluation mode."""
    model.eval()
    log_probabilities_NC = torch.empty(len(dataset), dataset.classes)
    for indices_B in dataset.lengths.cpu().argsort(stable=True).split(EVALUATION_BATCH):
        batch = dataset.batch(indices_B)
        with autocast(precision, batch.labels.device):
            logits_BC = model(batch.times, batch.features, batch.lengths)
        log_probabilities_NC[indices_B] = logits_BC.float().log_softmax(1).cpu()
    return log_probabilities_NC


@dataclass(frozen=True)
class Evaluation(Score):
    """A score, with the predictions that it was computed from."""

    log_probabilities: Tensor
    """(N, C), in the split's own order."""


def score(log_probabilities_NC: Tensor, labels_N: Tensor) -> Score:
    """Return the score of log-probabilities (N, C), in nats, against labels (N,)."""
    loss = nn.functional.nll_loss(log_probabilities_NC, labels_N)
    return Score(loss.item(), (log_probabilities_NC.argmax(1) == labels_N).double().mean().item())


def evaluate(model: Classifier, dataset: EventDataset, precision: str) -> Evaluation:
    """Return the score of a model over a split, with its predictions."""
    log_probabilities_NC = predict(model, dataset, precision)
    scored = score(log_probabilities_NC, dataset.labels.cpu())
    return Evaluation(scored.loss, scored.accuracy, log_probabilities_NC)
