"""Measures what looks at a study save, and how often they are wrong: `.venv/bin/python -m scripts.looks`, minutes on one core.

First one pair, whose gap in a seed is normal with deviation 1: a fixed number of seeds against looks, at several true gaps in
units of that deviation, with and without an error of the images (the same at every look). Then families of four equal models
in the worlds of scripts.calibrate, judged by `significance.judge`, Holm and earlier verdicts included, and a pair that differs by
exactly the margin. The tables go between the markers of docs/statistics.md.

The last designs stop where the decision of the test at 20 seeds can be predicted (Holmes and Walker 2026, arXiv 2602.13872; Koning and
van Meer 2026, JRSS-B): docs/decisions/0021-looks.md says why they are not what `--until decided` does.

Letters: K models, N studies, S seeds, n images, D draws of what is to come.
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
"""True gaps of the pair, in standard deviations over seeds."""
IMAGES = 0.15
"""Standard deviation of the images' error in the designs that have one, in the same unit."""
DECIDED, MOST_10 = Plan().until_decided(), Plan().until_decided(10)
DESIGNS: dict[str, tuple[tuple[int, ...], tuple[float, ...]]] = {
    "20 seeds, one look": ((20,), (0.05,)),
    "looks at 5, 10, 20": (DECIDED.looks, DECIDED.levels),
    "10 seeds, one look": ((10,), (0.05,)),
    "looks at 4, 6, 8, 10": (MOST_10.looks, MOST_10.levels),
    "every seed from 3 to 20 at .05": (tuple(range(3, 21)), (0.05,) * 18),
}
PREDICTED = {f"decision at 20 predicted at {chance:g}": chance for chance in (0.8, 0.9, 0.95)}
"""Designs that stop once the test at 20 seeds will reject with this chance, given a zero gap."""
FIRST, MOST, DRAWS = 5, 20, 400
"""Number of seeds at the first prediction, number of seeds at the predicted end, and draws per prediction."""
FAMILIES = ("seeds dominate", "mixed, seeds more", "mixed, images more", "coin flips")
MARGIN = 0.01


@dataclass(frozen=True)
class Rates:
    """The results of a design at one true gap."""

    found: float
    """Share of studies that call the pair different."""
    seeds: float
    """Mean number of seeds trained."""


