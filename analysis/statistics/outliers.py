"""Seeds that lie far from the others of their model, trainings that collapsed; and a training that lies far from its repetition.

No symmetric test can allow for the first.

Letters: S seeds.
"""

from collections.abc import Mapping, Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FAR = 6.0
"""How many times its yardsticks a seed must lie off to lie far."""
LEAST = 3
"""Seeds of a model from which one of them can lie far from the others."""
TO_DEVIATION = 1.4826
"""Standard deviation of a normal distribution in units of its median absolute deviation."""
RARE = 0.001
"""How often a repetition may lie farther off than is allowed, where rounding does as much as another seed."""
WIDEST = 0.25
"""Farthest that a repetition may lie off, in accuracy: twice the widest range of five seeds in docs/results/evidence, 0.122."""


def far_seeds(accuracies: Mapping[str, NDArray[np.float64]], images: float) -> dict[str, NDArray[np.bool_]]:
    """Return which seeds lie far, {model: (S,)}, from the accuracies {model: (S,)} on so many images.

    A seed lies far where its distance from the median of its model's other seeds is above `FAR` times each of three
    yardsticks: the usual distance of a run from its model's median, the one nearest to it left out, as a standard
    deviation; the binomial deviation of one run; and the median deviation of the model's other seeds, so that a model
    whose seeds all differ is not said to collapse.
    """
    judged = {model: values_S for model, values_S in accuracies.items() if len(values_S) >= LEAST}
    found = {model: np.zeros(len(values_S), dtype=bool) for model, values_S in accuracies.items()}
    if judged:
        off = [np.sort(np.abs(values_S - np.median(values_S)))[1:] for values_S in judged.values()]
        usual = TO_DEVIATION * float(np.median(np.concatenate(off)))
        found |= {model: _far(values_S, usual, images) for model, values_S in judged.items()}
    return found


def _far(values_S: NDArray[np.float64], usual: float, images: float) -> NDArray[np.bool_]:
    others_SS = np.array([np.delete(values_S, seed) for seed in range(len(values_S))])
    median_S = np.median(others_SS, axis=1)
    deviation_S = np.median(np.abs(others_SS - median_S[:, None]), axis=1)
    binomial_S = np.sqrt(median_S * (1 - median_S) / images)
    far_S: NDArray[np.bool_] = np.abs(values_S - median_S) > FAR * np.maximum(
        usual, np.maximum(binomial_S, deviation_S)
    )
    return far_S


def farthest_repetition(others_S: Sequence[float], accuracy: float, images: int) -> float:
    """Return how far apart the accuracies of a run may lie that was trained twice, with other rounding.

    Training amplifies rounding, at most until the run is like one of another seed. So the bound is that of Student's t,
    two-sided at the level `RARE`, for the difference of two seeds: twice the variance of the model's other seeds (S,), and
    twice the binomial one of `accuracy` on so many images. Few seeds allow anything by that, and `WIDEST` is the limit.
    """
    if len(others_S) < 2:  # noqa: PLR2004 - a variance
        return WIDEST
    deviation = sqrt(2 * (np.var(others_S, ddof=1) + accuracy * (1 - accuracy) / images))
    return min(WIDEST, float(stats.t.ppf(1 - RARE / 2, len(others_S) - 1)) * deviation)
