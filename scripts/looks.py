"""Measures what looks at a study save, and how often they are wrong: `.venv/bin/python -m scripts.looks`, minutes on one core.

First one pair, whose gap in a seed is normal with deviation 1: a fixed number of seeds against looks, at several true gaps in
units of that deviation, with and without an error of the images (the same at every look). Then families of four equal models
in the worlds of scripts.calibrate, judged by `significance.judge`, Holm and earlier verdicts included, and a pair that differs by
exactly the margin. The tables go between the markers of docs/statistics.md.

Letters: K models, N studies, S seeds, n images.
"""

import argparse
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from analysis.analyses.significance import judge
from analysis.plan import Plan
from analysis.statistics.randomness import stream
from analysis.statistics.two_way import Correct, mixed_tail
from analysis.wording import markdown_table
from pipeline.console import say
from scripts.calibrate import WORLDS, rate, write

EFFECTS = (0.0, 0.75, 1.0, 1.5)
"""True gaps of the pair, in deviations over seeds."""
IMAGES = 0.15
"""Deviation of the images' error, where there is one, in the same unit."""
DECIDED, MOST_10 = Plan().until_decided(), Plan().until_decided(10)
DESIGNS: dict[str, tuple[tuple[int, ...], tuple[float, ...]]] = {
    "20 seeds, one look": ((20,), (0.05,)),
    "looks at 5, 10, 20": (DECIDED.looks, DECIDED.levels),
    "10 seeds, one look": ((10,), (0.05,)),
    "looks at 4, 6, 8, 10": (MOST_10.looks, MOST_10.levels),
    "every seed from 3 to 20 at .05": (tuple(range(3, 21)), (0.05,) * 18),
}
FAMILIES = ("seeds dominate", "mixed, seeds more", "mixed, images more", "coin flips")
MARGIN = 0.01


@dataclass(frozen=True)
class Rates:
    """What a design does at one true gap."""

    found: float
    """Share of studies that call the pair different."""
    seeds: float
    """Mean number of seeds trained."""


def main() -> None:
    """Simulate, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--families", type=int, default=1000)
    call = parser.parse_args()
    write("looks", one_pair_table(call.studies))
    write("families", family_table(call.families))


def one_pair(name: str, effect: float, images: float, studies: int) -> Rates:
    """Return what a design finds in one pair, and at what cost."""
    looks, levels = DESIGNS[name]
    generator = stream("looks", str(effect), str(images))
    gaps_NS = effect + generator.standard_normal((studies, 20))
    gaps_NS += images * generator.standard_normal((studies, 1))
    found_N, seeds_N = np.zeros(studies, dtype=bool), np.zeros(studies)
    for seeds, level in zip(looks, levels, strict=True):
        open_N = ~found_N
        seeds_N[open_N] = seeds
        seen_NS = gaps_NS[open_N, :seeds]
        variance_N = seen_NS.var(axis=1, ddof=1) / seeds
        p_N = 2 * mixed_tail(np.abs(seen_NS.mean(axis=1)), [variance_N], [seeds - 1], images**2)
        found_N[open_N] = p_N < level
    return Rates(float(found_N.mean()), float(seeds_N.mean()))


def one_pair_table(studies: int) -> str:
    """Return a row a design and error of the images: the share found and the seeds, at each true gap."""
    rows = []
    for images in (0.0, IMAGES):
        for name in DESIGNS:
            found = [one_pair(name, effect, images, studies) for effect in EFFECTS]
            say(f"{name}, images {images}: {found}")
            rows.append([name, f"{images:g}", *(f"{rate(its.found)}, {its.seeds:.1f} seeds" for its in found)])
    return markdown_table(["design", "images", *(f"gap {effect:g}" for effect in EFFECTS)], rows)


def by_looks(answers_KSn: Correct, plan: Plan) -> tuple[NDArray[np.str_], float]:
    """Return the verdict on every pair of models, the later against the earlier, and the mean seeds of a model."""
    index = [(a, b) for b, a in combinations(range(len(answers_KSn)), 2)]
    verdicts, seeds_K = ["undecided"] * len(index), np.zeros(len(answers_KSn))
    for seeds, level in zip(plan.looks, plan.levels, strict=True):
        still = [verdict == "undecided" for verdict in verdicts]
        if not any(still):
            break
        seeds_K[sorted({model for pair, is_open in zip(index, still, strict=True) if is_open for model in pair})] = (
            seeds
        )
        seen = [(answers_KSn[a, :seeds], answers_KSn[b, :seeds]) for a, b in index]
        _, found = judge(seen, np.ones(len(index), dtype=bool), len(answers_KSn), plan.at(level), earlier=verdicts)
        verdicts = list(np.where(still, found["verdict"], verdicts))
    return np.array(verdicts), float(seeds_K.mean())


def family(world: str, plan: Plan, studies: int) -> tuple[float, float, float]:
    """Return how often four equal models give a false verdict, a pair at the margin a false "equivalent", and the seeds."""
    its, generator = WORLDS[world], stream("families", world, plan.looks[-1])
    wrong, equal, seeds = np.zeros((3, studies))
    at_margin = plan.model_copy(update={"margin": MARGIN})
    for study in range(studies):
        answers_KSn = its.answers([its.accuracy] * 4 + [its.accuracy - MARGIN], plan.looks[-1], generator)
        verdicts, seeds[study] = by_looks(answers_KSn[:4], plan)
        wrong[study] = np.isin(verdicts, ["better", "worse"]).any()
        equal[study] = by_looks(answers_KSn[[0, 4]], at_margin)[0].item() == "equivalent"
    return float(wrong.mean()), float(equal.mean()), float(seeds.mean())


def family_table(studies: int) -> str:
    """Return a row a world: false verdicts of six pairs, false equivalence, and seeds, for both schedules."""
    rows = []
    for world in FAMILIES:
        found = [family(world, plan, studies) for plan in (DECIDED, MOST_10)]
        say(f"{world}: {found}")
        rows.append([world, *(text for wrong, equal, _ in found for text in (rate(wrong), rate(equal)))])
    names = ("5, 10, 20", "4, 6, 8, 10")
    return markdown_table(
        ["world", *(f"{name}: {what}" for name in names for what in ("false", "false equivalent"))], rows
    )


if __name__ == "__main__":
    main()
