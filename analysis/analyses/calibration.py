"""The headline test, tried on this very study: how often it is wrong, and how often it finds a planted difference.

- The differences of a pair are split into the parts of their mean, of each image, of each seed, and of each answer. A
  replicate drops the mean and swaps the two models at random: the image parts per image (all seeds together), the seed
  parts per seed (all images), the rest by both. What made the models differ is gone, what makes them vary is kept.
- Swapping whole answers instead mixes the parts: the mean and the image parts then pass for seed noise, and a rate of
  .04 shows as .01 (simulated).
- A planted difference adds one right answer of the first model, in every seed, on random images.
- Pairs with the reference only; replicates are shared by the pairs.

Letters: R replicates, S seeds, n images, P planted sizes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from analysis.analyses.pairs import Pair, pairs
from analysis.findings import Finding
from analysis.results import Results
from analysis.statistics.randomness import stream
from analysis.statistics.two_way import Correct, satterthwaite
from analysis.wording import listing

REPLICATES = 200
PLANTED = (1, 2, 5)
"""Planted differences, in margins."""

JUDGED_SEEDS = 6
"""Seeds below which the rate is shown without a judgement."""

Real = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Replicates:
    """Random signs and places, the same for every pair."""

    images: Real
    """(R, n): -1 where the models are swapped on an image, else 1."""
    seeds: Real
    """(R, S): -1 where they are swapped in a seed, else 1."""
    other_seeds: Real
    """Likewise, for the second model where seeds are independent."""
    places: Real
    """(R, n), uniform: an effect of size d is planted where they are under d."""


def draw(replicates: int, seeds: int, images: int, generator: np.random.Generator) -> Replicates:
    """Draw the replicates."""

    def signs(count: int) -> Real:
        return 2 * generator.integers(2, size=(replicates, count), dtype=np.int8).astype(np.float32) - 1

    return Replicates(
        images=signs(images),
        seeds=signs(seeds),
        other_seeds=signs(seeds),
        places=generator.random((replicates, images), dtype=np.float32),
    )


def replicate_p(
    a_Sn: Correct, b_Sn: Correct, drawn: Replicates, *, paired: bool, planted: Sequence[float]
) -> NDArray[np.float64]:
    """Return the p of the headline test (P, R), with differences of each size `planted`, on every replicate."""
    seeds, images = a_Sn.shape
    a, b = a_Sn.astype(np.float32), -b_Sn.astype(np.float32)
    groups = [(a + b, drawn.seeds)] if paired else [(a, drawn.seeds), (b, drawn.other_seeds)]
    image_n = (a + b).mean(axis=0) - (a + b).mean()
    total_Rn = np.repeat(seeds * image_n[None], len(drawn.images), axis=0)
    of_seeds_R, over_seeds = np.zeros((len(drawn.images), 1), dtype=np.float32), []
    for values_Sn, all_signs in groups:
        signs_RS = all_signs[:, :seeds]
        seed_S = values_Sn.mean(axis=1) - values_Sn.mean()
        rest_Sn = values_Sn - values_Sn.mean(axis=0) - seed_S[:, None]
        total_Rn += signs_RS @ rest_Sn
        of_seeds_R += (signs_RS @ seed_S)[:, None]
        counts_RS = signs_RS * (images * seed_S + drawn.images @ rest_Sn.T)
        over_seeds.append((counts_RS.var(axis=1, ddof=1, dtype=np.float64) / images**2, seeds))
    total_Rn = total_Rn * drawn.images + of_seeds_R
    return np.array([_p_values(total_Rn + seeds * (drawn.places < size), over_seeds, seeds) for size in planted])


def _p_values(total_Rn: Real, over_seeds: list[tuple[NDArray[np.float64], int]], seeds: int) -> NDArray[np.float64]:
    """Return the p of differences summed over seeds."""
    images = total_Rn.shape[1]
    over_images = total_Rn.var(axis=1, ddof=1, dtype=np.float64) / seeds**2
    se, df = satterthwaite(*over_seeds, (over_images, images))
    gap_R = np.abs(total_Rn.mean(axis=1, dtype=np.float64)) / seeds
    with np.errstate(invalid="ignore", divide="ignore"):
        p: NDArray[np.float64] = 2 * stats.t.sf(np.where(gap_R == 0, 0.0, gap_R / se), df)
    return p


def calibration(results: Results) -> Finding:
    """Measure false positives and power of the headline test on the study's own predictions."""
    plan, title = results.plan, "Calibration of the test on this study"
    tried = [pair for pair in pairs(results) if pair.model_b == results.reference and len(pair.seeds) > 1]
    if not tried:
        stamp = "The test was not calibrated: that needs two models with 2 seeds each."
        return Finding("calibration", title, stamp, data={"stamp": stamp})
    most, images = max(len(pair.seeds) for pair in tried), len(results.test_set.label)
    drawn = draw(REPLICATES, most, images, stream("calibration", most, images))
    table = pd.DataFrame([_row(pair, drawn, results) for pair in tried])
    stamp = _stamp(table, plan.alpha, most)
    return Finding(
        name="calibration",
        title=title,
        summary=(
            f"{stamp}\n\nEach of {REPLICATES} replicates removes the mean difference of a pair and swaps its two models "
            "on random sequences and in random seeds; then the headline test is run on it. For power, right answers are added "
            "to one of them. Pairs with the reference, raw p."
        ),
        tables={"calibration": table},
        data={"stamp": stamp, "replicates": REPLICATES, "false_positives": float(table["false_positives"].mean())},
    )


