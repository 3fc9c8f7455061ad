"""Pairs of models and their answers, on the seeds that both have.

A seed counts where both runs are evidence of their own: neither repeats an earlier seed of its model bit for bit, nor
the other model's run.
"""

from dataclasses import dataclass
from itertools import combinations

from analysis.results import Cell, Results
from analysis.statistics.two_way import Correct


@dataclass(frozen=True, eq=False)
class Pair:
    """Two models and which of their answers were correct, on the seeds that count for both."""

    model_a: str
    model_b: str
    seeds: tuple[int, ...]
    correct_a: Correct
    """(S, n), the seeds in the order of `seeds`."""
    correct_b: Correct
    """(S, n), likewise."""
    declared: bool
    """Whether the plan's family names the pair."""


def pairs(results: Results) -> list[Pair]:
    """Return all pairs of models, each with the reference or the earlier model second."""
    order = [results.reference, *[model for model in results.models if model != results.reference]]
    found = []
    for model_b, model_a in combinations(order, 2):
        seeds_a, seeds_b = results.seeds(model_a), results.seeds(model_b)
        shared = tuple(
            seed for seed in seeds_a if seed in seeds_b and _counts(results, (model_a, seed), (model_b, seed))
        )
        a_Sn = results.correct[model_a][[seeds_a.index(seed) for seed in shared]]
        b_Sn = results.correct[model_b][[seeds_b.index(seed) for seed in shared]]
        declared = results.plan.family == "all" or model_b == results.reference
        found.append(Pair(model_a, model_b, shared, a_Sn, b_Sn, declared))
    return found


def _counts(results: Results, a: Cell, b: Cell) -> bool:
    return not {a, b} & set(results.copies) and results.fingerprints[a] != results.fingerprints[b]
