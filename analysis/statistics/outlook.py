"""Projection of what would decide an undecided pair: more seeds on these images, or more images with these seeds.

The observed variances are split into seed noise, model-by-image interaction, and the noise of one seed on one image,
and the two-way test is projected to other numbers of seeds and images: the probability of a verdict is averaged over the
variances over seeds that such a study may find. The observed difference and variances are assumed to be the true ones. Because
undecided pairs are selected by their observed results, this assumption is optimistic, and the result is only a projection.

Without pairing, the two parts over seeds count as one with Satterthwaite's degrees of freedom. With several strata, more images
mean more of each stratum, in the same shares.

Letters: S seeds, n images, K strata, Q quantiles.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, nan, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from analysis.statistics.detectable import POWER
from analysis.statistics.two_way import LEAST_SEEDS, WHOLE, Correct, Strata, mixed_tail, scores, weights

MOST_SEEDS = 100
MOST_IMAGES_FACTOR = 100
_QUANTILES = (np.arange(15) + 0.5) / 15


@dataclass(frozen=True)
class Outlook:
    """Totals that would decide the pair: inf when none up to the limits would, nan when one value leaves no variance."""

    seeds: float
    images: float


def outlook(
    a_Sn: Correct, b_Sn: Correct, *, paired: bool, alpha: float, margin: float, strata: Strata = WHOLE
) -> Outlook:
    """Return how many seeds, or images, would decide a minus b with 80 % power, from answers (S, n) of each model.

    `alpha` is the level after correction for the family, `margin` that of equivalence in [0, 1] units. With fewer than two seeds or
    images, the answer is two seeds.
    """
    seeds, images = min(len(a_Sn), len(b_Sn)), a_Sn.shape[1]
    if min(seeds, images) < 2:  # noqa: PLR2004  a variance needs two values
        return Outlook(nan, nan)
    groups = [a_Sn.astype(np.int8) - b_Sn] if paired else [a_Sn, b_Sn]
    gap_n = a_Sn.mean(axis=0) - b_Sn.mean(axis=0)
    gap = float(scores(gap_n[None], strata)[0])
    weight_K = weights(strata, images)
    noises = [_mean([group_Sn[:, one].var(axis=0, ddof=1).mean() for one in strata], weight_K) for group_Sn in groups]
    of_seeds = [
        max(0.0, float(scores(group_Sn, strata).var(ddof=1)) - noise / images)
        for group_Sn, noise in zip(groups, noises, strict=True)
    ]
    flips = sum(noise / len(group_Sn) for group_Sn, noise in zip(groups, noises, strict=True))
    varied = [gap_n[one].var(ddof=1) if len(gap_n[one]) > 1 else 0.0 for one in strata]
    of_images = max(0.0, _mean(varied, weight_K) - flips)

    def decided(seeds: float, images: float) -> float:
        shares = [(variance + noise / images) / seeds for variance, noise in zip(of_seeds, noises, strict=True)]
        share = sum(shares)
        df = (seeds - 1) * (share**2 / sum(part**2 for part in shares) if share else 1.0)
        sizes = [images / (len(strata) * weight) for weight in weight_K]
        made_up = sum(2 / ((size + 1) * (size + 2)) for size in sizes) / len(strata) ** 2  # the made-up images
        return chance(abs(gap), share, df, of_images / images + made_up, alpha=alpha, margin=margin)

    # Fewer than LEAST_SEEDS give no verdict, over however many images.
    more_seeds = range(max(seeds + 1, LEAST_SEEDS), max(MOST_SEEDS, seeds + 1) + 1)
    more_images = list(images * np.geomspace(1, MOST_IMAGES_FACTOR, 200)[1:]) if seeds >= LEAST_SEEDS else []
    return Outlook(
        _first(more_seeds, lambda count: decided(count, images)),
        _first(more_images, lambda count: decided(seeds, count)),
    )


def chance(gap: float, over_seeds: float, df: float, over_images: float, *, alpha: float, margin: float) -> float:
    """Return the probability of a verdict, different or equivalent, given the true gap and squared standard errors.

    `over_seeds` has `df` degrees of freedom; `gap` and `margin` have the same unit.
    """
    found_Q = over_seeds * stats.chi2.ppf(_QUANTILES, df) / df
    se = sqrt(over_seeds + over_images)
    different_Q = _critical(found_Q, df, over_images, alpha / 2)
    room_Q = np.maximum(margin - _critical(found_Q, df, over_images, alpha), 0)
    outside_Q = special.ndtr((gap - different_Q) / se) + special.ndtr((-gap - different_Q) / se)
    inside_Q = special.ndtr((room_Q - gap) / se) - special.ndtr((-room_Q - gap) / se)
    return float(np.where(room_Q >= different_Q, 1, outside_Q + inside_Q).mean())


def _mean(values_K: Sequence[float], weight_K: Sequence[float]) -> float:
    """Return the weighted mean over the strata of a variance of one image; divided by n, it is the variance of the mean."""
    return float(sum(value * weight for value, weight in zip(values_K, weight_K, strict=True)) / len(weight_K))


def _critical(over_seeds_Q: NDArray[np.float64], df: float, over_images: float, tail: float) -> NDArray[np.float64]:
    """Return the gap (Q,) whose one-sided p is `tail`, by bisection."""
    low_Q = np.zeros_like(over_seeds_Q)
    high_Q = np.sqrt(over_seeds_Q + over_images) * max(1, 2 * stats.t.isf(tail, df))
    for _ in range(26):
        middle_Q = (low_Q + high_Q) / 2
        above_Q = mixed_tail(middle_Q, [over_seeds_Q], [df], over_images) > tail
        low_Q, high_Q = np.where(above_Q, middle_Q, low_Q), np.where(above_Q, high_Q, middle_Q)
    return np.asarray(high_Q)


def _first(candidates: Sequence[float], chance_of: Callable[[float], float]) -> float:
    """Return the least candidate with the power, by bisection: more of both only helps. Inf where there is none."""
    if not candidates or chance_of(candidates[-1]) < POWER:
        return inf
    low, high = 0, len(candidates) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if chance_of(candidates[middle]) >= POWER else (middle + 1, high)
    return float(candidates[low])
