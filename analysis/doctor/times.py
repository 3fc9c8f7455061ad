"""Facts about event times: lengths, gaps, ties, and what float32 keeps of them.

Letters: N events end to end, n sequences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LATE = 0.99
"""The quantile of the times, and of the gaps, that stands for all but the outliers."""
OF_LENGTHS = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
OF_GAPS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BINS_A_DECADE = 5
MOST_BINS = 120

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Times:
    """Times of sequences that are sorted, in `unit`, before they become float32."""

    times: Numbers
    """(N,), at least 0."""
    gaps: Numbers
    """Time since the event before in the same sequence (N,), NaN for the first one."""
    offsets: NDArray[np.int64]
    """Where each sequence starts, and the end of the last (n + 1,)."""
    names: Sequence[str]
    """What each sequence is called (n,)."""
    unit: str
    horizon: float
    """Length T of the time axis."""
    collisions: int
    """Events, of all that a training reads, whose time is another than that of the event before, and the same in float32."""

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Events of each sequence (n,)."""
        return np.diff(self.offsets)

    @cached_property
    def inner(self) -> Numbers:
        """The gaps between two events of a sequence, of which there are N less the sequences that have events."""
        return self.gaps[~np.isnan(self.gaps)]

    @cached_property
    def positive(self) -> Numbers:
        """The gaps above 0, sorted."""
        return np.sort(self.inner[self.inner > 0])

    @property
    def ties(self) -> float:
        """Share of the gaps that are 0, in [0, 1]."""
        return 1 - len(self.positive) / len(self.inner) if len(self.inner) else 0.0

    @cached_property
    def largest(self) -> float:
        """The largest time."""
        return float(self.times.max())

    @cached_property
    def late(self) -> float:
        """The time that 99 % of the events do not exceed."""
        return float(np.quantile(self.times, LATE, method="inverted_cdf"))

    @property
    def float_step(self) -> float:
        """Distance of neighbouring numbers of float32 at the largest time."""
        return float(np.spacing(np.float32(self.largest)))

    @cached_property
    def is_constant(self) -> bool:
        """Whether all events have one time."""
        return bool((self.times == self.times[0]).all())

    @cached_property
    def median_gap(self) -> float:
        """The median of the gaps above 0; NaN where there is none."""
        return float(np.quantile(self.positive, 0.5, method="inverted_cdf")) if len(self.positive) else float("nan")

    def gap_quantiles(self) -> dict[float, float]:
        """Return quantiles of the gaps above 0, each a gap that occurs; none where there is no such gap."""
        if not len(self.positive):
            return {}
        found = np.quantile(self.positive, OF_GAPS, method="inverted_cdf")
        return dict(zip(OF_GAPS, found.tolist(), strict=True))

    def widest(self) -> tuple[float, str]:
        """Return the largest gap, and the name of its sequence."""
        event = int(np.nanargmax(self.gaps))
        return float(self.gaps[event]), self.names[int(np.searchsorted(self.offsets, event, side="right")) - 1]

    @cached_property
    def distinct_times(self) -> int:
        """How many different times there are in float32."""
        return len(np.unique(self.times.astype(np.float32)))

    @cached_property
    def distinct_gaps(self) -> int:
        """How many different gaps there are in float32, with the 0 of the first events."""
        return len(np.unique(np.nan_to_num(self.gaps).astype(np.float32)))

    def spectrum(self) -> pd.DataFrame:
        """Return the gaps above 0 in bins of equal width in the logarithm: their ends, and the share of all gaps in each."""
        if not len(self.positive):
            return pd.DataFrame({"low": [], "high": [], "share": []}, dtype=float)
        first, last = np.log10(self.positive[[0, -1]])
        first, last = (
            np.floor(first * BINS_A_DECADE) / BINS_A_DECADE,
            np.floor(last * BINS_A_DECADE + 1) / BINS_A_DECADE,
        )
        count = min(round((last - first) * BINS_A_DECADE), MOST_BINS)
        ends = np.linspace(first, last, count + 1)
        # A gap that is the end of a bin, 10 say, must not fall a hair below it by rounding.
        counts, _ = np.histogram((np.log10(self.positive) + 1e-9).clip(ends[0], ends[-1]), ends)
        return pd.DataFrame({"low": 10 ** ends[:-1], "high": 10 ** ends[1:], "share": counts / len(self.inner)})
