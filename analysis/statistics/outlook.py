"""What would decide an undecided pair: more seeds on these images, or more images with these seeds.

The observed variances are split into seed noise, model-by-image interaction, and the noise of one seed on one image,
and the standard error of the two-way test is projected to other numbers of seeds and images. Assumed: the observed
difference and variances hold, and a study should decide with a power of 80 %. With few seeds this is a rough guess.

Letters: S seeds, n images.
"""

from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.statistics.detectable import POWER
from analysis.statistics.two_way import Correct, satterthwaite

MOST_SEEDS = 100
MOST_IMAGES_FACTOR = 100


@dataclass(frozen=True)
class Outlook:
    """Totals that would decide the pair; inf when none up to the limits would."""

    seeds: float
    images: float


def outlook(a_Sn: Correct, b_Sn: Correct, *, paired: bool, alpha: float, margin: float) -> Outlook:
    """Return how many seeds, or images, would settle a minus b at level alpha (already corrected for its family)."""
    seeds, images = a_Sn.shape
    if min(seeds, images) < 2:  # noqa: PLR2004  a variance needs two values
        return Outlook(2, inf)
    gap_Sn = a_Sn.astype(np.int8) - b_Sn.astype(np.int8)
    gap = float(gap_Sn.mean())
    noise_n = gap_Sn.var(axis=0, ddof=1) if paired else a_Sn.var(axis=0, ddof=1) + b_Sn.var(axis=0, ddof=1)
    noise = float(noise_n.mean())
    gap_S = gap_Sn.mean(axis=1)
    of_seeds = (
        float(gap_S.var(ddof=1)) if paired else float(a_Sn.mean(axis=1).var(ddof=1) + b_Sn.mean(axis=1).var(ddof=1))
    )
    seed_variance = max(0.0, of_seeds - noise / images)
    image_variance = max(0.0, float(gap_Sn.mean(axis=0).var(ddof=1)) - noise / seeds)

    def decided(seeds_K: NDArray[np.float64], images_K: NDArray[np.float64]) -> NDArray[np.bool_]:
        over_seeds = (seed_variance + noise / images_K, seeds_K)
        se, df = satterthwaite(over_seeds, (image_variance + noise / seeds_K, images_K))
        spare = stats.t.ppf(POWER, df)
        different = abs(gap) >= (stats.t.ppf(1 - alpha / 2, df) + spare) * se
        equivalent = margin - abs(gap) >= (stats.t.ppf(1 - alpha, df) + spare) * se
        return np.asarray(different | equivalent)

    more_seeds = np.arange(seeds + 1, max(MOST_SEEDS, seeds + 1) + 1, dtype=float)
    more_images = images * np.geomspace(1, MOST_IMAGES_FACTOR, 200)[1:]
    return Outlook(
        _first(more_seeds, decided(more_seeds, np.full_like(more_seeds, images))),
        _first(more_images, decided(np.full_like(more_images, seeds), more_images)),
    )


def _first(candidates: NDArray[np.float64], holds: NDArray[np.bool_]) -> float:
    return float(candidates[holds.argmax()]) if holds.any() else inf
