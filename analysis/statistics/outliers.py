"""Seeds that lie far from the others of their model: trainings that collapsed, which no symmetric test can allow for.

Letters: S seeds.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

FAR = 6.0
"""How many times its yardsticks a seed must lie off to lie far."""
LEAST = 3
"""Seeds of a model from which one of them can lie far from the others."""
TO_DEVIATION = 1.4826
"""Standard deviation of a normal distribution in units of its median absolute deviation."""


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
