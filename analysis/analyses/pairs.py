"""Pairs of models and their answers, on their common seeds and on all seeds.

A seed counts if both runs are independent evidence: neither repeats an earlier seed of its model bit for bit, nor
the other model's run.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from analysis.results import Cell, Results
from analysis.statistics.two_way import Correct


@dataclass(frozen=True, eq=False)
class Pair:
    """Two models, with the correctness of their answers on the seeds that count for both."""

    model_a: str
    model_b: str
    seeds: tuple[int, ...]
    correct_a: Correct
    """Correct answers of the first model (S, n), seeds in the order of `seeds`."""
    correct_b: Correct
    """Correct answers of the second model (S, n), in the same order."""
    every_a: Correct
    """Correct answers of all seeds of the first model (S_A, n)."""
    every_b: Correct
    """Correct answers of all seeds of the second model (S_B, n)."""
    declared: bool
    """Whether the pair belongs to the plan's declared family."""

    def answers(self, pairing: Literal["paired", "unpaired"]) -> tuple[Correct, Correct]:
        """Return the answers that the headline test compares: common seeds if paired, all seeds of each model otherwise."""
        return (self.correct_a, self.correct_b) if pairing == "paired" else (self.every_a, self.every_b)


def pairs(results: Results) -> list[Pair]:
    """Return all pairs of models, each with the reference or the earlier model second."""
    found = []
    for model_b, model_a in combinations(results.reference_first, 2):
        seeds_a, seeds_b = results.seeds(model_a), results.seeds(model_b)
        shared = tuple(
            seed for seed in seeds_a if seed in seeds_b and _counts(results, (model_a, seed), (model_b, seed))
        )
        a_Sn = results.correct[model_a][[seeds_a.index(seed) for seed in shared]]
        b_Sn = results.correct[model_b][[seeds_b.index(seed) for seed in shared]]
        every_a, every_b = _own(results, model_a, model_b), _own(results, model_b, model_a)
        declared = results.plan.declares(model_a, model_b, reference=results.reference)
        found.append(Pair(model_a, model_b, shared, a_Sn, b_Sn, every_a, every_b, declared))
    return found


def _counts(results: Results, a: Cell, b: Cell) -> bool:
    return not {a, b} & set(results.copies) and results.fingerprints[a] != results.fingerprints[b]


def _own(results: Results, model: str, other: str) -> Correct:
    """Return the answers of the runs of a model that repeat neither an earlier run nor a run of the other model."""
    others = {results.fingerprints[other, seed] for seed in results.seeds(other)}
    kept = [
        (model, seed) not in set(results.copies) and results.fingerprints[model, seed] not in others
        for seed in results.seeds(model)
    ]
    own_Sn: Correct = results.correct[model][np.array(kept)]
    return own_Sn
