"""Facts about times, against numbers that can be counted by hand."""

import numpy as np
import pytest

from analysis.doctor import Times


def times_of(*sequences, unit="step", horizon=None, collisions=0):
    flat = np.concatenate([np.asarray(one, dtype=float) for one in sequences])
    gaps = np.concatenate([np.diff(np.asarray(one, dtype=float), prepend=np.nan) for one in sequences])
    offsets = np.cumsum([0, *(len(one) for one in sequences)])
    names = [f"s{place}" for place in range(len(sequences))]
    horizon = float(flat.max() // 1 + 1) if horizon is None else horizon
    return Times(flat, gaps, offsets, names, unit, horizon, collisions)


def test_gaps_and_ties_do_not_cross_sequences():
    times = times_of([0, 1, 1, 4], [9], [2, 12])
    assert times.lengths.tolist() == [4, 1, 2]
    assert times.inner.tolist() == [1, 0, 3, 10]
    assert times.positive.tolist() == [1, 3, 10]
    assert times.ties == 1 / 4
    assert times.median_gap == 3
    assert times.widest() == (10, "s2")
    assert (times.largest, times.late) == (12, 12)
    assert times.distinct_times == 6
    assert times.distinct_gaps == 4  # 0, 1, 3, 10


def test_float32_moves_in_steps_that_grow_with_the_largest_time():
    assert times_of([0, 2.0**23]).float_step == 1
    assert times_of([0, 600.5]).float_step == 2.0**-14
    assert times_of([1_700_000_000_000]).float_step == 2**17  # epoch milliseconds lie between 2^40 and 2^41


def test_gap_quantiles_are_gaps_that_occur():
    times = times_of(np.cumsum([0, *range(1, 101)]))
    assert times.gap_quantiles() == {0.01: 1, 0.05: 5, 0.25: 25, 0.5: 50, 0.75: 75, 0.95: 95, 0.99: 99}


def test_the_spectrum_counts_every_positive_gap_once_in_bins_of_a_fifth_of_a_decade():
    times = times_of([0, 1, 1, 2, 12, 1012])  # gaps 1, 0, 1, 10, 1000
    spectrum = times.spectrum()
    assert spectrum["share"].sum() == pytest.approx(4 / 5)
    assert (spectrum["high"] / spectrum["low"]).tolist() == pytest.approx([10**0.2] * len(spectrum))
    filled = spectrum[spectrum["share"] > 0]
    assert filled["low"].tolist() == pytest.approx([1, 10, 1000])
    assert filled["share"].tolist() == pytest.approx([2 / 5, 1 / 5, 1 / 5])


@pytest.mark.parametrize("gap", [1e-9, 0.1, 1, 7, 10, 1e7])
def test_a_single_gap_has_a_bin_around_it(gap):
    spectrum = times_of([0, gap]).spectrum()
    assert spectrum["share"].sum() == 1
    [place] = spectrum.index[spectrum["share"] > 0]
    assert spectrum["low"][place] <= gap * (1 + 1e-9)
    assert spectrum["high"][place] >= gap * (1 - 1e-9)


def test_a_constant_time_has_no_gap_but_ties():
    times = times_of([5, 5], [5, 5, 5])
    assert times.is_constant
    assert times.ties == 1
    assert times.gap_quantiles() == {}
    assert times.spectrum().empty
    assert np.isnan(times.median_gap)
