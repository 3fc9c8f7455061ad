"""Simulated error rate of a study that is looked at several times at the same level, for equal models.

Only the variation over seeds is simulated: an error of the images is the same at every look, so more looks do not increase it.
With equal models, Holm's first step decides: an error occurs if some pair has a p below alpha / pairs at some look.

Letters: K models, N studies, S seeds.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import stats

from analysis.statistics.randomness import stream

STUDIES = 10_000
"""Number of simulated studies; a rate of .1 then has a standard error of .003."""


def error_of_looks(
    looks: Sequence[int], models: int, pairs: Sequence[tuple[int, int]], *, alpha: float, paired: bool
) -> float:
    """Return the share of studies, in [0, 1], in which some declared pair is called different at one of the looks.

    `looks` are ascending numbers of seeds, and `pairs` the declared pairs, as numbers of models from 0.
    """
    return _error(tuple(looks), models, tuple(pairs), alpha, paired)


@cache
def _error(
    looks: tuple[int, ...], models: int, pairs: tuple[tuple[int, int], ...], alpha: float, paired: bool
) -> float:
    values_NKS = stream("looks", models, looks[-1]).standard_normal((STUDIES, models, looks[-1]), dtype=np.float32)
    wrong_N = np.zeros(STUDIES, dtype=bool)
    for seeds in looks:
        seen_NKS = values_NKS[..., :seeds]
        mean_NK, variance_NK = seen_NKS.mean(axis=2), seen_NKS.var(axis=2, ddof=1)
        for a, b in pairs:
            gap_N = mean_NK[:, a] - mean_NK[:, b]
            if paired:
                variance_N, df_N = (seen_NKS[:, a] - seen_NKS[:, b]).var(axis=1, ddof=1), seeds - 1
            else:  # Welch's degrees of freedom approximate the two parts
                both_N = variance_NK[:, a] + variance_NK[:, b]
                variance_N = both_N
                df_N = (seeds - 1) * both_N**2 / (variance_NK[:, a] ** 2 + variance_NK[:, b] ** 2)
            p_N = 2 * stats.t.sf(np.abs(gap_N) / np.sqrt(variance_N / seeds), df_N)
            wrong_N |= p_N < alpha / len(pairs)
    return float(wrong_N.mean())
