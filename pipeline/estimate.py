"""Estimates of the duration of training, from a few updates of each model."""

import torch

from pipeline.config import RunConfig
from pipeline.data import Splits
from pipeline.machine import resolve_device, resolve_precision
from pipeline.training.loop import fit
from pipeline.training.start import start

ESTIMATE_BATCHES = 4
"""Number of batches that are trained to estimate the duration of an epoch."""
EVALUATION_COST = 0.35
"""Time of evaluating a sequence, divided by the time of training on it."""

STORING_SECONDS = 1.2
"""Seconds of a run outside of its epochs: opening, evaluation, and storing with its model. Eight small runs on SQLite took 1.15 s
each."""

ANALYSIS_SECONDS = 30.0
"""Seconds of the analysis after the last run, with its figures: 28 s for 20 runs of 1,000 test sequences."""


def epoch_seconds(config: RunConfig, device: str) -> float:
    """Estimate the seconds of one epoch from a few updates on the first sequences; 0 if they fail.

    A model that cannot be trained must not stop the others. Its run will fail in the same way, and record the error.
    """
    try:
        return _epoch_seconds(config, device)
    except Exception:  # noqa: BLE001 - a user's model may raise anything; its run raises it again
        return 0.0


def _epoch_seconds(config: RunConfig, device: str) -> float:
    splits = config.data.load()
    count = min(ESTIMATE_BATCHES * config.train.batch_size, len(splits.train))
    resolved = resolve_device(device)
    few = splits.train.select(torch.arange(count)).to(resolved)
    small = Splits(few, few.select(few.offsets.new_tensor([0])), few.select(few.offsets.new_tensor([0])))
    config = config.model_copy(update={"train": config.train.model_copy(update={"epochs": 2})})
    precision = resolve_precision(config.train.precision, resolved)
    timed = [epoch.seconds for epoch in fit(start(config, small, resolved), small, config, precision)]
    evaluated = len(splits.validation) + len(splits.test)
    return min(timed) * (len(splits.train) + EVALUATION_COST * evaluated) / count
