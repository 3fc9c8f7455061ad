"""What new trainings of a model will score on new images, given some trainings that were scored on some.

With p_i the mean over the S seeds of the answers to image i (right is 1), a_s the accuracy of seed s on the n images, and var
the sample variance (ddof 1):

- one run varies by s2 = var(a_s), at least by what single answers flip: f / n with f = mean_i var_s
- images vary by b2 = var(p_i with 1 and 0 appended) - f / S, at least 0: two made-up images, because n images that are
  all right do not prove that all are

The mean of R new runs on m new images differs from the mean of the S runs by an error of variance

    s2 / S + (s2 - f / n) / R  estimated from the seeds, with S - 1 degrees of freedom
    b2 (1 / n + 1 / m) + f / (R m)  taken as known

in the form of the headline test (`two_way`). On the very same images the part of the images falls away.

Letters: S seeds, n images.
"""

from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.statistics.two_way import Correct, TwoWay


@dataclass(frozen=True)
class Spread:
    """The accuracy of one model, and how far it varies over seeds and over images."""

    mean: float
    seeds: int
    images: int
    over_seeds: float
    """Variance of one run's accuracy on these images."""
    over_images: float
    """Variance over images of the chance that a new run is right."""
    flips: float
    """Mean variance over seeds of a single answer."""

    @classmethod
    def of(cls, correct_Sn: Correct, gain_S: NDArray[np.float64] | float = 0.0) -> "Spread":
        """Measure it from which answers (S, n) were right; at least two seeds.

        `gain_S` is added to the accuracy of each seed: by how much another epoch would have scored higher.
        """
        seeds, images = correct_Sn.shape
        score_S = correct_Sn.mean(axis=1) + gain_S
        flips = float(correct_Sn.var(axis=0, ddof=1).mean())
        padded = np.concatenate([correct_Sn.mean(axis=0), [1.0, 0.0]])
        return cls(
            mean=float(score_S.mean()),
            seeds=seeds,
            images=images,
            over_seeds=max(float(score_S.var(ddof=1)), flips / images),
            over_images=max(float(padded.var(ddof=1)) - flips / seeds, 0.0),
            flips=flips,
        )

    def prediction(self, runs: int, images: int | None, seeds: int = 0) -> TwoWay:
        """Return the mean accuracy of new runs, with its error, on so many new images; None: on the very same ones.

        `seeds` is how many trainings it would rest on, if the variances are the true ones; by default those it does.
        """
        seeds = seeds or self.seeds
        shared = self.over_seeds / seeds + (self.over_seeds - self.flips / self.images) / runs
        known = self.flips / ((images or self.images) * runs)
        known += self.over_images * (1 / self.images + 1 / images) if images else 0.0
        return TwoWay(self.mean, sqrt(shared + known), seeds - 1, (shared,), (seeds - 1,), known)

    def p(self, accuracy: float, runs: int, images: int | None, seeds: int = 0) -> float:
        """Return how often new runs score as far from the mean as `accuracy`, on either side."""
        return min(1.0, 2 * self.prediction(runs, images, seeds).tail(abs(accuracy - self.mean)))

    def seeds_to_exclude(self, accuracy: float, runs: int, images: int, *, alpha: float, most: int) -> float:
        """Return from how many seeds on `accuracy` would have p < alpha, if mean and variances are the true ones.

        inf where more than `most` are needed, NaN where no number is enough: the new runs themselves vary so far.
        """
        for seeds in range(self.seeds, most + 1):
            if self.p(accuracy, runs, images, seeds) < alpha:
                return float(seeds)
        without_end = self.prediction(runs, images)
        least = without_end.se**2 - self.over_seeds / self.seeds
        p = 2 * float(special.ndtr(-abs(accuracy - self.mean) / sqrt(least)))
        return inf if p < alpha else float("nan")
