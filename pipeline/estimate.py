"""How long training will take, from a few updates of each model."""

import time

import torch

from pipeline.config import RunConfig
from pipeline.data import Splits
from pipeline.machine import resolve_device, resolve_precision
from pipeline.training.loop import fit
from pipeline.training.start import start

ESTIMATE_BATCHES = 4
"""Batches that are trained to estimate how long an epoch takes."""
EVALUATION_COST = 0.35
"""Time of evaluating a sequence over the time of training on it."""


def epoch_seconds(config: RunConfig, device: str) -> float:
    """Estimate the seconds of one epoch from a few updates on the first sequences.

    Updates that diverge are timed too: the run itself fails by them, and the other runs of its study do not.
    """
    splits = config.data.load()
    count = min(ESTIMATE_BATCHES * config.train.batch_size, len(splits.train))
    resolved = resolve_device(device)
    few = splits.train.select(torch.arange(count)).to(resolved)
    small = Splits(few, few.select(few.offsets.new_tensor([0])), few.select(few.offsets.new_tensor([0])))
    config = config.model_copy(update={"train": config.train.model_copy(update={"epochs": 2})})
    precision = resolve_precision(config.train.precision, resolved)
    training = start(config, small, resolved)
    timed: list[float] = []
    began = time.perf_counter()
    try:
        timed.extend(epoch.seconds for epoch in fit(training, small, config, precision))
    except FloatingPointError:
        timed = timed or [time.perf_counter() - began]
    evaluated = len(splits.validation) + len(splits.test)
    return min(timed) * (len(splits.train) + EVALUATION_COST * evaluated) / count
