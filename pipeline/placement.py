"""The order in which cells are trained, and their distribution over workers, by their expected costs."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

MARGIN = 1.2
"""Safety factor on the expected seconds of work when it must fit into the time left."""
EXTRA_SECONDS = 10.0
"""Seconds that must be left besides, for what comes before the first epoch and after the last one."""


@dataclass(frozen=True)
class Cost:
    """The expected cost of a cell."""

    seed: int
    """Position of the cell's seed within the study."""
    seconds: float


def order(costs: Sequence[Cost], workers: int) -> list[int]:
    """Return the indices of the cells in the order in which workers take them.

    Cells are taken seed by seed, so that an early stop leaves complete seeds, and within a seed the slowest first. The last 1, 2,
    4, ... seeds are merged and sorted by cost, the slowest first: the number is the one with which the workers end soonest.
    """
    seeds = sorted({cost.seed for cost in costs}, reverse=True)
    merged = [2**power for power in range(max(1, len(seeds).bit_length()))]
    # `min` returns the first of equal ends, which merges the fewest seeds.
    return min((_merged(costs, set(seeds[:last])) for last in merged), key=lambda places: _end(costs, places, workers))


def _merged(costs: Sequence[Cost], last: set[int]) -> list[int]:
    seed = [cost.seed for cost in costs]
    return sorted(
        range(len(costs)),
        key=lambda place: (seed[place] if seed[place] not in last else max(last), -costs[place].seconds),
    )


def _end(costs: Sequence[Cost], places: Sequence[int], workers: int) -> float:
    return max((end for _, end in spread([costs[place].seconds for place in places], workers)), default=0.0)


def spread(seconds: Sequence[float], workers: int) -> list[tuple[int, float]]:
    """Return, for cells that are taken in this order, the worker of each and its end in seconds from the beginning."""
    free = [(0.0, worker) for worker in range(workers)]
    placed = []
    for cost in seconds:
        begins, worker = free[0]
        heapq.heapreplace(free, (begins + cost, worker))
        placed.append((worker, begins + cost))
    return placed


def fits(seconds: float, left: float) -> bool:
    """Return whether work that is expected to take `seconds` fits into the `left` seconds, with a safety margin."""
    return MARGIN * seconds + EXTRA_SECONDS <= left
