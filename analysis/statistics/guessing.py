"""A test of whether predictions are better than guessing: models that have learned nothing agree, but prove no equivalence.

Letters: K classes, n sequences.
"""

import numpy as np
from numpy.typing import NDArray

LEAST_DEVIATIONS = 1.645
"""Standard errors by which an accuracy must exceed guessing: the one-sided 5 % quantile of a normal distribution."""


def beats_guessing(labels_n: NDArray[np.int64], predicted_n: NDArray[np.int64]) -> bool:
    """Return whether the mean recall over the classes that occur is above that of predictions that ignore the input.

    Takes labels (n,) and predicted classes (n,). Predictions that do not depend on the class have a mean recall of 1/K, however
    unequal the classes are. Its variance is sum_k p_k (1 - p_k) / n_k / K^2, where p_k is the share of predictions of class k and
    n_k the number of sequences of that class.
    """
    classes, labels_n = np.unique(labels_n, return_inverse=True)
    named_n = np.searchsorted(classes, predicted_n).clip(max=len(classes) - 1)
    named_n = np.where(classes[named_n] == predicted_n, named_n, len(classes))  # a class that does not occur
    count_K = np.bincount(labels_n, minlength=len(classes))
    right_K = np.bincount(labels_n[labels_n == named_n], minlength=len(classes))
    named_K = np.bincount(named_n, minlength=len(classes))[: len(classes)] / len(labels_n)
    variance = (named_K * (1 - named_K) / count_K).sum() / len(classes) ** 2
    above = (right_K / count_K).mean() - 1 / len(classes)
    return bool(above > LEAST_DEVIATIONS * np.sqrt(variance))
