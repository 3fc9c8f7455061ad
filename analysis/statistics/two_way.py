"""The headline test: a difference of accuracies, generalised over re-trained models and new images at the same time.

It has the form of the Behrens-Fisher problem. The error of a difference is a sum of independent errors: one over seeds, whose
variance is estimated from few seeds and keeps its own degrees of freedom, and one over images, whose variance is taken as known
because there are many images. Let g_si in {-1, 0, 1} be the gap of a pair on image i in seed s, gap_s its mean over the n images,
and d_i its mean over the S seeds:

- seeds: Vs = var(gap_s) / S with S - 1 degrees of freedom if pairs share their streams by design; otherwise two parts,
  var(a_s) / S_A with S_A - 1 and var(b_s) / S_B with S_B - 1, so that the models may have different seeds
- coin flips: Ve = mean_i var_s(g_si) / (S n), which is already part of the variance over seeds; unpaired, the sum over both models
- images: B = max(Vi - Ve, 0) with Vi = var(d_i with +1 and -1 appended) / (n + 2): two made-up images are added, because n images
  without a difference do not prove that there is none (by analogy with the plus-four rule of Agresti and Coull 1998)

p is the mean of 2 Phi(-|gap| / sqrt V) over V = B + Vs (S - 1) / chi^2, chi^2 distributed with S - 1 degrees of freedom;
unpaired over B + Va (S_A - 1) / chi_a^2 + Vb (S_B - 1) / chi_b^2 with independent chi_a and chi_b. It is the fiducial solution of
Behrens 1929 and Fisher 1935, and also the Bayesian posterior under Jeffreys' prior, with one part known: Student's t for
B = 0, the normal test for Vs = 0. The means are computed by Gaussian quadrature over chi, which, unlike plain quantiles of chi^2,
is also accurate in the tails that Holm's levels need.

The accuracy of one model has the same two errors. Other estimates of this package (means over seeds) use Student's t, with
Satterthwaite's degrees of freedom if they have two parts. Sums are taken over whole numbers of correct answers, so that a
variance of zero is exactly zero.

Balanced accuracy is the mean over K strata, the classes, of the accuracy within each. Both errors are those of that mean:

- seeds: gap_s is the mean over the strata, in which an answer to one of n_k images counts n / (K n_k)
- images: B = max(sum_k (V_k - E_k) / K^2, 0) with V_k and E_k as Vi and Ve above over the images of stratum k, each with two
  made-up images of its own, because 25 images without a difference prove less than 475

With one stratum, `WHOLE`, this equals the form above, bit for bit. The accuracy of one model has no made-up images, because
Wilson's interval (`rates`) has a width without them; over several strata it has one right and one wrong image in each.

Letters: S seeds, n images, K nodes or strata.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, inf, lgamma, log, nan, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

Correct = NDArray[np.bool_]
Real = NDArray[np.floating]

Strata = Sequence[slice | NDArray[np.intp]]
"""Positions of the images of each stratum among all n; no stratum may be empty."""
WHOLE: Strata = (slice(None),)
"""All images as one stratum: the mean over the strata is the accuracy."""

LEAST_SEEDS = 3
"""Fewest seeds of each model for a verdict on a pair: with two, the variance over seeds has only one degree of freedom."""
_NODES = 64


@dataclass(frozen=True)
class Part:
    """One part of a squared standard error."""

    variance: float
    """Sample variance, ddof 1."""
    count: int
    """Number of values behind the variance, at least 2."""


@dataclass(frozen=True)
class Estimate:
    """A value with a Student's t error; `se` and `df` are NaN if they cannot be estimated."""

    value: float
    se: float
    df: float

    @property
    def t(self) -> float:
        """The value in standard errors."""
        if self.se == 0:
            return 0.0 if self.value == 0 else float(np.copysign(inf, self.value))
        return self.value / self.se

    @property
    def p(self) -> float:
        """Two-sided p of the hypothesis that the true value is zero."""
        if self.value == 0 and not np.isnan(self.se):
            return 1.0
        return 2 * self.tail(abs(self.value))

    def tail(self, size: float) -> float:
        """Return the probability of an error above `size`."""
        if self.se == 0:
            return float(np.heaviside(-size, 0.5))
        return float(stats.t.sf(size / self.se, self.df))

    def interval(self, level: float) -> tuple[float, float]:
        """Return the two-sided interval at `level`."""
        half = self.half_width(level)
        return self.value - half, self.value + half

    def half_width(self, level: float) -> float:
        """Return half the length of the two-sided interval at `level`."""
        return 0.0 if self.se == 0 else float(stats.t.ppf((1 + level) / 2, self.df)) * self.se

    def p_equivalent(self, margin: float) -> float:
        """Return the p of two one-sided tests that the value lies within `margin` of zero."""
        room = margin - abs(self.value)
        return 1.0 if room == 0 else self.tail(room)


