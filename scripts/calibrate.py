"""Measures how often the verdicts are wrong: `.venv/bin/python -m scripts.calibrate`, three quarters of an hour on one core.

Studies of models whose true accuracies are known exactly are simulated over a grid of worlds, and judged by
`significance.judge`, which gives the verdicts of every report. The rates go to docs/results/calibration.csv, and their
tables between the markers of docs/statistics.md. `--studies` is the number of simulated studies a world and number of
seeds, `--workers` that of processes.

An answer of model k with seed s to image i is right where

    mu_k + image_i + own_ki + seed_ks + flip_ksi > 0

with normal parts. The accuracy over new seeds and new images is Phi(mu_k / sqrt(sum of variances)), so that mu follows
from the accuracy that is wanted. A seed that collapses guesses among ten classes.

Letters: K models, S seeds, n images.
"""

import argparse
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
from analysis.statistics.two_way import LEAST_SEEDS, Correct, difference
from analysis.wording import markdown_table
from pipeline.console import say

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, RECORD = DOCS / "statistics.md", DOCS / "results" / "calibration.csv"
BEGIN, END = "<!-- {}: begin -->\n", "\n<!-- {}: end -->"

SEEDS = (2, 3, 5, 10, 20)
MODELS = (2, 4, 8)
MARGINS = (0.002, 0.01)
"""True differences at which a pair is called equivalent by mistake."""
COLLAPSES = 0.2
"""Share of seeds that collapse, where any do."""
GUESSING = 0.1
"""Accuracy of a model that collapsed."""
IMAGES = 1000
"""Images of the studies that follow the advice."""
FALSE = ("false_positives", "false_equivalent")
"""What the stamp of a report judges."""


@dataclass(frozen=True)
class World:
    """Where answers come from; deviations in units of that of a single answer's flip."""

    accuracy: float
    images: int
    own: float = 0.0
    """Deviation of a model on an image, the same in every seed."""
    seed: float = 0.0
    """Deviation of a seed of a model."""
    image: float = 1.5
    """Deviation of images, the same for every model."""
    collapse: str = ""
    """Which models collapse in some seeds: `all`, `one` or none."""

    def answers(self, accuracies: list[float], seeds: int, generator: np.random.Generator) -> Correct:
        """Return right answers (K, S, n) of models with these true accuracies."""
        size = (len(accuracies), seeds, self.images)
        deviation = (1 + self.image**2 + self.own**2 + self.seed**2) ** 0.5
        collapses_K = np.array([self.collapse == "all" or (self.collapse == "one" and k == 0) for k in range(size[0])])
        share_K = COLLAPSES * collapses_K
        within_K = (np.array(accuracies) - share_K * GUESSING) / (1 - share_K)  # what the other seeds make up for
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

Case = tuple[str, int, str]
"""Name of the world, seeds, pairing."""


