"""A sample in some hundred numbers: how many of its values some of them reach, for a later sample to be compared with.

Letters: K cut points, n values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, nan
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

LEVELS = np.union1d(np.arange(61) / 60, (0.001, 0.005, 0.995, 0.999))
"""Shares of the sample that the cut points reach: sixtieths, so that twentieths and quartiles are among them, and the tails."""
CUTS = len(LEVELS)
"""Most cut points."""


@dataclass(frozen=True, eq=False)
class Sketch:
    """Counts that are exact at and just below the cut points: values of the sample, its least and its largest among them.

    A sample of up to CUTS different values is kept whole.
    """

    cuts: NDArray[np.float32]
    """Values of the sample, ascending, each once (K,)."""
    counts: NDArray[np.int64]
    """How many values are at most each cut point (K,)."""
    below: NDArray[np.int64]
    """How many are below it (K,)."""

    @classmethod
    def of(cls, values_n: NDArray[Any]) -> Self:
        """Return the sketch of a sample; NaN and the order of values do not count."""
        values = np.sort(values_n.astype(np.float32))
        values = values[: int(np.count_nonzero(~np.isnan(values)))]
        cuts = np.unique(values)
        if len(cuts) > CUTS:
            cuts = np.unique(np.quantile(values, LEVELS, method="inverted_cdf")).astype(np.float32)
        return cls(cuts, *(np.searchsorted(values, cuts, side=side) for side in ("right", "left")))

    @classmethod
    def from_json(cls, told: Mapping[str, Sequence[float]]) -> Self:
        """Return the sketch that `to_json` told."""
        counts, below = (np.array(told[name], dtype=np.int64) for name in ("counts", "below"))
        return cls(np.array(told["cuts"], dtype=np.float32), counts, below)

    def to_json(self) -> dict[str, list[float]]:
        """Return lists for JSON, with no more digits than float32 has."""
        cuts = [float(str(cut)) for cut in self.cuts]
        return {"cuts": cuts, "counts": self.counts.tolist(), "below": self.below.tolist()}

    @property
    def size(self) -> int:
        """Values of the sample, n."""
        return int(self.counts[-1]) if len(self.counts) else 0

    def shares(self, values: NDArray[np.float64], side: Literal["left", "right"]) -> NDArray[np.float64]:
        """Return the share of the sample below (`left`) or up to (`right`) each of some values.

        It is exact at the cut points, and between two of them on the line from one to the next. The sample is not empty.
        """
        last = len(self.cuts) - 1
        place = np.searchsorted(self.cuts, values, side=side) - 1
        low, high = place.clip(0, last), (place + 1).clip(0, last)
        width = np.where(high > low, self.cuts[high] - self.cuts[low].astype(np.float64), 1)
        part = np.where(high > low, (values - self.cuts[low]) / width, 0)
        between = self.counts[low] + part * (self.below[high] - self.counts[low])
        return np.where(place < 0, 0.0, between / self.size)

    def quantile(self, at: float) -> float:
        """Return the least cut point that reaches the share `at`; NaN of an empty sample."""
        if not self.size:
            return nan
        return float(self.cuts[np.searchsorted(self.counts, ceil(at * self.size - 1e-9))])

    def reached(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Return how many values of another sample, none of them NaN, are at most each cut point (K,)."""
        return np.searchsorted(np.sort(values.astype(np.float32)), self.cuts, side="right")
