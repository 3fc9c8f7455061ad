"""Learning-rate schedules, one step per epoch: a function for each name of `train.scheduler`."""

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ConstantLR, LambdaLR, LRScheduler, ReduceLROnPlateau, StepLR

from pipeline.config import TrainConfig


def schedule_of(optimizer: Optimizer, config: TrainConfig) -> LRScheduler:
    """Return the schedule of an optimiser over `config.epochs` epochs."""
    return SCHEDULES[config.scheduler.name](optimizer, config.scheduler, config.epochs)


def constant(optimizer: Optimizer, _settings: object, _epochs: int) -> LRScheduler:
    """Leave the rate as it is."""
    return ConstantLR(optimizer, factor=1.0)


def step(optimizer: Optimizer, settings: Any, _epochs: int) -> LRScheduler:  # noqa: ANN401 - a StepSchedule
    """Multiply the rate by `decay` every `step_size` epochs."""
    return StepLR(optimizer, settings.step_size, settings.decay)


def cosine(optimizer: Optimizer, settings: Any, epochs: int) -> LRScheduler:  # noqa: ANN401 - a CosineSchedule
    """Let the rate fall along half a period of a cosine to `final_fraction` of its initial value."""
    final = settings.final_fraction
    return LambdaLR(optimizer, lambda epoch: final + (1 - final) * (1 + math.cos(math.pi * epoch / epochs)) / 2)


def plateau(optimizer: Optimizer, settings: Any, _epochs: int) -> LRScheduler:  # noqa: ANN401 - a PlateauSchedule
    """Multiply the rate by `factor` when validation accuracy has not risen for `plateau_epochs` epochs."""
    # torch waits for one epoch more than its patience, and ignores a rise smaller than its threshold.
    patience = settings.plateau_epochs - 1
    return ReduceLROnPlateau(optimizer, "max", factor=settings.factor, patience=patience, threshold=0.0)


SCHEDULES = {"constant": constant, "step": step, "cosine": cosine, "plateau": plateau}
