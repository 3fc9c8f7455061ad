"""Calibration of the verdicts on the study's own data: the rate of false verdicts without a difference, and the power.

- The answers of all models are decomposed into the mean of a model, and effects of images, of seeds, and of single answers.
  A replicate drops the means and permutes the models at random: the image effects per image (all seeds together), the rest
  per image and per seed. This removes the difference of the models and keeps their variation.
- The effects of seeds are drawn from a normal distribution with their observed variance: with three seeds, the models of a pair
  can be swapped in only four different ways, which are too few to estimate an error rate.
- Permuting whole answers instead would mix the effects: the mean and the image effects would then count as seed noise, and a rate
  of .04 would appear as .01 (simulated).
- If the primary metric is a mean over classes, the effects are those within each class; the shift of a seed is drawn with
  the variance of that mean, and is the same in each class.
- A planted difference makes wrong answers of a model of the first declared pair right, in every seed, on random images.
- Replicates are judged by `significance.judge`, with the study's own test, family and Holm correction.

Letters: K models, S seeds, n images.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.analyses.pairs import pairs
from analysis.analyses.significance import judge, judge_differences
from analysis.findings import Finding
from analysis.plan import Plan
from analysis.results import Results
from analysis.statistics.randomness import stream
from analysis.statistics.two_way import LEAST_SEEDS, WHOLE, Real, Strata, difference
from analysis.wording import listing, plural

REPLICATES = 200
PLANTED = (1, 2, 5)
"""Planted differences, in margins."""


def calibration(results: Results) -> Finding:
    """Measure false verdicts and power on the study's own predictions."""
    plan, title = results.plan, "Calibration of the verdicts on this study"
    answers_KSn = answers(results)
    models, seeds, images = answers_KSn.shape
    declared = np.array([pair.declared for pair in pairs(results)], dtype=bool)
    if not declared.any() or seeds < LEAST_SEEDS:
        needed = f"two models with {LEAST_SEEDS} seeds" + (" in common" if plan.pairing == "paired" else " each")
        needed += ", and a declared pair." if plan.family == "pairs" else "."
        stamp = f"The verdicts were not calibrated: that needs {needed}"
        return Finding("calibration", title, stamp, data={"stamp": stamp})
    table = rates(answers_KSn, plan, stream("calibration", models, seeds, images), results.strata, declared)
    stamp = _stamp(table.iloc[0], plan)
    if plan.looks:
        stamp += f" It is of one look at that level, at the {seeds} seeds that all models have."
    return Finding(
        name="calibration",
        title=title,
        summary=(
            f"{stamp}\n\nEach of {REPLICATES} replicates removes the mean differences, permutes the models on random sequences "
            "and in random seeds, draws the shifts of seeds from a normal distribution with their variance, and gives verdicts "
            "as for the study itself: same test, same pairs, same correction. For power, right answers are added to one model. "
            "It cannot see what it assumes: a seed that lies far from its model's others (a collapse), runs or sequences that "
            "are copies of each other, and sequences unlike those that the models will meet."
        ),
        tables={"calibration": table},
        listed=(),
        data={"stamp": stamp, "replicates": REPLICATES, "false_positives": float(table["false_positives"].iloc[0])},
    )


def answers(results: Results) -> Real:
    """Return which answers were right (K, S, n), the reference first: the common seeds if paired, else the same number of seeds each."""
    names = results.reference_first
    if results.plan.pairing == "paired":
        shared = [seed for seed in results.seeds(names[0]) if all(seed in results.seeds(model) for model in names)]
        rows = [[results.seeds(model).index(seed) for seed in shared] for model in names]
    else:
        rows = [list(range(min(len(results.seeds(model)) for model in names)))] * len(names)
    return np.stack([results.correct[model][row] for model, row in zip(names, rows, strict=True)]).astype(np.float32)


