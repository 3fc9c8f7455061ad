"""The drift tests, as one family: per-sequence numbers and predicted classes, new sequences against training sequences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.shift import Shift, shift_of_classes, shift_of_values
from analysis.statistics.sketch import Sketch
from analysis.statistics.two_way import holm

ALPHA = 0.05
"""Family-wise error rate: the probability of reporting any difference when there is none."""
SMALL = 0.05
"""Effect below which a significant difference is called small."""
NAMES = {
    "length": "events of a sequence",
    "median_gap": "median gap of a sequence",
    "largest_gap": "largest gap of a sequence",
    "median_time": "median time of a sequence",
    "last_time": "last time of a sequence",
    "confidence": "confidence",
    "predicted": "predicted classes",
}
"""Description of each quantity compared, by its name."""
TIMED = {"median_gap", "largest_gap", "median_time", "last_time"}
"""The quantities in the unit of the times."""
QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Compared:
    """One test of the family."""

    name: str
    shift: Shift
    sizes: tuple[int, int]
    """Number of sequences of the reference, and of the file."""
    earlier: tuple[float, ...]
    """Quartiles of the reference, or its shares of the classes."""
    later: tuple[float, ...]
    adjusted: float = nan
    """Holm-adjusted p."""

    @property
    def verdict(self) -> str:
        """Return `moved`, `moved little`, `no sign` or `not tested`."""
        if isnan(self.adjusted):
            return "not tested"
        if self.adjusted >= ALPHA:
            return "no sign"
        return "moved" if self.shift.effect >= SMALL else "moved little"


def compare(
    sketches: Mapping[str, Sketch],
    samples: Mapping[str, NDArray[np.float32]],
    predicted: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> list[Compared]:
    """Compare samples with the sketches of the same names, and two counts of predicted classes; p are Holm-adjusted over all tests."""
    found = []
    for name, sketch in sketches.items():
        values = samples[name][~np.isnan(samples[name])]
        after = tuple(Sketch.of(values).quantile(at) for at in QUARTILES)
        before = tuple(sketch.quantile(at) for at in QUARTILES)
        sizes = (sketch.size, len(values))
        found.append(Compared(name, shift_of_values(sketch, values), sizes, before, after))
    sizes = (int(predicted[0].sum()), int(predicted[1].sum()))
    before, after = (tuple((counts / max(counts.sum(), 1)).tolist()) for counts in predicted)
    found.append(Compared("predicted", shift_of_classes(*predicted), sizes, before, after))
    return _adjusted(found)


def _adjusted(found: Sequence[Compared]) -> list[Compared]:
    adjusted = holm(np.array([one.shift.p for one in found]))
    return [replace(one, adjusted=float(p)) for one, p in zip(found, adjusted, strict=True)]