def main() -> None:
    """Simulate, record, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    call = parser.parse_args()
    cases: list[Case] = list(product(WORLDS, SEEDS, ("paired", "unpaired")))
    with ProcessPoolExecutor(call.workers) as pool:
        rows = []
        for row in pool.map(partial(error_rates, studies=call.studies), cases):
            say(", ".join(f"{name} {value}" for name, value in row.items()))
            rows.append(row)
        advice = list(pool.map(partial(advice_rates, studies=call.studies), (3, 5, 10)))
        stamps = list(pool.map(stamp_is_green, range(100)))
    table = pd.DataFrame(rows)
    table.to_csv(RECORD, index=False, float_format="%.4f")
    write_table("worlds", by_world(table))
    write_table("worst", by_seeds(table))
    say(pd.DataFrame(advice).to_string())
    say(f"the stamp is green in {sum(stamps)} of {len(stamps)} studies")


def error_rates(case: Case, *, studies: int) -> dict[str, object]:
    """Return the rates of a world: a false better or worse in a family, a false equivalent, coverage of the interval."""
    name, seeds, pairing = case
    world, generator = WORLDS[name], stream("calibrate", *case)
    accuracies = [world.accuracy] * max(MODELS) + [world.accuracy - margin for margin in MARGINS]
    plans = [Plan(pairing=pairing, margin=margin) for margin in MARGINS]  # type: ignore[arg-type] # one of two words
    wrong, (equal, covered) = np.zeros((studies, len(MODELS))), np.zeros((2, studies, len(MARGINS)))
    for study in range(studies):
        answers_KSn = world.answers(accuracies, seeds, generator)
        for place, models in enumerate(MODELS):
            wrong[study, place] = np.isin(verdicts(answers_KSn[:models], plans[0]), ["better", "worse"]).any()
        for place, (plan, other_Sn) in enumerate(zip(plans, answers_KSn[max(MODELS) :], strict=True)):
            pair_KSn = np.stack([answers_KSn[0], other_Sn])
            equal[study, place] = verdicts(pair_KSn, plan).item() == "equivalent"
            low, high = difference(*pair_KSn, paired=pairing == "paired").interval(0.95)
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


def verdicts(answers_KSn: Correct, plan: Plan) -> NDArray[np.str_]:
    """Return the verdict on every pair of models, the later against the earlier."""
    answers = [(a_Sn, b_Sn) for b_Sn, a_Sn in combinations(answers_KSn, 2)]
    _, found = judge(answers, np.ones(len(answers), dtype=bool), len(answers_KSn), plan)
    return np.asarray(found["verdict"])


def advice_rates(seeds: int, *, studies: int) -> dict[str, object]:
    """Return how often an undecided pair is decided once it follows the advice: seeds added, or images added.

    The true difference is drawn evenly, anew for each study, up to one that these seeds mostly decide.
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
    """Return whether the report of a simulated study of three equal models trusts its own verdicts."""
    world = replace(list(WORLDS.values())[study % len(WORLDS)], images=500)
    seeds, generator = (3, 5, 10)[study % 3], stream("stamp", study)
    answers_KSn = world.answers([world.accuracy] * 3, seeds, generator).astype(np.float32)
    row = rates(answers_KSn, Plan(), stream("stamp", study, "replicates")).iloc[0]
    return "MORE THAN IT SHOULD" not in "".join(judged(row[name], 0.05) for name in FALSE)


def write_table(name: str, text: str) -> None:
    """Replace what stands between the markers of that name."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN.format(name))
    after = rest.split(END.format(name))[1]
    PAGE.write_text(before + BEGIN.format(name) + text + END.format(name) + after, encoding="utf-8")


def by_world(table: pd.DataFrame) -> str:
    """Return the family-wise rate of four models: a row a world and pairing, a column a number of seeds."""
    cells = table.pivot_table("family_wise_4", ["world", "pairing"], "seeds", sort=False)
    seeds = [count for count in SEEDS if count >= LEAST_SEEDS and count in cells]
    rows = [[*names, *(shown_rate(line[count]) for count in seeds)] for names, line in cells.iterrows()]  # type: ignore[misc]
    return markdown_table(["world", "pairing", *(f"{count} seeds" for count in seeds)], rows)


def by_seeds(table: pd.DataFrame) -> str:
    """Return the worst rates over all worlds but that where one model collapses, a row a number of seeds."""
    worst = (
        table[table["world"] != "one model collapses"]
        .groupby("seeds")
        .agg({**{f"family_wise_{models}": "max" for models in MODELS}, "false_equivalent": "max", "coverage": "min"})
    )
    rows = [[seeds, *(shown_rate(value) for value in line)] for seeds, line in worst.iterrows()]
    header = ["seeds", *(f"{models} models" for models in MODELS), "false equivalent", "coverage"]
    return markdown_table(header, rows)


def shown_rate(value: float) -> str:
    """Return a rate as '.050'."""
    return f"{value:.3f}".removeprefix("0")


if __name__ == "__main__":
    main()