@dataclass(frozen=True)
class TwoWay(Estimate):
    """A value with an estimated error over seeds and a known error over images; `df` is the smallest of `seed_df`."""

    over_seeds: tuple[float, ...]
    """Squared standard error of each part that is estimated from seeds."""
    seed_df: tuple[int, ...]
    """Degrees of freedom of each part that is estimated from seeds."""
    over_images: float
    """Squared standard error of the images."""

    def tail(self, size: float) -> float:
        """Return the probability of an error above `size`."""
        if self.se == 0 or np.isnan(self.se):
            return super().tail(size)
        return float(mixed_tail(np.array(size), self.over_seeds, self.seed_df, self.over_images))

    def half_width(self, level: float) -> float:
        """Return half the length of the two-sided interval at `level`, which is consistent with `p`."""
        if self.se == 0 or np.isnan(self.se):
            return self.se
        high = self.se
        while self.tail(high) > (1 - level) / 2:
            high *= 2
        found = optimize.brentq(lambda size: self.tail(size) - (1 - level) / 2, 0, high, xtol=1e-14 * high, rtol=1e-14)
        return float(found)


def mixed_tail(
    size: Real, over_seeds: Sequence[float | Real], seed_df: Sequence[float], over_images: float | Real
) -> NDArray[np.float64]:
    """Return the probability of an error above `size`: that of a normal error, averaged over the uncertain variances over seeds.

    All arguments except `seed_df` broadcast; the variance must not be zero.
    """
    scales_KP, weights_K = _nodes(tuple(seed_df))
    variance = np.asarray(over_images, dtype=float)[..., None]
    for share, scale_K in zip(over_seeds, scales_KP.T, strict=True):
        variance = variance + np.asarray(share, dtype=float)[..., None] * scale_K
    tails: NDArray[np.float64] = special.ndtr(-np.asarray(size)[..., None] / np.sqrt(variance)) @ weights_K
    return tails


