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
"""Multiple of each yardstick above which the distance of a seed counts as far."""
LEAST = 3
"""Fewest seeds of a model for which a seed can count as far from the others."""
TO_DEVIATION = 1.4826
"""Standard deviation of a normal distribution in units of its median absolute deviation."""
RARE = 0.001
"""How often a repetition may lie farther off than is allowed, where rounding does as much as another seed."""
WIDEST = 0.25
"""Farthest that a repetition may lie off, in accuracy: twice the widest range of five seeds in docs/results/evidence, 0.122."""


def far_seeds(accuracies: Mapping[str, NDArray[np.float64]], images: float) -> dict[str, NDArray[np.bool_]]:
    """Return which seeds are far from the others, {model: (S,)}, from accuracies {model: (S,)} in [0, 1] on `images` images.

    A seed is far if its distance from the median of its model's other seeds is more than `FAR` times each of three yardsticks: the
    usual distance of a run from its model's median over all models (without the nearest run of each model), as a standard
    deviation; the binomial standard deviation of one run; and the median absolute deviation of the model's other seeds, so that
    no seed of a model with generally scattered seeds counts as collapsed.
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
