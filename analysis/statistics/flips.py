"""Flips: predictions that become right or wrong if one run replaces another, and their number between seeds of one model.

Letters: S seeds of one model, n test sequences, C classes.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Answers = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Flips:
    """The change of the prediction for each test sequence."""

    righted: NDArray[np.bool_]
    """(n,): wrong before, right after."""
    wronged: NDArray[np.bool_]
    """(n,): right before, wrong after."""
    changed: NDArray[np.bool_]
    """(n,): a different class after than before; this includes flips, and one wrong class instead of another."""

    @property
    def count(self) -> int:
        """Number of predictions that become right or wrong."""
        return int(self.righted.sum() + self.wronged.sum())

    @property
    def net(self) -> int:
        """Number of right predictions after minus before."""
        return int(self.righted.sum()) - int(self.wronged.sum())

    def by_class(self, labels_n: Answers, classes: int) -> NDArray[np.int64]:
        """Return counts (C, 3) for labels (n,): test sequences of each class, those that become right, and those that become wrong."""
        parts = (np.ones(len(labels_n), dtype=bool), self.righted, self.wronged)
        return np.stack([np.bincount(labels_n[part], minlength=classes) for part in parts], axis=1).astype(np.int64)


def flips(labels_n: Answers, before_n: Answers, after_n: Answers) -> Flips:
    """Compare the predicted classes (n,) of two runs on the same sequences with labels (n,)."""
    right_before, right_after = before_n == labels_n, after_n == labels_n
    return Flips(~right_before & right_after, right_before & ~right_after, before_n != after_n)


def churn(labels_n: Answers, predicted_Sn: Answers) -> NDArray[np.int64]:
    """Return the number of flips between two seeds, for each of the S (S - 1) / 2 pairs, from predictions (S, n); empty for one seed.

    It is the noise floor of a change of models: as many flips result from training the same model again.
    """
    pairs = combinations(predicted_Sn, 2)
    return np.array([flips(labels_n, a_n, b_n).count for a_n, b_n in pairs], dtype=np.int64)
