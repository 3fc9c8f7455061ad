"""The division of a split into batches: a function for each value of `train.batching`."""

import torch
from torch import Generator, Tensor

from pipeline.config import RunConfig
from pipeline.data import EventDataset
from pipeline.seeding import generator_for, seed_of

BUCKET_POOL = 50
"""Number of batches whose sequences are sorted by length together under `batching: bucketed`."""


def batches_of(dataset: EventDataset, config: RunConfig, number: int) -> list[Tensor]:
    """Return the batches of epoch `number`, drawn from the random stream (seed, "order", epoch).

    Each batch is a tensor (B,) of indices into the split; the last one may be smaller than `train.batch_size`.
    """
    generator = generator_for(seed_of(config.seed, config.train.vary, "order"), "order", number)
    return BATCHINGS[config.train.batching](dataset, config.train.batch_size, generator)


def random_batches(dataset: EventDataset, size: int, generator: Generator) -> list[Tensor]:
    """Draw each batch from the whole split."""
    return list(torch.randperm(len(dataset), generator=generator).split(size))


def bucketed_batches(dataset: EventDataset, size: int, generator: Generator) -> list[Tensor]:
    """Group sequences of similar length within pools of `BUCKET_POOL` batches, and shuffle the batches."""
    order_N = torch.randperm(len(dataset), generator=generator)
    batches: list[Tensor] = []
    lengths_N = dataset.lengths.cpu()
    for pool in order_N.split(size * BUCKET_POOL):
        batches += pool[lengths_N[pool].argsort(stable=True)].split(size)
    return [batches[place] for place in torch.randperm(len(batches), generator=generator).tolist()]


BATCHINGS = {"random": random_batches, "bucketed": bucketed_batches}
