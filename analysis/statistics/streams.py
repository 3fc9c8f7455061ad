"""The variance over seeds, split by random stream, and the gain of pairing by seed.

The value of a run is the sum of a mean, an effect of the level of each stream, and a rest: interactions of streams, and the noise
of single answers. All are random and normal, and correlated between two models. The L x L runs of a model form a Latin square:
each of the F streams has L levels, and each pair of levels of two streams occurs once. Then, independent of one another,

- the mean square of a stream, L var(means of its levels), has L - 1 degrees of freedom and the expectation V_rest + L V_stream
- the mean square of the rest has L^2 - 1 - F (L - 1) degrees of freedom and the expectation V_rest

An interaction of two streams differs in each run, because no two runs share two levels, so it is part of the rest. A run with a
new level of each stream, which is what a seed is by default, has the sum of the parts as its variance,

    (1 - F / L) mean square of the rest + sum of the mean squares of the streams / L

Intervals are fiducial: each mean square is replaced by draws of the quantity that it estimates, MS df / chi^2 with df degrees of
freedom (for two models, by matrices according to Fisher's distribution of a correlation), and quantiles of the results are taken.
For independent runs without streams, these are the chi^2 interval of a variance and Fisher's interval of the correlation. Source:
Weerahandi 1993 (JASA 88), Burdick, Borror and Montgomery 2005 (generalized intervals of balanced designs).

Letters: R runs, F streams, L levels of each, K models (1 or 2), D draws.
"""

from dataclasses import dataclass
from itertools import combinations
from math import inf, isqrt

import numpy as np
from numpy.typing import NDArray

DRAWS = 10_000
LEVEL = 0.95
ROUNDING = 1e-12
"""A variance of differences below this share of the two variances is taken for zero."""
Real = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Split:
    """The variance over seeds of one model."""

    shares: tuple[Interval, ...]
    """Shares in [0, 1] of each stream, and last of the rest; the shares add up to 1, the ends of their intervals do not."""
    deviation: Interval
    """Standard deviation over seeds that change all streams."""


@dataclass(frozen=True)
class Pairing:
    """The dependence of two models over seeds that change all streams."""

    correlation: Interval
    worth: Interval
    """Seeds that a comparison without pairs needs for each seed of one with pairs; inf where all pairs differ alike."""


def is_square(levels_RF: NDArray[np.integer]) -> bool:
    """Return whether runs with levels (R, F) form a Latin square; runs without streams (F = 0) do not."""
    runs, streams = levels_RF.shape
    count = isqrt(runs)
    if not streams or count**2 != runs:
        return False
    pairs = list(combinations(range(streams), 2)) or [(0, 0)]
    return all(len(np.unique(level_R)) == count for level_R in levels_RF.T) and all(
        len(np.unique(levels_RF[:, pair], axis=0)) == (count if pair == (0, 0) else runs) for pair in pairs
    )


def split(values_R: Real, levels_RF: NDArray[np.integer], generator: np.random.Generator) -> Split:
    """Split the variance of a model's values (R,) by stream; without streams (F = 0) all of it is the rest.

    `levels_RF` (R, F) are the levels of the streams of each run. ValueError if they do not form a Latin square, or if no degree of
    freedom is left for the rest.
    """
    squares, levels = _squares(values_R[:, None], levels_RF), _levels(levels_RF)
    drawn_PD = np.array([_drawn(square_KK, df, generator)[:, 0, 0] for square_KK, df in squares])
    estimated_P1 = np.array([square_KK[0] for square_KK, _ in squares])
    shares_P1, shares_PD = _shares(estimated_P1, levels), _shares(drawn_PD, levels)
    # If no stream matters, draws below 0 must offset those above 0; otherwise the share of the rest could never be 1.
    shares_PD[-1] = np.minimum(_ratio(drawn_PD[-1], _total(drawn_PD, levels)), 1)
    deviations = [np.sqrt(_total(parts, levels)) for parts in (estimated_P1, drawn_PD)]
    return Split(
        shares=tuple(_interval(value, draws_D) for [value], draws_D in zip(shares_P1, shares_PD, strict=True)),
        deviation=_interval(deviations[0][0], deviations[1]),
    )


def pairing(values_R2: Real, levels_RF: NDArray[np.integer], generator: np.random.Generator) -> Pairing:
    """Return the dependence of two models, from values (R, 2) of runs with the same levels (R, F).

    ValueError if the levels do not form a Latin square, or if fewer than two degrees of freedom are left for the rest: without
    streams, at least three runs are needed.
    """
    squares, levels = _squares(values_R2, levels_RF), _levels(levels_RF)
    estimated_KK = _total(np.array([square_KK for square_KK, _ in squares]), levels)
    drawn_DKK = _total(np.array([_drawn(square_KK, df, generator) for square_KK, df in squares]), levels)
    return Pairing(
        correlation=_interval(_correlation(estimated_KK[None])[0], _correlation(drawn_DKK)),
        worth=_worth(estimated_KK, drawn_DKK),
    )


