"""Effect sizes of a difference besides points and Hedges' g, and its Bayesian posterior in closed form.

Letters: S seeds.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.two_way import Estimate


class Posterior(NamedTuple):
    """Posterior probabilities of a difference; they sum to 1."""

    better: float
    """Probability of a difference above the margin."""
    within: float
    """Probability of a difference inside the margin."""
    worse: float
    """Probability of a difference below minus the margin."""


def posterior(gap: Estimate, margin: float) -> Posterior:
    """Return the posterior of the true difference under a flat prior: the error distribution around the estimate.

    Source: the Bayesian t-test of Benavoli et al. 2017 (JMLR 18(77)), without its correction for cross-validation.
    Differs from it: the error may be that of the two-way test, which is also a posterior. `margin` is in the unit of `gap`.
    """
    better, worse = gap.tail(margin - gap.value), gap.tail(margin + gap.value)
    return Posterior(better, 1 - better - worse, worse)


def cohens_dz(gap_S: NDArray[np.number]) -> float:
    """Return Cohen's d_z: the mean of paired differences (S,), divided by their standard deviation (ddof 1).

    NaN for fewer than two differences; infinite for equal differences other than zero. Source: Cohen 1988, "Statistical Power
    Analysis for the Behavioral Sciences".
    """
    if len(gap_S) < 2:  # noqa: PLR2004  a variance needs two values
        return float("nan")
    if np.ptp(gap_S) == 0:
        return 0.0 if gap_S[0] == 0 else float(np.copysign(np.inf, gap_S[0]))
    return float(gap_S.mean() / gap_S.std(ddof=1))


def probability_of_improvement(a_S: NDArray[np.number], b_S: NDArray[np.number]) -> float:
    """Return the share in [0, 1] of pairs of runs in which a has a higher value than b; ties count half. NaN without runs.

    Takes values (S_A,) and (S_B,). Source: the A12 of Vargha and Delaney 2000, "A critique and improvement of the CL common
    language effect size statistics".
    """
    if not min(len(a_S), len(b_S)):
        return float("nan")
    gap_SS = np.subtract.outer(a_S, b_S)
    return float(((gap_SS > 0) + 0.5 * (gap_SS == 0)).mean())
