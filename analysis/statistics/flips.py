"""Flips: answers that turn right or wrong where one run takes the place of another, and how many do so by the seed alone.

Letters: S seeds of one model, n test sequences, C classes.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Answers = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Flips:
    """What becomes of the answer to each test sequence."""

    righted: NDArray[np.bool_]
    """(n,) wrong before, right after."""
    wronged: NDArray[np.bool_]
    """(n,) right before, wrong after."""
    changed: NDArray[np.bool_]
    """(n,) another answer after than before; that of a flip is one, and so is one wrong answer for another."""

    @property
    def count(self) -> int:
        """How many answers turn right or wrong."""
        return int(self.righted.sum() + self.wronged.sum())

    @property
    def net(self) -> int:
        """How many more answers are right after than before."""
        return int(self.righted.sum()) - int(self.wronged.sum())

    def by_class(self, labels_n: Answers, classes: int) -> NDArray[np.int64]:
        """Return (C, 3) counts: test sequences of each class, those that turn right, and those that turn wrong."""
        parts = (np.ones(len(labels_n), dtype=bool), self.righted, self.wronged)
        return np.stack([np.bincount(labels_n[part], minlength=classes) for part in parts], axis=1).astype(np.int64)


def flips(labels_n: Answers, before_n: Answers, after_n: Answers) -> Flips:
    """Compare the predicted classes of two runs on the same sequences."""
    right_before, right_after = before_n == labels_n, after_n == labels_n
    return Flips(~right_before & right_after, right_before & ~right_after, before_n != after_n)


def churn(labels_n: Answers, predicted_Sn: Answers) -> NDArray[np.int64]:
    """Return how many answers turn right or wrong between two seeds, for each of the S (S - 1) / 2 pairs; none for one seed.

    It is the floor of noise of a change of models: so many flips come from training the same model again.
    """
    pairs = combinations(predicted_Sn, 2)
    return np.array([flips(labels_n, a_n, b_n).count for a_n, b_n in pairs], dtype=np.int64)