@cache
def _nodes(seed_df: tuple[float, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes (K, parts) of df / chi^2 and their weights (K,): the product of Gauss-Legendre rules over each chi.

    The integrand is smooth in chi, and chi has a standard deviation of at most 0.71 around at most sqrt(df).
    """
    points, weights = np.polynomial.legendre.leggauss(_NODES)
    scales, chances = [], []
    for df in seed_df:
        low, high = max(0.0, sqrt(df) - 9), sqrt(df) + 9
        place_K = (points + 1) / 2
        chi_K = low + (high - low) * place_K**2  # denser near zero, where the variance is unbounded
        chance_K = weights * place_K * stats.chi.pdf(chi_K, df)
        scales.append(df / chi_K**2)
        chances.append(chance_K / chance_K.sum())
    grids = np.meshgrid(*scales, indexing="ij")
    products = np.prod(np.meshgrid(*chances, indexing="ij"), axis=0)
    return np.stack([grid.ravel() for grid in grids], axis=1), products.ravel()


def estimate(value: float, parts: Sequence[Part]) -> Estimate:
    """Return `value` with the standard error of the sum of the parts, and Satterthwaite's degrees of freedom."""
    if any(part.count < 2 for part in parts):  # noqa: PLR2004  a variance needs two values
        return Estimate(value, nan, nan)
    shares = [part.variance / part.count for part in parts]
    total = sum(shares)
    if total == 0:
        return Estimate(value, 0.0, inf)
    df = total**2 / sum(share**2 / (part.count - 1) for share, part in zip(shares, parts, strict=True))
    return Estimate(value, sqrt(total), df)


def by_class(labels_n: NDArray[np.integer]) -> Strata:
    """Return a stratum for each class that occurs in labels (n,): the mean over them is the balanced accuracy, or mean recall."""
    return [np.flatnonzero(labels_n == name) for name in np.unique(labels_n)]


def weights(strata: Strata, images: int) -> list[float]:
    """Return the weight of an answer in each stratum, n / (K n_k), which is 1 if the strata are equally large."""
    every_n = np.arange(images)
    return [images / (len(strata) * len(every_n[stratum])) for stratum in strata]


def scores(answers_Sn: NDArray[Any], strata: Strata = WHOLE) -> NDArray[np.float64]:
    """Return the accuracy of each seed (S,) from answers (S, n), as the mean over the strata."""
    return np.asarray(np.mean([answers_Sn[:, stratum].mean(axis=1) for stratum in strata], axis=0))


def totals(answers_Sn: Correct | Real, strata: Strata = WHOLE) -> Real:
    """Return n times the scores (S,): whole numbers for one stratum, and exactly equal for seeds with equal scores."""
    shares = zip(strata, weights(strata, answers_Sn.shape[1]), strict=True)
    return np.asarray(sum(answers_Sn[:, stratum].sum(axis=1) * weight for stratum, weight in shares))


def accuracy(correct_Sn: Correct, strata: Strata = WHOLE) -> TwoWay:
    """Estimate the accuracy of one model in [0, 1], as the mean over the strata, from right answers (S, n)."""
    seeds = len(correct_Sn)
    rates, of_images = list[float](), 0.0
    for stratum in strata:
        right_n = correct_Sn[:, stratum].sum(axis=0)
        rates.append(int(right_n.sum()) / (seeds * len(right_n)))
        counted = right_n if len(strata) == 1 else np.concatenate([right_n, [0, seeds]])
        of_images += _variance(counted, seeds) / len(counted)
    return _two_way(sum(rates) / len(strata), [correct_Sn], of_images, strata)


def difference(a_Sn: Correct | Real, b_Sn: Correct | Real, *, paired: bool, strata: Strata = WHOLE) -> TwoWay:
    """Estimate the accuracy of a minus that of b, from answers (S_A, n) and (S_B, n): the headline test.

    With `paired`, both need the same seeds in the same order; otherwise every seed of each model counts, shared or not. With
    several strata, the difference is that of the mean accuracy over the strata.
    """
    seeds_a, seeds_b = len(a_Sn), len(b_Sn)
    scale = seeds_a * seeds_b
    scaled_n = a_Sn.sum(axis=0) * seeds_b - b_Sn.sum(axis=0) * seeds_a
    groups = [np.subtract(a_Sn, b_Sn, dtype=np.result_type(a_Sn, np.int8))] if paired else [a_Sn, b_Sn]
    if not scale:
        return _two_way(nan, groups, nan, strata)
    gaps, of_images = list[float](), 0.0
    for stratum in strata:
        inside_n = scaled_n[stratum]
        padded = np.concatenate([inside_n, [scale, -scale]])
        gaps.append(float(inside_n.sum()) / (scale * len(inside_n)))
        of_images += _variance(padded, scale) / len(padded)
    return _two_way(sum(gaps) / len(strata), groups, of_images, strata)


def _two_way(value: float, groups: Sequence[Correct | Real], of_images: float, strata: Strata) -> TwoWay:
    """Return `value` with the errors of its groups of answers (S, n).

    `of_images` is the squared standard error over images, summed over the strata, which still includes the coin flips of answers.
    """
    seed_df = tuple(len(group_Sn) - 1 for group_Sn in groups)
    if min(seed_df) < 1:
        return TwoWay(value, nan, nan, (nan,) * len(groups), seed_df, nan)
    over_seeds = tuple(_variance(totals(group_Sn, strata), group_Sn.shape[1]) / len(group_Sn) for group_Sn in groups)
    flips = sum(_flips(group_Sn[:, stratum]) for group_Sn in groups for stratum in strata)
    over_images = max((of_images - flips) / len(strata) ** 2, 0.0)
    return TwoWay(value, sqrt(sum(over_seeds) + over_images), min(seed_df), over_seeds, seed_df, over_images)


def _flips(values_Sn: Correct | Real) -> float:
    """Return the part of the squared standard error that belongs to single answers: mean_i var_s / (S n)."""
    seeds, images = values_Sn.shape
    squares = float(np.square(values_Sn).sum(dtype=float))
    between = float(np.square(values_Sn.sum(axis=0, dtype=float)).sum()) / seeds
    return float(max(squares - between, 0.0) / ((seeds - 1) * images * seeds * images))


def hedges_g(a_S: NDArray[np.number], b_S: NDArray[np.number]) -> float:
    """Return Hedges' g: the difference of the means of (S_A,) and (S_B,) in pooled standard deviations, bias-corrected by J(df).

    It does not depend on the unit, so `totals` can be used instead of accuracies, and keep a zero variance exactly zero. NaN for
    fewer than two values each. Source: Hedges 1981, "Distribution theory for Glass's estimator of effect size".
    """
    if min(len(a_S), len(b_S)) < 2:  # noqa: PLR2004  a variance needs two values
        return nan
    df = len(a_S) + len(b_S) - 2
    gap = float(a_S.mean() - b_S.mean())
    squares = float(_spread(a_S, 0) * len(a_S) + _spread(b_S, 0) * len(b_S))
    if squares == 0:
        return 0.0 if gap == 0 else float(np.copysign(inf, gap))
    correction = exp(lgamma(df / 2) - log(sqrt(df / 2)) - lgamma((df - 1) / 2))
    return gap / sqrt(squares / df) * correction


def holm(p: NDArray[np.float64], family: int = 0) -> NDArray[np.float64]:
    """Return the adjusted p-values (m,) of one family by Holm's procedure; a NaN counts as 1 and stays NaN.

    `family` is the number of declared hypotheses, if there are more than p-values: the others count as 1. Source: Holm 1979, "A
    simple sequentially rejective multiple test procedure".
    """
    count = max(family, len(p))
    order = np.argsort(np.nan_to_num(p, nan=1.0), kind="stable")
    adjusted = np.empty(len(p))
    steps = np.nan_to_num(p, nan=1.0)[order] * (count - np.arange(len(p)))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return np.where(np.isnan(p), np.nan, adjusted)


def _variance(counts: NDArray[np.number], scale: int) -> float:
    return _spread(counts, 1) / scale**2 if len(counts) > 1 else nan


def _spread(values: NDArray[np.number], ddof: int) -> float:
    """Return the variance; it is exactly zero if all values are equal, although their mean may be rounded."""
    return float(np.var(values, ddof=ddof)) if values.min() < values.max() else 0.0
