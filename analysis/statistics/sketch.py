"""A sketch of a sample in some hundred numbers: counts of values at cut points, for comparison with a later sample.

Letters: K cut points, n values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, nan
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

LEVELS = np.union1d(np.arange(61) / 60, (0.001, 0.005, 0.995, 0.999))
"""Quantile levels of the cut points: sixtieths, which include twentieths and quartiles, and the tails."""
CUTS = len(LEVELS)
"""Most cut points."""


@dataclass(frozen=True, eq=False)
class Sketch:
    """Exact counts at and just below the cut points, which are values of the sample, including its smallest and its largest.

    A sample of up to CUTS distinct values is represented exactly.
    """

    cuts: NDArray[np.float32]
    """Cut points: distinct values of the sample, ascending (K,)."""
    counts: NDArray[np.int64]
    """Number of values at or below each cut point (K,)."""
    below: NDArray[np.int64]
    """Number of values below each cut point (K,)."""

    @classmethod
    def of(cls, values_n: NDArray[Any]) -> Self:
        """Return the sketch of a sample (n,); NaNs are ignored, and the order does not matter."""
        values = np.sort(values_n.astype(np.float32))
        values = values[: int(np.count_nonzero(~np.isnan(values)))]
        cuts = np.unique(values)
        if len(cuts) > CUTS:
            cuts = np.unique(np.quantile(values, LEVELS, method="inverted_cdf")).astype(np.float32)
        return cls(cuts, *(np.searchsorted(values, cuts, side=side) for side in ("right", "left")))

    @classmethod
    def from_json(cls, told: Mapping[str, Sequence[float]]) -> Self:
        """Return the sketch that `to_json` returned."""
        counts, below = (np.array(told[name], dtype=np.int64) for name in ("counts", "below"))
        return cls(np.array(told["cuts"], dtype=np.float32), counts, below)

    def to_json(self) -> dict[str, list[float]]:
        """Return lists for JSON, with as many digits as float32 has."""
        cuts = [float(str(cut)) for cut in self.cuts]
        return {"cuts": cuts, "counts": self.counts.tolist(), "below": self.below.tolist()}

    @property
    def size(self) -> int:
        """Number of values of the sample, n."""
        return int(self.counts[-1]) if len(self.counts) else 0

    def shares(self, values: NDArray[np.float64], side: Literal["left", "right"]) -> NDArray[np.float64]:
        """Return the share of the sample, in [0, 1], below (`left`) or at or below (`right`) each of `values`.

        Shares are exact at the cut points and linearly interpolated between them. The sample must not be empty.
        """
        last = len(self.cuts) - 1
        place = np.searchsorted(self.cuts, values, side=side) - 1
        low, high = place.clip(0, last), (place + 1).clip(0, last)
        width = np.where(high > low, self.cuts[high] - self.cuts[low].astype(np.float64), 1)
        part = np.where(high > low, (values - self.cuts[low]) / width, 0)
        between = self.counts[low] + part * (self.below[high] - self.counts[low])
        return np.where(place < 0, 0.0, between / self.size)

    def quantile(self, at: float) -> float:
        """Return the smallest cut point at which at least the share `at` of the sample is reached; NaN for an empty sample."""
        if not self.size:
            return nan
        return float(self.cuts[np.searchsorted(self.counts, ceil(at * self.size - 1e-9))])

    def reached(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Return the number of values of another sample, without NaNs, at or below each cut point (K,)."""
        return np.searchsorted(np.sort(values.astype(np.float32)), self.cuts, side="right")