def rates(
    answers_KSn: Real,
    plan: Plan,
    generator: np.random.Generator,
    strata: Strata = WHOLE,
    declared: NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """Return one row: the shares of replicates with a false verdict, and those in which a planted difference is found.

    `declared` says which pairs are declared, in the order of `pairs`, by default all; the difference is planted in the first of them.
    `false_positives`: any declared pair is called better or worse. `false_equivalent`: a pair that differs by exactly the margin
    is called equivalent. `power_k`: a pair that differs by k margins is called better.
    """
    (models, seeds, images), paired = answers_KSn.shape, plan.pairing == "paired"
    index = [(a, b) for b in range(models) for a in range(b + 1, models)]
    if declared is None:
        declared = np.ones(len(index), dtype=bool)
    chosen = int(declared.argmax())
    better = index[chosen][0]
    sizes = [0.0, *(times * plan.margin for times in PLANTED)]
    verdicts = np.empty((REPLICATES, len(sizes), len(index)), dtype=object)
    for replicate in range(REPLICATES):
        null_KSn = permuted(answers_KSn, generator, paired=paired, strata=strata)
        places_n = generator.random(images)
        gaps, found = judge([(null_KSn[a], null_KSn[b]) for a, b in index], declared, models, plan, strata)
        verdicts[replicate, 0] = found["verdict"]
        for place, size in enumerate(sizes[1:], start=1):
            planted_KSn = null_KSn.copy()
            planted_KSn[better] += places_n < size
            # All differences are those of the replicate, except those of the model with the planted difference.
            moved = [
                difference(planted_KSn[a], planted_KSn[b], paired=paired, strata=strata) if better in (a, b) else gap
                for (a, b), gap in zip(index, gaps, strict=True)
            ]
            verdicts[replicate, place] = judge_differences(moved, declared, models, plan)["verdict"]
    wrong = np.isin(verdicts[:, 0, declared].astype(str), ["better", "worse"]).any(axis=1)
    row = {
        "models": models,
        "pairs": int(declared.sum()),
        "seeds": seeds,
        "replicates": REPLICATES,
        "false_positives": float(wrong.mean()),
        "false_equivalent": float((verdicts[:, 1, chosen] == "equivalent").mean()),
    }
    for place, times in enumerate(PLANTED, start=1):
        row |= {
            f"planted_{times}": sizes[place],
            f"power_{times}": float((verdicts[:, place, chosen] == "better").mean()),
        }
    return pd.DataFrame([row])


def permuted(answers_KSn: Real, generator: np.random.Generator, *, paired: bool, strata: Strata = WHOLE) -> Real:
    """Return a replicate (K, S, n) without a difference between the models, as described in the module's docstring."""
    models, seeds, images = answers_KSn.shape
    rest_KSn, image_Kn, shifts = np.empty_like(answers_KSn), np.empty_like(answers_KSn[:, 0]), []
    for stratum in strata:
        centred_KSn = answers_KSn[..., stratum] - answers_KSn[..., stratum].mean(axis=(1, 2), keepdims=True)
        own_Kn, seed_KS = centred_KSn.mean(axis=1), centred_KSn.mean(axis=2)
        rest_KSn[..., stratum] = centred_KSn - own_Kn[:, None] - seed_KS[..., None]
        image_Kn[:, stratum] = own_Kn
        shifts.append(seed_KS)
    seed_KS = np.mean(shifts, axis=0)
    every_n = np.arange(images)
    order_Kn = generator.permuted(np.tile(np.arange(models)[:, None], images), axis=0)
    found_KSn = np.empty_like(answers_KSn)
    for seed in range(seeds):
        found_KSn[:, seed] = rest_KSn[:, seed][generator.permutation(models)[order_Kn], every_n]
    found_KSn += image_Kn[order_Kn, every_n][:, None]
    deviation = _seed_deviation(seed_KS, rest_KSn, paired=paired, strata=strata)
    shifts_KS = generator.normal(scale=deviation, size=seed_KS.shape)
    found_KSn += shifts_KS[..., None]
    return found_KSn


def _seed_deviation(seed_KS: Real, rest_KSn: Real, *, paired: bool, strata: Strata) -> float:
    """Return the standard deviation of a model over seeds, without the part that is due to single answers.

    If paired, effects of a seed that all models share do not change any difference, and are left out.
    """
    models, seeds = seed_KS.shape
    if paired:
        seed_KS, rest_KSn = seed_KS - seed_KS.mean(axis=0), rest_KSn - rest_KSn.mean(axis=0)
    free = (models - paired) * (seeds - 1)
    of_seeds, of_answers = np.square(seed_KS, dtype=float).sum() / free, 0.0
    for stratum in strata:
        inside_KSn = rest_KSn[..., stratum]
        of_answers += np.square(inside_KSn, dtype=float).sum() / free / inside_KSn.shape[2] ** 2
    return float(np.sqrt(max(of_seeds - of_answers / len(strata) ** 2, 0.0)))


def _stamp(row: pd.Series, plan: Plan) -> str:
    powers = [f"{100 * row[f'planted_{times}']:g} points in {100 * row[f'power_{times}']:.0f} %" for times in PLANTED]
    return (
        f"Calibration on this study's own predictions: without any difference, {plural(int(row['pairs']), 'declared pair')} "
        f"give a false better or worse in {100 * row['false_positives']:.1f} % of {REPLICATES} replicates, "
        f"{judged(row['false_positives'], plan.alpha)}; a pair that differs by the margin exactly is called equivalent in "
        f"{100 * row['false_equivalent']:.1f} %, {judged(row['false_equivalent'], plan.alpha)}; "
        f"a planted difference is found of {listing(powers)}."
    )


def judged(rate: float, alpha: float) -> str:
    """Return an assessment of a rate of false verdicts in words."""
    error = (alpha * (1 - alpha) / REPLICATES) ** 0.5
    holds = (
        "no more than chance allows" if rate <= alpha + 3 * error else "MORE THAN IT SHOULD: do not trust the verdicts"
    )
    return f"{holds} (nominal {100 * alpha:g} %, three standard errors {300 * error:.1f})"
