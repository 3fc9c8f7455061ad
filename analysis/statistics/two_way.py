"""The headline test: a difference of accuracies over re-trained models and new images at once.

With a_s, b_s the accuracies of seed s and d_i the mean difference on image i over the seeds, the variance of the
difference is the sum of parts, each a sample variance (ddof 1) over its count:

- unpaired: var(a)/S_A + var(b)/S_B + var(d)/n
- paired (streams shared by design): var(a - b)/S + var(d)/n

and the degrees of freedom are Satterthwaite's. Sums are taken over whole numbers of correct answers, so that a
variance that is zero is exactly zero.

Letters: S seeds, n images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, lgamma, log, nan, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Correct = NDArray[np.bool_]


@dataclass(frozen=True)
class Part:
    """One part of a squared standard error."""

    variance: float
    """Sample variance, ddof 1."""
    count: int
    """Number of values it was taken over, at least 2."""


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error and degrees of freedom; all but the value are NaN when they cannot be had."""

    value: float
    se: float
    df: float

    @property
    def t(self) -> float:
        """Value in standard errors."""
        if self.se == 0:
            return 0.0 if self.value == 0 else float(np.copysign(inf, self.value))
        return self.value / self.se

    @property
    def p(self) -> float:
        """Two-sided p of the value against zero."""
        return float(2 * stats.t.sf(abs(self.t), self.df))

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
        if self.se == 0:
            return 0.0 if room > 0 else 1.0
        return float(stats.t.sf(room / self.se, self.df))


def estimate(value: float, parts: Sequence[Part]) -> Estimate:
    """Return `value` with the standard error that the parts add up to."""
    if any(part.count < 2 for part in parts):  # noqa: PLR2004  a variance needs two values
        return Estimate(value, nan, nan)
    shares = [part.variance / part.count for part in parts]
    total = sum(shares)
    if total == 0:
        return Estimate(value, 0.0, inf)
    df = total**2 / sum(share**2 / (part.count - 1) for share, part in zip(shares, parts, strict=True))
    return Estimate(value, sqrt(total), df)


def satterthwaite(
    *parts: tuple[NDArray[np.float64], NDArray[np.float64] | int],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return standard errors and degrees of freedom of many estimates: each part is (variance, count)."""
    shares = [variance / count for variance, count in parts]
    total = np.sum(shares, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 where nothing varies at all
        df = total**2 / np.sum(
            [share**2 / (count - 1) for share, (_, count) in zip(shares, parts, strict=True)], axis=0
        )
    return np.sqrt(total), np.where(total > 0, df, inf)


def accuracy(correct_Sn: Correct) -> Estimate:
    """Estimate the accuracy of one model from which answers were correct."""
    seeds, images = correct_Sn.shape
    right_S, right_n = correct_Sn.sum(axis=1), correct_Sn.sum(axis=0)
    parts = [Part(_variance(right_S, images), seeds), Part(_variance(right_n, seeds), images)]
    return estimate(int(right_S.sum()) / (seeds * images), parts)


def difference(a_Sn: Correct, b_Sn: Correct, *, paired: bool) -> Estimate:
    """Estimate the accuracy of a minus that of b; paired needs the same seeds in the same order."""
    (seeds_a, images), (seeds_b, _) = a_Sn.shape, b_Sn.shape
    right_a, right_b = a_Sn.sum(axis=1), b_Sn.sum(axis=1)
    scaled_n = a_Sn.sum(axis=0) * seeds_b - b_Sn.sum(axis=0) * seeds_a
    over_images = Part(_variance(scaled_n, seeds_a * seeds_b), images)
    if paired:
        over_seeds = [Part(_variance(right_a - right_b, images), seeds_a)]
    else:
        over_seeds = [Part(_variance(right_a, images), seeds_a), Part(_variance(right_b, images), seeds_b)]
    return estimate(int(scaled_n.sum()) / (seeds_a * seeds_b * images), [*over_seeds, over_images])


def hedges_g(a_S: NDArray[np.number], b_S: NDArray[np.number]) -> float:
    """Return the gap of two samples' means in pooled standard deviations, times J(df) against its bias.

    It does not depend on the unit, so whole numbers of correct answers serve as well as accuracies, and keep a zero
    variance exactly zero. NaN for fewer than two values each.
    """
    if min(len(a_S), len(b_S)) < 2:  # noqa: PLR2004  a variance needs two values
        return nan
    df = len(a_S) + len(b_S) - 2
    gap = float(a_S.mean() - b_S.mean())
    squares = float(a_S.var() * len(a_S) + b_S.var() * len(b_S))
    if squares == 0:
        return 0.0 if gap == 0 else float(np.copysign(inf, gap))
    correction = exp(lgamma(df / 2) - log(sqrt(df / 2)) - lgamma((df - 1) / 2))
    return gap / sqrt(squares / df) * correction


def holm(p: NDArray[np.float64], family: int = 0) -> NDArray[np.float64]:
    """Return Holm's adjusted p of one family; a NaN counts as 1 and stays NaN.

    `family` is the number of hypotheses that were declared, where more were than there are p: the others count as 1.
    """
    count = max(family, len(p))
    order = np.argsort(np.nan_to_num(p, nan=1.0), kind="stable")
    adjusted = np.empty(len(p))
    steps = np.nan_to_num(p, nan=1.0)[order] * (count - np.arange(len(p)))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return np.where(np.isnan(p), np.nan, adjusted)


def _variance(counts: NDArray[np.int64], scale: int) -> float:
    return float(np.var(counts, ddof=1)) / scale**2 if len(counts) > 1 else nan
