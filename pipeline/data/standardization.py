"""Standardisation of features: each feature minus its mean, divided by its standard deviation, both over the training split.

A feature that is constant in the training split becomes 0 everywhere, because a model cannot learn anything from it.

Letters: N events, F features.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from pipeline.data.scratch import BLOCK


@dataclass(frozen=True)
class Standardization:
    """The mean and the standard deviation of each feature in the training split."""

    means: tuple[float, ...]
    deviations: tuple[float, ...]
    """Standard deviation of each feature (F,); 0 for a constant feature."""

    @classmethod
    def of(cls, features: Tensor) -> Self:
        """Return the standardisation by the features (N, F) of a training split."""
        blocks = [block.double() for block in features.split(BLOCK)]
        total = len(features)
        means = torch.stack([block.sum(0) for block in blocks]).sum(0) / total
        squares = torch.stack([(block - means).square().sum(0) for block in blocks]).sum(0)
        constant = features.amin(0) == features.amax(0)
        return cls(tuple(means.tolist()), tuple((squares / total).sqrt().masked_fill(constant, 0).tolist()))

    def shifted(self, offsets: ArrayLike) -> Self:
        """Return the standardisation of features to which `offsets` (F,) were added."""
        return type(self)(tuple((np.asarray(self.means) + np.asarray(offsets)).tolist()), self.deviations)

    def apply(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return the standardised form of features (N, F)."""
        deviations = np.asarray(self.deviations)
        centred = np.asarray(values, dtype=np.float64) - np.asarray(self.means)
        standard: NDArray[np.float64] = np.divide(centred, deviations, out=np.zeros_like(centred), where=deviations > 0)
        return standard

    def undo(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return the original form of standardised features (N, F); a constant feature becomes its mean."""
        given: NDArray[np.float64] = np.asarray(values, np.float64) * np.asarray(self.deviations) + np.asarray(
            self.means
        )
        return given

    def apply_to(self, features: Tensor) -> None:
        """Standardise features (N, F) in place."""
        for block in features.split(BLOCK):
            block.copy_(torch.from_numpy(self.apply(block.numpy())))
