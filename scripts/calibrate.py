"""Measures how often the verdicts are wrong: `.venv/bin/python -m scripts.calibrate`, three quarters of an hour on one core.

Studies of models whose true accuracies are known exactly are simulated over a grid of worlds, and judged by
`significance.judge`, which gives the verdicts of every report. The rates go to docs/results/calibration.csv, and their
tables between the markers of docs/statistics.md. `--studies` is the number of simulated studies a world and number of
seeds, `--workers` that of processes, and `--unequal` simulates the studies with unequal classes alone, in a few minutes:
their rates go to docs/results/calibration_unequal.csv.

An answer of model k with seed s to image i is right where

    mu_k + image_i + own_ki + seed_ks + flip_ksi > 0

with normal parts. The accuracy over new seeds and new images is Phi(mu_k / sqrt(sum of variances)), so that mu follows
from the accuracy that is wanted. A seed that collapses guesses among ten classes.

Letters: K models, S seeds, n images.
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, product
from math import inf
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from analysis.analyses.calibration import judged, rates
from analysis.analyses.significance import judge
from analysis.plan import Plan
from analysis.statistics.outlook import MOST_IMAGES_FACTOR, MOST_SEEDS, outlook
from analysis.statistics.randomness import stream
from analysis.statistics.rates import rate_interval
from analysis.statistics.two_way import LEAST_SEEDS, WHOLE, Correct, Strata, difference
from analysis.wording import markdown_table
from pipeline.console import say

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, RECORD = DOCS / "statistics.md", DOCS / "results" / "calibration.csv"
UNEQUAL_RECORD = RECORD.with_name("calibration_unequal.csv")
BEGIN, END = "<!-- {}: begin -->\n", "\n<!-- {}: end -->"

SEEDS = (2, 3, 5, 10, 20)
MODELS = (2, 4, 8)
MARGINS = (0.002, 0.01)
"""True differences at which the verdict "equivalent" is an error."""
COLLAPSES = 0.2
"""Share of seeds that collapse, in worlds where seeds collapse."""
GUESSING = 0.1
"""Accuracy of a model that collapsed."""
IMAGES = 1000
"""Number of images of the studies that follow the advice."""
FALSE = ("false_positives", "false_equivalent")
"""The rates that the stamp of a report judges."""


@dataclass(frozen=True)
class World:
    """A simulated data set: standard deviations in units of the deviation of a single answer's flip."""

    accuracy: float
    images: int
    own: float = 0.0
    """Standard deviation of a model's effect on an image, the same in every seed."""
    seed: float = 0.0
    """Standard deviation of a seed's effect, per model."""
    image: float = 1.5
    """Standard deviation of an image's effect, the same for every model."""
    collapse: str = ""
    """Which models collapse in some seeds: `all`, `one` or "" (none)."""

    @property
    def strata(self) -> Strata:
        """The strata of images over whose accuracies the mean is taken."""
        return WHOLE

    def answers(self, accuracies: list[float], seeds: int, generator: np.random.Generator) -> Correct:
        """Return the correct answers (K, S, n), bool, of models with these true accuracies."""
        size = (len(accuracies), seeds, self.images)
        deviation = (1 + self.image**2 + self.own**2 + self.seed**2) ** 0.5
        collapses_K = np.array([self.collapse == "all" or (self.collapse == "one" and k == 0) for k in range(size[0])])
        share_K = COLLAPSES * collapses_K
        within_K = (np.array(accuracies) - share_K * GUESSING) / (1 - share_K)  # the other seeds compensate
        level_Kn = (
            deviation * stats.norm.ppf(within_K)[:, None]
            + self.image * generator.standard_normal(self.images)
            + self.own * generator.standard_normal(size[::2])
        )
        level_KS = self.seed * generator.standard_normal(size[:2])
        flips_KSn = generator.standard_normal(size, dtype=np.float32)
        right_KSn: Correct = flips_KSn > -(level_Kn[:, None] + level_KS[..., None])
        collapsed_KS = generator.random(size[:2]) < share_K[:, None]
        right_KSn[collapsed_KS] = generator.random((collapsed_KS.sum(), self.images)) < GUESSING
        return right_KSn


@dataclass(frozen=True)
class Unequal:
    """A world of two classes; its accuracies are balanced."""

    frequent: World
    rare: World
    trade: float = 0.0
    """By how much the accuracy of every second model is higher on the rare class and lower on the frequent class."""

    @property
    def accuracy(self) -> float:
        """The mean accuracy over classes."""
        return (self.frequent.accuracy + self.rare.accuracy) / 2

    @property
    def strata(self) -> Strata:
        """The images of each class."""
        return slice(self.frequent.images), slice(self.frequent.images, None)

    def answers(self, accuracies: list[float], seeds: int, generator: np.random.Generator) -> Correct:
        """Return the correct answers (K, S, n), bool, of models with these true balanced accuracies."""
        found = []
        for part, sign in ((self.frequent, -1), (self.rare, 1)):
            own_K = [part.accuracy - self.accuracy + sign * self.trade * (k % 2) for k in range(len(accuracies))]
            found.append(part.answers(list(np.add(accuracies, own_K)), seeds, generator))
        return np.concatenate(found, axis=2)