def _row(pair: Pair, drawn: Replicates, results: Results) -> dict[str, object]:
    plan = results.plan
    sizes = [0.0, *(times * plan.margin for times in PLANTED)]
    p = replicate_p(pair.correct_a, pair.correct_b, drawn, paired=plan.pairing == "paired", planted=sizes)
    false_positives, *powers = (p < plan.alpha).mean(axis=1)
    row: dict[str, object] = {
        "model_a": pair.model_a,
        "model_b": pair.model_b,
        "replicates": REPLICATES,
        "false_positives": float(false_positives),
    }
    for times, size, power in zip(PLANTED, sizes[1:], powers, strict=True):
        row |= {f"planted_{times}": size, f"power_{times}": float(power)}
    return row


def _stamp(table: pd.DataFrame, alpha: float, seeds: int) -> str:
    rates = 100 * table["false_positives"]
    found = f"{rates.mean():.1f} %"
    if len(table) > 1:
        found += f" (by pair {rates.min():.1f} to {rates.max():.1f} %)"
    powers = [
        f"{100 * table[f'planted_{times}'].iloc[0]:g} points in {100 * table[f'power_{times}'].mean():.0f} %"
        for times in PLANTED
    ]
    return (
        f"Calibration on this study's own predictions: without any difference the test finds one in {found} of {REPLICATES} "
        f"replicates, {_judged(rates.mean() / 100, alpha, seeds)}; it finds a planted difference of {listing(powers)}."
    )


def _judged(rate: float, alpha: float, seeds: int) -> str:
    """Return what the rate says. Few seeds can be swapped in few ways, so that the replicates are nearly the same."""
    if seeds < JUDGED_SEEDS:
        return f"at a nominal {100 * alpha:g} % (a rough check: {seeds} seeds can be swapped in {2 ** (seeds - 1)} ways that differ)"
    error = (alpha * (1 - alpha) / min(REPLICATES, 2 ** (seeds - 1))) ** 0.5
    holds = (
        "no more than chance allows" if rate <= alpha + 3 * error else "MORE THAN IT SHOULD: its p are too small here"
    )
    return f"{holds} (nominal {100 * alpha:g} %, three standard errors {300 * error:.1f})"
