"""Random streams that vary separately: the seeds of a study of streams, and the level of each stream in a run.

Under `train.vary` all, a seed consists of three digits: the levels of init, order and dropout. The L x L runs of a model form a
Latin square: for every two streams, each pair of their levels occurs once (docs/decisions/0020-streams.md says why).
"""

from collections.abc import Mapping
from functools import cache

import torch

from analysis.plan import Plan
from analysis.schema import STREAM_COLUMNS
from analysis.wording import listing
from models.registry import AnyModel
from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.seeding import STREAMS, seed_of

FEWEST_LEVELS, MOST_LEVELS = 3, 10
"""Least and most levels of a square: two levels leave no degrees of freedom for interactions, and a digit has ten values."""
HORIZON = 64
"""Horizon of a model that is built only to find out whether it draws random numbers."""


def seeds_apart(variants: Mapping[str, RunConfig], plan: Plan, seeds: tuple[int, ...]) -> tuple[int, ...]:
    """Return the seeds of the runs of a study; under `train.vary` all, those of the Latin square with the levels `seeds`.

    UsageError if the streams of these variants cannot vary in this way, or if the plan is incompatible with it.
    """
    ways = {config.train.vary for config in variants.values()}
    if ways == {"together"}:
        return seeds
    if len(ways) > 1:
        raise UsageError(
            f"train.vary: must be the same of all variants, got {listing(sorted(ways))}. Leave it to the base."
        )
    [way] = ways
    if plan.looks:
        raise UsageError(
            f"--vary: must stand without looks (--until decided), got {way}: its runs give no verdict to wait for. Drop one."
        )
    if plan.pairing != "paired":
        raise UsageError(
            f"--vary: must go with plan.pairing paired, got {plan.pairing}: the runs of all variants share their streams. "
            "Leave plan.pairing out."
        )
    if way == "dropout" and (without := [name for name, config in variants.items() if not draws(config.model)]):
        raise UsageError(
            f"--vary dropout: must be of models that draw in training, got none in {listing(without)}. Raise "
            "model.dropout, or leave them out with --models."
        )
    return square(seeds) if way == "all" else seeds


def square(levels: tuple[int, ...]) -> tuple[int, ...]:
    """Return the seeds of a Latin square of these levels, with a digit for each stream.

    The first two digits are row and column, the third is the symbol of the square. UsageError if the levels are too few, too many,
    or not single digits.
    """
    count = len(levels)
    if not FEWEST_LEVELS <= count <= MOST_LEVELS or max(levels) >= MOST_LEVELS:
        raise UsageError(
            f"--vary all: must have from {FEWEST_LEVELS} to {MOST_LEVELS} seeds from 0 to {MOST_LEVELS - 1}, the levels of "
            f"each stream, got {listing(map(str, levels))}. Write for instance --seeds 0,1,2,3,4."
        )
    return tuple(100 * levels[i] + 10 * levels[j] + levels[(i + j) % count] for i in range(count) for j in range(count))


def stream_tags(config: RunConfig) -> dict[str, str]:
    """Return a tag with the seed of each stream of a run; empty if the streams vary together.

    A model that draws no random numbers in training has no tag for dropout.
    """
    if config.train.vary == "together":
        return {}
    used = [stream for stream in STREAMS if stream != "dropout" or draws(config.model)]
    return {STREAM_COLUMNS[stream]: str(seed_of(config.seed, config.train.vary, stream)) for stream in used}


@cache
def draws(config: AnyModel) -> bool:
    """Return whether a model draws random numbers in training, such as dropout masks or router noise."""
    with torch.random.fork_rng(devices=[]):
        model = config.build(horizon=HORIZON, feature_dim=0, classes=2).train()
        before = torch.get_rng_state()
        model(torch.tensor([[1.0, 2.0, 3.0]]), None, torch.tensor([3]))
        return not torch.equal(before, torch.get_rng_state())