WORLDS = {
    "seeds dominate": World(0.9, 2000, seed=0.3),
    "images dominate": World(0.9, 500, own=1.0, seed=0.02),
    "mixed, seeds more": World(0.9, 1000, own=0.7, seed=0.15),
    "mixed, images more": World(0.9, 1000, own=1.0, seed=0.08),
    "coin flips": World(0.9, 2000),
    "near the ceiling": World(0.995, 500, own=0.7, seed=0.15),
    "nearer, 128 images": World(0.998, 128, own=0.7, seed=0.15),
    "10,000 images": World(0.97, 10_000, own=0.7, seed=0.04),
    "all models collapse": World(0.75, 1000, own=0.7, seed=0.15, collapse="all"),
    "one model collapses": World(0.75, 1000, own=0.7, seed=0.15, collapse="one"),
}

UNEQUAL = {
    f"19 to 1, {name}": Unequal(World(0.97, 475, **varies), World(0.8, 25, **varies), trade)
    for name, varies, trade in (
        ("seeds dominate", {"seed": 0.3}, 0.0),
        ("images dominate", {"own": 1.0, "seed": 0.02}, 0.0),
        ("mixed", {"own": 0.7, "seed": 0.15}, 0.0),
        ("coin flips", {}, 0.0),
        ("a trade between the classes", {"own": 0.7, "seed": 0.15}, 0.02),
    )
}
UNEQUAL_SEEDS = 5

Case = tuple[str, int, str]
"""Name of the world, seeds, pairing."""


def main() -> None:
    """Run the simulation, record the rates, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--unequal", action="store_true")
    call = parser.parse_args()
    cases: list[Case] = list(product(WORLDS, SEEDS, ("paired", "unpaired")))
    unequal: list[Case] = list(product(UNEQUAL, (UNEQUAL_SEEDS,), ("paired", "unpaired")))
    with ProcessPoolExecutor(call.workers) as pool:
        table = _simulated(pool, unequal_rates, unequal, call.studies)
        table.to_csv(UNEQUAL_RECORD, index=False, float_format="%.4f")
        write("unequal", of_unequal(table))
        if call.unequal:
            return
        table = _simulated(pool, error_rates, cases, call.studies)
        advice = list(pool.map(partial(advice_rates, studies=call.studies), (3, 5, 10)))
        stamps = list(pool.map(stamp_is_green, range(100)))
    table.to_csv(RECORD, index=False, float_format="%.4f")
    write("worlds", by_world(table))
    write("worst", by_seeds(table))
    say(pd.DataFrame(advice).to_string())
    say(f"the stamp is green in {sum(stamps)} of {len(stamps)} studies")


def _simulated(
    pool: ProcessPoolExecutor, rates_of: Callable[..., dict[str, object]], cases: list[Case], studies: int
) -> pd.DataFrame:
    """Return one row per case; print each as soon as it is done."""
    rows = []
    for row in pool.map(partial(rates_of, studies=studies), cases):
        say(", ".join(f"{name} {value}" for name, value in row.items()))
        rows.append(row)
    return pd.DataFrame(rows)


def error_rates(case: Case, *, studies: int) -> dict[str, object]:
    """Return the rates of a world: false better or worse per family, false equivalence, and coverage of the interval."""
    name, seeds, pairing = case
    world, generator = (WORLDS | UNEQUAL)[name], stream("calibrate", *case)
    accuracies = [world.accuracy] * max(MODELS) + [world.accuracy - margin for margin in MARGINS]
    plans = [Plan(pairing=pairing, margin=margin) for margin in MARGINS]  # type: ignore[arg-type] # one of two words
    wrong, (equal, covered) = np.zeros((studies, len(MODELS))), np.zeros((2, studies, len(MARGINS)))
    for study in range(studies):
        answers_KSn = world.answers(accuracies, seeds, generator)
        for place, models in enumerate(MODELS):
            found = verdicts(answers_KSn[:models], plans[0], world.strata)
            wrong[study, place] = np.isin(found, ["better", "worse"]).any()
        for place, (plan, other_Sn) in enumerate(zip(plans, answers_KSn[max(MODELS) :], strict=True)):
            pair_KSn = np.stack([answers_KSn[0], other_Sn])
            equal[study, place] = verdicts(pair_KSn, plan, world.strata).item() == "equivalent"
            low, high = difference(*pair_KSn, paired=pairing == "paired", strata=world.strata).interval(0.95)
            covered[study, place] = low <= plan.margin <= high
    family_wise = {f"family_wise_{models}": float(wrong[:, place].mean()) for place, models in enumerate(MODELS)}
    return {
        "world": name,
        "pairing": pairing,
        "seeds": seeds,
        "studies": studies,
        **family_wise,
        "false_equivalent": float(equal.mean(axis=0).max()),
        "coverage": float(covered.mean(axis=0).min()),
    }


def unequal_rates(case: Case, *, studies: int) -> dict[str, object]:
    """Return the rates of a world with unequal classes, and how often a model's own interval covers its balanced accuracy."""
    name, seeds, _ = case
    world, generator, held = UNEQUAL[name], stream("interval", *case), 0
    for _ in range(studies):
        [answers_Sn] = world.answers([world.accuracy], seeds, generator)
        _, low, high = rate_interval(answers_Sn, 0.95, world.strata)
        held += low <= world.accuracy <= high
    return {**error_rates(case, studies=studies), "coverage_of_a_model": held / studies}


