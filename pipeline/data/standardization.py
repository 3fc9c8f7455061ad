"""Features in units of their spread: each minus its mean over the training split, over its standard deviation there.

A feature that is constant in the training split becomes 0 everywhere: a model can have learned nothing of it.

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
    """0 of a constant feature."""

    @classmethod
    def of(cls, features: Tensor) -> Self:
        """Return that of the features (N, F) of a training split."""
        blocks = [block.double() for block in features.split(BLOCK)]
        total = len(features)
        means = torch.stack([block.sum(0) for block in blocks]).sum(0) / total
        squares = torch.stack([(block - means).square().sum(0) for block in blocks]).sum(0)
        constant = features.amin(0) == features.amax(0)
        return cls(tuple(means.tolist()), tuple((squares / total).sqrt().masked_fill(constant, 0).tolist()))

    def shifted(self, offsets: ArrayLike) -> Self:
        """Return that of features that are larger by `offsets` (F,)."""
        return type(self)(tuple((np.asarray(self.means) + np.asarray(offsets)).tolist()), self.deviations)

    def apply(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return features (N, F) standardised."""
        deviations = np.asarray(self.deviations)
        centred = np.asarray(values, dtype=np.float64) - np.asarray(self.means)
        standard: NDArray[np.float64] = np.divide(centred, deviations, out=np.zeros_like(centred), where=deviations > 0)
        return standard

    def undo(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return standardised features (N, F) as they were; a constant one is its mean."""
        given: NDArray[np.float64] = np.asarray(values, np.float64) * np.asarray(self.deviations) + np.asarray(
            self.means
        )
        return given

    def apply_to(self, features: Tensor) -> None:
        """Standardise features (N, F) where they are."""
        for block in features.split(BLOCK):
            block.copy_(torch.from_numpy(self.apply(block.numpy())))
