"""Sizes of a difference beside points and Hedges' g, and a Bayesian reading of it in closed form.

Letters: S seeds.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.two_way import Estimate


class Posterior(NamedTuple):
    """Probabilities that sum to 1."""

    better: float
    """Of a difference above the margin."""
    within: float
    """Of one inside it."""
    worse: float
    """Of one below minus the margin."""


def posterior(gap: Estimate, margin: float) -> Posterior:
    """Return where the true difference lies, under a flat prior: the error of the estimate around it.

    Source: the Bayesian t-test of Benavoli et al. 2017 (JMLR 18(77)), without its correction for cross-validation.
    Differs from it: the error may be that of the two-way test, which is a posterior too.
    """
    better, worse = gap.tail(margin - gap.value), gap.tail(margin + gap.value)
    return Posterior(better, 1 - better - worse, worse)


def cohens_dz(gap_S: NDArray[np.number]) -> float:
    """Return the mean paired difference in its own standard deviations; NaN for fewer than two."""
    if len(gap_S) < 2:  # noqa: PLR2004  a variance needs two values
        return float("nan")
    if np.ptp(gap_S) == 0:
        return 0.0 if gap_S[0] == 0 else float(np.copysign(np.inf, gap_S[0]))
    return float(gap_S.mean() / gap_S.std(ddof=1))


def probability_of_improvement(a_S: NDArray[np.number], b_S: NDArray[np.number]) -> float:
    """Return how often a run of a beats a run of b, ties half: Vargha and Delaney's A12. NaN without runs."""
    if not min(len(a_S), len(b_S)):
        return float("nan")
    gap_SS = np.subtract.outer(a_S, b_S)
    return float(((gap_SS > 0) + 0.5 * (gap_SS == 0)).mean())