def verdicts(answers_KSn: Correct, plan: Plan, strata: Strata = WHOLE) -> NDArray[np.str_]:
    """Return the verdict on every pair of models, later minus earlier."""
    answers = [(a_Sn, b_Sn) for b_Sn, a_Sn in combinations(answers_KSn, 2)]
    _, found = judge(answers, np.ones(len(answers), dtype=bool), len(answers_KSn), plan, strata)
    return np.asarray(found["verdict"])


def advice_rates(seeds: int, *, studies: int) -> dict[str, object]:
    """Return how often an undecided pair is decided after it follows the advice: more seeds, or more images.

    The true difference is drawn from a uniform distribution for each study, up to a difference that these seeds decide mostly.
    """
    generator, plan, row = stream("advice", seeds), Plan(), dict[str, object](seeds=seeds, studies=studies)
    more = {"seeds": (MOST_SEEDS, IMAGES), "images": (seeds, IMAGES * MOST_IMAGES_FACTOR)}
    for kind, (most_seeds, most_images) in more.items():
        world, decided = World(0.9, most_images, own=0.7, seed=0.15), list[bool]()
        for _ in range(studies):
            gap = generator.uniform(0, 0.25 / seeds)
            answers_KSn = world.answers([0.9 + gap / 2, 0.9 - gap / 2], most_seeds, generator)
            study_KSn = answers_KSn[:, :seeds, :IMAGES]
            if verdicts(study_KSn, plan).item() == "undecided":
                needed = outlook(*study_KSn, paired=True, alpha=plan.alpha, margin=plan.margin)
                enough = {"seeds": (needed.seeds, IMAGES), "images": (seeds, needed.images)}[kind]
                if max(enough) < inf:
                    larger_KSn = answers_KSn[:, : int(enough[0]), : int(enough[1])]
                    decided.append(verdicts(larger_KSn, plan).item() != "undecided")
        row |= {f"advised_{kind}": len(decided), f"decided_{kind}": float(np.mean(decided))}
    return row


def stamp_is_green(study: int) -> bool:
    """Return whether the stamp in the report of a simulated study of three equal models is green."""
    world = replace(list(WORLDS.values())[study % len(WORLDS)], images=500)
    seeds, generator = (3, 5, 10)[study % 3], stream("stamp", study)
    answers_KSn = world.answers([world.accuracy] * 3, seeds, generator).astype(np.float32)
    row = rates(answers_KSn, Plan(), stream("stamp", study, "replicates")).iloc[0]
    return "MORE THAN IT SHOULD" not in "".join(judged(row[name], 0.05) for name in FALSE)


def write(name: str, text: str) -> None:
    """Replace the text between the markers of that name."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN.format(name))
    after = rest.split(END.format(name))[1]
    PAGE.write_text(before + BEGIN.format(name) + text + END.format(name) + after, encoding="utf-8")


def by_world(table: pd.DataFrame) -> str:
    """Return the family-wise rate of four models: one row per world and pairing, one column per number of seeds."""
    cells = table.pivot_table("family_wise_4", ["world", "pairing"], "seeds", sort=False)
    seeds = [count for count in SEEDS if count >= LEAST_SEEDS and count in cells]
    rows = [[*names, *(rate(line[count]) for count in seeds)] for names, line in cells.iterrows()]  # type: ignore[misc]
    return markdown_table(["world", "pairing", *(f"{count} seeds" for count in seeds)], rows)


def by_seeds(table: pd.DataFrame) -> str:
    """Return the worst rates over all worlds except that where one model collapses, one row per number of seeds."""
    worst = (
        table[table["world"] != "one model collapses"]
        .groupby("seeds")
        .agg({**{f"family_wise_{models}": "max" for models in MODELS}, "false_equivalent": "max", "coverage": "min"})
    )
    rows = [[seeds, *(rate(value) for value in line)] for seeds, line in worst.iterrows()]
    header = ["seeds", *(f"{models} models" for models in MODELS), "false equivalent", "coverage"]
    return markdown_table(header, rows)


def of_unequal(table: pd.DataFrame) -> str:
    """Return the rates of the worlds with unequal classes, one row per world and pairing."""
    shown = {
        **{f"family_wise_{models}": f"false, {models} models" for models in MODELS},
        "false_equivalent": "false equivalent",
        "coverage": "coverage, difference",
        "coverage_of_a_model": "coverage, one model",
    }
    rows = [[line["world"], line["pairing"], *(rate(line[name]) for name in shown)] for _, line in table.iterrows()]
    return markdown_table(["world", "pairing", *shown.values()], rows)


def rate(value: float) -> str:
    """Return a rate in [0, 1] without its leading zero."""
    return f"{value:.3f}".removeprefix("0")


if __name__ == "__main__":
    main()
