"""Properties of event times: lengths, gaps, ties, and their precision in float32.

Letters: N events of all sequences, concatenated; n sequences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LATE = 0.99
"""The quantile of times and of gaps that excludes outliers."""
OF_LENGTHS = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
OF_GAPS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BINS_A_DECADE = 5
MOST_BINS = 120

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Times:
    """Event times of sorted sequences, in `unit`, before conversion to float32."""

    times: Numbers
    """(N,), at least 0."""
    gaps: Numbers
    """Time since the previous event of the same sequence (N,), NaN for the first one."""
    offsets: NDArray[np.int64]
    """Start of each sequence, and the end of the last (n + 1,)."""
    names: Sequence[str]
    """Name of each sequence (n,)."""
    unit: str
    horizon: float
    """Length T of the time axis."""
    collisions: int
    """Number of events used in training whose time differs from that of the previous event, but equals it in float32."""

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Number of events of each sequence (n,)."""
        return np.diff(self.offsets)

    @cached_property
    def inner(self) -> Numbers:
        """The gaps between consecutive events of a sequence; there are N minus the number of non-empty sequences."""
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
        """The 99 % quantile of the event times."""
        return float(np.quantile(self.times, LATE, method="inverted_cdf"))

    @property
    def float_step(self) -> float:
        """Spacing of float32 numbers at the largest time."""
        return float(np.spacing(np.float32(self.largest)))

    @cached_property
    def is_constant(self) -> bool:
        """Whether all events have the same time."""
        return bool((self.times == self.times[0]).all())

    @cached_property
    def median_gap(self) -> float:
        """The median of the gaps above 0; NaN if there are none."""
        return float(np.quantile(self.positive, 0.5, method="inverted_cdf")) if len(self.positive) else float("nan")

    def gap_quantiles(self) -> dict[float, float]:
        """Return quantiles of the gaps above 0, each an observed gap; empty if there is no such gap."""
        if not len(self.positive):
            return {}
        found = np.quantile(self.positive, OF_GAPS, method="inverted_cdf")
        return dict(zip(OF_GAPS, found.tolist(), strict=True))

    def widest(self) -> tuple[float, str]:
        """Return the largest gap and the name of its sequence."""
        event = int(np.nanargmax(self.gaps))
        return float(self.gaps[event]), self.names[int(np.searchsorted(self.offsets, event, side="right")) - 1]

    @cached_property
    def distinct_times(self) -> int:
        """Number of distinct times in float32."""
        return len(np.unique(self.times.astype(np.float32)))

    @cached_property
    def distinct_gaps(self) -> int:
        """Number of distinct gaps in float32, including the 0 of first events."""
        return len(np.unique(np.nan_to_num(self.gaps).astype(np.float32)))

    def spectrum(self) -> pd.DataFrame:
        """Return a histogram of the gaps above 0 in bins of equal logarithmic width: ends of bins, and share of all gaps in each."""
        if not len(self.positive):
            return pd.DataFrame({"low": [], "high": [], "share": []}, dtype=float)
        first, last = np.log10(self.positive[[0, -1]])
        first, last = (
            np.floor(first * BINS_A_DECADE) / BINS_A_DECADE,
            np.floor(last * BINS_A_DECADE + 1) / BINS_A_DECADE,
        )
        count = min(round((last - first) * BINS_A_DECADE), MOST_BINS)
        ends = np.linspace(first, last, count + 1)
        # Rounding must not put a gap that equals the end of a bin, such as 10, below it.
        counts, _ = np.histogram((np.log10(self.positive) + 1e-9).clip(ends[0], ends[-1]), ends)
        return pd.DataFrame({"low": 10 ** ends[:-1], "high": 10 ** ends[1:], "share": counts / len(self.inner)})
