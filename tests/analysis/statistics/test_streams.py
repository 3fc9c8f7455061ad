import numpy as np
import pytest
from scipy import stats

from analysis.statistics import streams
from analysis.statistics.randomness import stream
from analysis.statistics.streams import is_square, pairing, split
from scripts.stream_coverage import drawn, held, square

INDEPENDENT = np.zeros((12, 0), dtype=int)


def test_many_levels_recover_the_known_parts_of_the_variance():
    generator, levels_RF = stream("known parts"), square(80)
    values_R2 = drawn(levels_RF, (5, 2, 1), 2, 0.6, generator)
    found, both = split(values_R2[:, 0], levels_RF, generator), pairing(values_R2, levels_RF, generator)
    assert [share.value for share in found.shares] == pytest.approx([0.5, 0.2, 0.1, 0.2], abs=0.06)
    assert sum(share.value for share in found.shares) == pytest.approx(1)
    assert found.deviation.value == pytest.approx(np.sqrt(10), rel=0.1)
    assert both.correlation.value == pytest.approx(0.6, abs=0.12)
    assert both.worth.value == pytest.approx(1 / (1 - 0.6), rel=0.25)


@pytest.mark.parametrize("mix", ["init most", "rest alone", "init and rest"])
def test_intervals_of_five_levels_hold_the_truth_as_often_as_they_say(monkeypatch, mix):
    monkeypatch.setattr(streams, "DRAWS", 400)
    # 0.95 less three standard errors of 120 studies, and the two points that the deviation lacks.
    assert held(mix, 5, 120).min() > 0.87


def test_an_interval_is_wide_where_few_levels_are_known():
    generator = stream("width")
    wide, narrow = (
        np.median(
            [
                share.high - share.low
                for _ in range(20)
                for share in split(
                    drawn(square(count), (5, 2, 1), 2, 0, generator)[:, 0], square(count), generator
                ).shares[:1]
            ]
        )
        for count in (3, 8)
    )
    assert wide > 0.85
    assert narrow < 0.75


def test_independent_runs_have_the_interval_of_chi_squared_and_fishers_of_the_correlation():
    generator = stream("independent runs")
    values_R2 = drawn(INDEPENDENT, (), 1, 0.5, generator)
    found, both = split(values_R2[:, 0], INDEPENDENT, generator), pairing(values_R2, INDEPENDENT, generator)
    assert [share.value for share in found.shares] == [1]
    variance, df = values_R2[:, 0].var(ddof=1), 11
    known = [np.sqrt(df * variance / stats.chi2.ppf(level, df)) for level in (0.975, 0.025)]
    assert [found.deviation.low, found.deviation.high] == pytest.approx(known, rel=0.03)
    known = stats.pearsonr(*values_R2.T)
    assert both.correlation.value == pytest.approx(known.statistic)
    ends = known.confidence_interval(0.95)
    assert [both.correlation.low, both.correlation.high] == pytest.approx([ends.low, ends.high], abs=0.05)
    assert both.worth.value == pytest.approx(
        values_R2.var(axis=0, ddof=1).sum() / (values_R2[:, 0] - values_R2[:, 1]).var(ddof=1)
    )


def test_runs_that_do_not_vary_have_no_shares_and_no_correlation():
    generator, levels_RF = stream("constant"), square(3)
    found = split(np.full(9, 0.5), levels_RF, generator)
    assert np.isnan([share.value for share in found.shares]).all()
    assert found.deviation.high == 0
    assert np.isnan(pairing(np.full((9, 2), 0.5), levels_RF, generator).worth.value)


def test_pairs_that_all_differ_alike_are_worth_more_than_any_number_of_runs_without_pairs():
    a_R = np.array([0.6, 0.61, 0.63])
    found = pairing(np.stack([a_R, a_R - 0.02], axis=1), np.zeros((3, 0), dtype=int), stream("alike"))
    assert found.correlation.value == pytest.approx(1)
    assert (found.worth.value, found.worth.high) == (np.inf, np.inf)


@pytest.mark.parametrize(
    ("levels_RF", "is_one"),
    [
        (square(3), True),
        (square(6, 2), True),
        (square(4)[:-1], False),
        (square(4)[:9], False),
        (np.array([(i, j, i) for i in range(3) for j in range(3)]), False),
        (INDEPENDENT, False),
    ],
)
def test_a_square_is_one_in_which_two_streams_meet_each_pair_once(levels_RF, is_one):
    assert is_square(levels_RF) == is_one


@pytest.mark.parametrize(
    ("levels_RF", "said"),
    [
        (square(4)[:-1], "must be those of a Latin square, got 15 runs"),
        (square(2), "must leave a degree of freedom for each model, got 0 for 1"),
    ],
)
def test_runs_that_are_no_square_are_refused(levels_RF, said):
    with pytest.raises(ValueError, match=said):
        split(np.arange(len(levels_RF), dtype=float), levels_RF, stream("refused"))