def _levels(levels_RF: NDArray[np.integer]) -> int:
    return isqrt(len(levels_RF))


def _squares(values_RK: Real, levels_RF: NDArray[np.integer]) -> list[tuple[Real, int]]:
    """Return the mean squares and products (K, K) of each stream, and last of the rest, each with its degrees of freedom."""
    runs, streams = levels_RF.shape
    if streams and not is_square(levels_RF):
        raise ValueError(f"levels: must be those of a Latin square, got {runs} runs that are none. Train them all.")
    centred_RK = values_RK - values_RK.mean(axis=0)
    count, found = _levels(levels_RF), []
    left_RK = centred_RK
    for level_R in levels_RF.T:
        means_LK = np.array([centred_RK[level_R == level].mean(axis=0) for level in np.unique(level_R)])
        left_RK = left_RK - means_LK[np.searchsorted(np.unique(level_R), level_R)]
        found.append((count * means_LK.T @ means_LK / (count - 1), count - 1))
    df = runs - 1 - streams * (count - 1)
    if df < values_RK.shape[1]:
        models = values_RK.shape[1]
        raise ValueError(
            f"levels: must leave a degree of freedom for each model, got {df} for {models}. Train more runs."
        )
    return [*found, (left_RK.T @ left_RK / df, df)]


def _drawn(square_KK: Real, df: int, generator: np.random.Generator) -> Real:
    """Draw fiducial matrices (D, K, K) of the quantity that a mean square with these degrees of freedom estimates."""
    size = len(square_KK)
    noise_DKK = np.zeros((DRAWS, size, size))
    for row in range(size):
        noise_DKK[:, row, row] = np.sqrt(generator.chisquare(df - row, DRAWS))
        noise_DKK[:, row, :row] = generator.standard_normal((DRAWS, row))
    root_DKK = _root(df * square_KK) @ np.linalg.inv(noise_DKK)
    return root_DKK @ root_DKK.transpose(0, 2, 1)


def _root(square_KK: Real) -> Real:
    """Return the lower Cholesky factor of a matrix, which may be singular."""
    root_KK = np.zeros_like(square_KK)
    for row in range(len(square_KK)):
        for column in range(row + 1):
            left = square_KK[row, column] - root_KK[row, :column] @ root_KK[column, :column]
            if row == column:
                root_KK[row, row] = np.sqrt(max(left, 0.0))
            elif root_KK[column, column] > 0:
                root_KK[row, column] = left / root_KK[column, column]
    return root_KK


def _total(parts: Real, levels: int) -> Real:
    """Return the variance of a run with new levels of all streams, from the mean squares of the streams and of the rest."""
    *streams, rest = parts
    total: Real = (1 - len(streams) / levels) * rest + sum(streams) / levels
    return total


def _shares(parts_PD: Real, levels: int) -> Real:
    """Return the shares (P, D) of the streams and of the rest, none of them negative."""
    parts_PD = np.vstack([np.maximum(parts_PD[:-1] - parts_PD[-1], 0) / levels, parts_PD[-1:]])
    return _ratio(parts_PD, parts_PD.sum(axis=0))


def _correlation(total_DKK: Real) -> Real:
    return _ratio(total_DKK[:, 0, 1], np.sqrt(total_DKK[:, 0, 0] * total_DKK[:, 1, 1]))


def _worth(estimated_KK: Real, drawn_DKK: Real) -> Interval:
    """Return the worth of pairs as the inverse of the share of the variance that they leave, which may be zero."""
    left = _interval(_left(estimated_KK[None])[0], _left(drawn_DKK))
    value, low, high = (inf if share == 0 else 1 / share for share in (left.value, left.high, left.low))
    return Interval(value, low, high)


def _left(total_DKK: Real) -> Real:
    apart_D = total_DKK[:, 0, 0] + total_DKK[:, 1, 1]
    left_D = _ratio(apart_D - 2 * total_DKK[:, 0, 1], apart_D)
    # Models that move together exactly leave a variance that only rounding keeps from zero, on either side of it.
    return np.where(left_D <= ROUNDING, 0, left_D)


def _ratio(part: Real, whole: Real) -> Real:
    """Return a ratio; NaN if the divisor is not positive, as for runs without variance."""
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def _interval(value: float, drawn_D: Real) -> Interval:
    low, high = np.quantile(drawn_D, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(value), float(low), float(high))