def main() -> None:
    """Run the simulation, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--families", type=int, default=1000)
    call = parser.parse_args()
    write("looks", one_pair_table(call.studies))
    write("families", family_table(call.families))


def one_pair(name: str, effect: float, images: float, studies: int) -> Rates:
    """Return the share of studies in which a design finds the difference of one pair, and its mean seeds."""
    generator = stream("looks", str(effect), str(images))
    gaps_NS = effect + generator.standard_normal((studies, MOST))
    gaps_NS += images * generator.standard_normal((studies, 1))
    if name in PREDICTED:
        return by_prediction(gaps_NS, PREDICTED[name], images)
    looks, levels = DESIGNS[name]
    found_N, seeds_N = np.zeros(studies, dtype=bool), np.zeros(studies)
    for seeds, level in zip(looks, levels, strict=True):
        open_N = ~found_N
        seeds_N[open_N] = seeds
        seen_NS = gaps_NS[open_N, :seeds]
        variance_N = seen_NS.var(axis=1, ddof=1) / seeds
        p_N = 2 * mixed_tail(np.abs(seen_NS.mean(axis=1)), [variance_N], [seeds - 1], images**2)
        found_N[open_N] = p_N < level
    return Rates(float(found_N.mean()), float(seeds_N.mean()))


def by_prediction(gaps_NS: NDArray[np.float64], chance: float, images: float) -> Rates:
    """Return the rates of a design that stops once the predicted chance of rejection at the end, given no gap, is high enough.

    Without a gap this chance is a martingale that begins at the level of the test, so it reaches `chance` in at most level / chance
    of the studies; the test therefore has the level .05 * chance. The chance is the mean over draws of the future seeds, given
    the present seeds.
    """
    generator, studies = stream("looks", "predicted", str(images)), len(gaps_NS)
    variance_V = np.geomspace(1e-4, 1e3, 2000)
    mean_V = _smallest_found(variance_V, MOST, 0.05 * chance, images)
    found_N, seeds_N = np.zeros(studies, dtype=bool), np.full(studies, float(MOST))
    for seeds in range(FIRST, MOST):
        open_N = np.flatnonzero(~found_N)
        seen_NS, rest = gaps_NS[open_N, :seeds], MOST - seeds
        mean_N1 = seen_NS.mean(axis=1, keepdims=True)
        squares_N1 = ((seen_NS - mean_N1) ** 2).sum(axis=1, keepdims=True)
        shape = (len(open_N), DRAWS)
        # Unknown: the variance of a seed (prior 1 / variance) and the error of the images.
        if images:
            variance_ND = squares_N1 / generator.chisquare(seeds - 1, shape)
            spread_ND = images**2 + variance_ND / seeds
            weight_ND = np.exp(-(mean_N1**2) / (2 * spread_ND)) / np.sqrt(spread_ND)
            pull_ND = images**2 / spread_ND
            shift_ND = pull_ND * mean_N1 + images * np.sqrt(1 - pull_ND) * generator.standard_normal(shape)
        else:
            variance_ND = (squares_N1 + seeds * mean_N1**2) / generator.chisquare(seeds, shape)
            weight_ND, shift_ND = np.ones(shape), np.zeros(shape)
        coming_ND = shift_ND + np.sqrt(variance_ND / rest) * generator.standard_normal(shape)
        apart_ND = coming_ND - mean_N1
        whole_ND = squares_N1 + seeds * rest / MOST * apart_ND**2
        if rest > 1:
            whole_ND = whole_ND + variance_ND * generator.chisquare(rest - 1, shape)
        means_ND = mean_N1 + rest / MOST * apart_ND
        rejected_ND = np.abs(means_ND) > np.interp(whole_ND / (MOST - 1), variance_V, mean_V)
        stops_N = (weight_ND * rejected_ND).sum(axis=1) >= chance * weight_ND.sum(axis=1)
        found_N[open_N[stops_N]], seeds_N[open_N[stops_N]] = True, seeds
    at_end_N = np.abs(gaps_NS.mean(axis=1)) > np.interp(gaps_NS.var(axis=1, ddof=1), variance_V, mean_V)
    return Rates(float((found_N | at_end_N).mean()), float(seeds_N.mean()))


def _smallest_found(variance_V: NDArray[np.float64], seeds: int, level: float, images: float) -> NDArray[np.float64]:
    """Return the smallest mean gap that the test finds at `level`, for each variance of a seed."""
    low_V, high_V = np.zeros(len(variance_V)), np.full(len(variance_V), 1e4)
    for _ in range(60):
        middle_V = (low_V + high_V) / 2
        found_V = 2 * mixed_tail(middle_V, [variance_V / seeds], [seeds - 1], images**2) < level
        low_V, high_V = np.where(found_V, low_V, middle_V), np.where(found_V, middle_V, high_V)
    return high_V


def one_pair_table(studies: int) -> str:
    """Return one row per design and error of the images: the share found and the seeds, at each true gap."""
    rows = []
    for images in (0.0, IMAGES):
        for name in (*DESIGNS, *PREDICTED):
            found = [one_pair(name, effect, images, studies) for effect in EFFECTS]
            say(f"{name}, images {images}: {found}")
            rows.append([name, f"{images:g}", *(f"{rate(its.found)}, {its.seeds:.1f} seeds" for its in found)])
    return markdown_table(["design", "images", *(f"gap {effect:g}" for effect in EFFECTS)], rows)


def by_looks(answers_KSn: Correct, plan: Plan) -> tuple[NDArray[np.str_], float]:
    """Return the verdict on every pair of models, later minus earlier, and the mean number of seeds per model."""
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
    """Return how often four equal models give a false verdict and a pair at the margin a false "equivalent", and the mean seeds."""
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
    """Return one row per world: false verdicts of six pairs, false equivalence, and seeds, for both schedules."""
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
