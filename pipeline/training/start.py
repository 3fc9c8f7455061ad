"""The state of a training: how it begins, and the part of it that a checkpoint holds."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from models.classifier import Classifier
from pipeline.config import RunConfig
from pipeline.data import Splits
from pipeline.errors import check_memory
from pipeline.seeding import seed_of, seeded
from pipeline.training.optimizers import optimizer_of
from pipeline.training.schedules import schedule_of


@dataclass
class Training:
    """A model in training, with everything that a checkpoint holds."""

    model: Classifier
    optimizer: Optimizer
    scheduler: LRScheduler
    epoch: int = 0
    """Number of completed epochs."""

    def state_dict(self) -> dict[str, Any]:
        """Return weights, optimizer, scheduler and position as tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "epoch": self.epoch,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.epoch = state["epoch"]


def start(config: RunConfig, splits: Splits, device: torch.device) -> Training:
    """Build model, optimizer and scheduler at epoch 0; initial values come from the stream (seed, "init")."""
    model = build(config, splits).to(device)
    optimizer = optimizer_of(model, config.train)
    return Training(model, optimizer, schedule_of(optimizer, config.train))


def build(config: RunConfig, splits: Splits) -> Classifier:
    """Build the model of a run for its data, with its initial values."""
    train = splits.train
    with seeded(seed_of(config.seed, config.train.vary, "init"), "init"):
        return config.model.build(horizon=train.horizon, feature_dim=train.feature_dim, classes=train.classes)


def check_fit(config: RunConfig, splits: Splits) -> None:
    """Raise `ModelError` unless the model accepts every event of the data, so that no run begins that cannot end."""
    _check_size(config, splits.train.feature_dim)
    model = build(config, splits)
    for split in (splits.train, splits.validation, splits.test):
        model.check(split.times, split.gaps)


def _check_size(config: RunConfig, feature_dim: int) -> None:
    """Refuse a backbone that does not fit in memory; the sizes of embeddings have limits of their own."""
    with torch.device("meta"):  # tensors with a size but no data
        layers = config.model.layers(config.model.embedding.dim + feature_dim)
        size = sum(part.nbytes for layer in layers for part in layer.parameters())
    # The weights, their gradients, and the two means of Adam.
    check_memory("model", f"{size / 4:,.0f} weights", 4 * size, "Lower model.hidden_dim or model.num_layers.")
