"""In which order cells are trained and where each of them ends up, by what they are expected to cost."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

MARGIN = 1.2
"""Work fits where so many times the seconds that it is expected to take are left ..."""
EXTRA_SECONDS = 10.0
"""... and these, for what comes before its first epoch and after its last."""


@dataclass(frozen=True)
class Cost:
    """What a cell is expected to cost."""

    seed: int
    """Number of its seed within the study."""
    seconds: float


def order(costs: Sequence[Cost], workers: int) -> list[int]:
    """Return the places of the cells in the order in which workers take them.

    Seed by seed, so that an early stop leaves whole seeds, and within a seed the slowest first. The last seeds are taken
    together, the slowest first, where that lets all workers end sooner: as many seeds as help, counted in powers of two.
    """
    seeds = sorted({cost.seed for cost in costs}, reverse=True)
    merged = [2**power for power in range(max(1, len(seeds).bit_length()))]
    # Of equal ends the first is taken, which merges the fewest.
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
    """Return for each cell, taken in this order, which worker trains it and when it ends, in seconds from the beginning."""
    free = [(0.0, worker) for worker in range(workers)]
    placed = []
    for cost in seconds:
        begins, worker = free[0]
        heapq.heapreplace(free, (begins + cost, worker))
        placed.append((worker, begins + cost))
    return placed


def fits(seconds: float, left: float) -> bool:
    """Say whether work that is expected to take `seconds` is begun when so many are left."""
    return MARGIN * seconds + EXTRA_SECONDS <= left
