"""Prediction of the accuracy of new trainings of a model on new images, from some trainings on some images.

Let p_i be the mean over the S seeds of the answers to image i (right is 1), a_s the accuracy of seed s on the n images, and var
the sample variance (ddof 1):

- the variance of one run is s2 = var(a_s), at least that of flips of single answers: f / n with f = mean_i var_s
- the variance over images is b2 = var(p_i with 1 and 0 appended) - f / S, at least 0: two made-up images are added, because n
  right answers do not prove that all images are answered correctly

The mean of R new runs on m new images differs from the mean of the S runs by an error of variance

    s2 / S + (s2 - f / n) / R  estimated from the seeds, with S - 1 degrees of freedom
    b2 (1 / n + 1 / m) + f / (R m)  taken as known

in the form of the headline test (`two_way`). On the same images the part of the images is zero.

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
    """The accuracy of one model in [0, 1], and its variances over seeds and over images."""

    mean: float
    seeds: int
    images: int
    over_seeds: float
    """Variance of one run's accuracy on these images."""
    over_images: float
    """Variance over images of the probability that a new run is right."""
    flips: float
    """Mean variance over seeds of a single answer."""

    @classmethod
    def of(cls, correct_Sn: Correct, gain_S: NDArray[np.float64] | float = 0.0) -> "Spread":
        """Return the spread of a model with right answers (S, n), of at least two seeds.

        `gain_S` (S,) is added to the accuracy of each seed: the amount by which another epoch would have scored higher.
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
        """Return the mean accuracy of `runs` new runs, with its error, on `images` new images; None means the same images.

        `seeds` is the number of trainings on which the prediction is based, by default the actual number; for another number, the
        variances are assumed to be the true ones.
        """
        seeds = seeds or self.seeds
        shared = self.over_seeds / seeds + (self.over_seeds - self.flips / self.images) / runs
        known = self.flips / ((images or self.images) * runs)
        known += self.over_images * (1 / self.images + 1 / images) if images else 0.0
        return TwoWay(self.mean, sqrt(shared + known), seeds - 1, (shared,), (seeds - 1,), known)

    def p(self, accuracy: float, runs: int, images: int | None, seeds: int = 0) -> float:
        """Return the two-sided p: the probability that new runs score at least as far from the mean as `accuracy`."""
        return min(1.0, 2 * self.prediction(runs, images, seeds).tail(abs(accuracy - self.mean)))

    def seeds_to_exclude(self, accuracy: float, runs: int, images: int, *, alpha: float, most: int) -> float:
        """Return the number of seeds from which on `accuracy` would have p < alpha, if mean and variances are the true ones.

        inf if more than `most` are needed, NaN if no number is enough, because the new runs themselves vary too much.
        """
        for seeds in range(self.seeds, most + 1):
            if self.p(accuracy, runs, images, seeds) < alpha:
                return float(seeds)
        without_end = self.prediction(runs, images)
        least = without_end.se**2 - self.over_seeds / self.seeds
        p = 2 * float(special.ndtr(-abs(accuracy - self.mean) / sqrt(least)))
        return inf if p < alpha else float("nan")
