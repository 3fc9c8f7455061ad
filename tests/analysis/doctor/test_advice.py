"""The rules of the encoding doctor, each on both sides of its constant."""

import numpy as np
import pandas as pd
import pytest

from analysis.doctor import Times, advise, doctor_figures, doctor_page, fitting_scale, scales
from analysis.doctor.advice import RULES, fitting_rate, shortlist, verdict


def times_of(*sequences, unit="step", horizon=None, collisions=0):
    flat = np.concatenate([np.asarray(one, dtype=float) for one in sequences])
    gaps = np.concatenate([np.diff(np.asarray(one, dtype=float), prepend=np.nan) for one in sequences])
    offsets = np.cumsum([0, *(len(one) for one in sequences)])
    names = [f"s{place}" for place in range(len(sequences))]
    horizon = float(flat.max() // 1 + 1) if horizon is None else horizon
    return Times(flat, gaps, offsets, names, unit, horizon, collisions)


STEADY = times_of(np.arange(0, 500, 2) + np.arange(250) % 2 / 2, np.arange(1, 400, 3))
"""Nothing is wrong with these: gaps of 2 or so, times of some hundreds."""


def encoding(name="sincos", **known):
    row = {"name": name, "refused": "", "sees": "time", "table": False, "trained": 0}
    return row | {"rank": 10.0, "reference": 10.0, "resolved": 1.0} | known


def curve(*factors):
    return pd.DataFrame([{"name": "sincos", "factor": factor, "rank": 3 + np.log10(factor)} for factor in factors])


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({}, "fits"),
        ({"refused": "event times must be whole numbers"}, "refused"),
        ({"rank": 0.0}, "constant"),
        ({"rank": 2.9, "reference": 10.9}, "collapsed"),
        ({"rank": 3.0, "reference": 10.9}, "fits"),  # three directions
        ({"rank": 2.0, "reference": 4.1}, "collapsed"),
        ({"rank": 2.1, "reference": 4.1}, "fits"),  # more than half of what it has on 0 to 783
        ({"rank": 1.0, "reference": 1.0}, "fits"),  # no more by design
        ({"resolved": 2.5}, "fits"),
        ({"resolved": 2.6}, "blurs"),
        ({"resolved": np.nan}, "blurs"),
    ],
    ids=str,
)
def test_a_verdict_follows_from_rank_and_gap(known, said):
    assert STEADY.median_gap == 2.5
    assert verdict(pd.Series(encoding(**known)), STEADY) == said


@pytest.mark.parametrize(
    "times", [times_of(*([time] for time in range(64))), times_of([3, 3], [40, 40, 40], [90])], ids=["single", "tied"]
)
def test_without_gaps_an_encoding_is_judged_by_its_rank_alone(times):
    rows = [
        encoding("none", rank=0.0, sees="nothing", resolved=np.nan),
        encoding("waves", resolved=np.nan),
        encoding("flat", rank=0.1, resolved=np.nan),
        encoding("gaps", sees="gap", rank=0.0, resolved=np.nan),
        encoding("both", sees="time and gap", resolved=np.nan),
    ]
    advice = advise(times, pd.DataFrame(rows), {}, curve())
    assert list(advice.encodings["verdict"]) == ["constant", "fits", "collapsed", "constant", "fits"]
    assert list(advice.shortlist) == ["none", "waves"]
    assert "no encoding is judged by the gaps" in advice.minded["gapless"]
    page = doctor_page("one", times, advice, curve(), sampled=(), notes=())
    assert "there is no gap above 0 to tell apart" in page
    assert "tells the median gap apart" not in page


def test_few_distinct_times_are_no_collapse_of_the_encoding():
    row = pd.Series(encoding(rank=1.9, reference=31.3))
    assert verdict(row, times_of([0, 1, 2, 0.5])) == "fits"  # of 3 directions that 4 times can have
    assert verdict(row, STEADY) == "collapsed"


@pytest.mark.parametrize(
    ("times", "names"),
    [
        (STEADY, set()),
        (times_of([5, 5], [5]), {"constant"}),
        (times_of([0, 100, 250], collisions=1), {"collisions"}),
        (times_of(np.arange(0, 500, 2), [0, 1, 1, 1, 1, 1, 2, 300]), {"outlier", "ties"}),
        (times_of(np.arange(0, 500, 2), [0, 1, 101]), set()),
        (times_of([*(np.arange(200) * 2.5 + np.arange(200) % 2), 5_000], horizon=5_001.0), {"outlier", "stretched"}),
        (times_of([0, 0.2, 1]), {"scale"}),
        (times_of([0, 1500, 3001]), {"scale"}),
        (times_of([0, 1, 2, 3]), {"regular", "scale"}),
        (times_of([0, 100, 200]), {"regular"}),
        (times_of([0, 0, 100, 200]), {"ties"}),
        (times_of([100, 100], [200, 200]), {"ties", "gapless"}),
        (times_of([100], [200]), {"gapless"}),
        (times_of([2999, 2999.1, 2999.2, 2999.3]), {"range"}),
    ],
    ids=lambda given: "+".join(sorted(given)) or "nothing" if isinstance(given, set) else "of",
)
def test_each_rule_holds_where_it_should_and_nowhere_else(times, names):
    assert {name for name, rule in RULES.items() if rule(times)} == names


def test_a_unit_is_kept_where_late_times_are_30_to_3000():
    for late, factor in ((30, 1), (3000, 1), (29, 10), (3001, 0.1), (1, 100), (0.002, 1e5), (16_000_000, 1e-5)):
        times = times_of([0, late / 3, late])
        assert fitting_scale(times, scales(times, {})).factor == pytest.approx(factor), late


def test_dates_are_told_in_another_unit_not_multiplied():
    times = times_of([0, 0.25, 0.5], unit="hour")
    chosen = fitting_scale(times, scales(times, {"second": 3600.0, "minute": 60.0, "hour": 1.0}))
    assert chosen.factor == 3600
    assert "data.time_unit to second" in chosen.how
    assert fitting_scale(times, scales(times, {"minute": 60.0, "hour": 1.0})).factor == 60


@pytest.mark.parametrize(
    ("late", "rate"),
    [(784, 0.1), (300, 0.1), (2000, 0.1), (2300, 0.03), (0.5, 1.0), (100, 0.8), (7840, 0.01), (0, 0.1)],
)
def test_the_rate_turns_late_phases_as_the_default_does_at_784(late, rate):
    assert fitting_rate(late) == rate


def listed(*rows, times=STEADY):
    judged = pd.DataFrame([encoding("none", rank=0.0, sees="nothing"), *rows])
    return shortlist(judged.assign(verdict=[verdict(row, times) for _, row in judged.iterrows()]), times)


def test_the_shortlist_has_the_control_and_of_each_kind_the_one_that_fits_with_the_highest_rank():
    chosen = listed(
        encoding("sincos", rank=9.0),
        encoding("waves", rank=20.0),
        encoding("blurred", rank=30.0, resolved=50.0),
        encoding("lete", trained=5040),
        encoding("gaps", sees="gap"),
        encoding("both", sees="time and gap", trained=64),
        encoding("rows", rank=31.0, table=True, trained=9),
    )
    assert list(chosen) == ["none", "waves", "lete", "gaps", "both"]
    assert chosen["waves"] == "the highest effective rank (20.0) of the 2 encodings of time without parameters that fit"
    assert chosen["lete"].startswith("alone among the trained encodings of time")


def test_the_table_is_the_baseline_where_there_are_events_for_its_rows():
    position = encoding("position", table=True, trained=25_088, rank=31.0)
    dense, sparse = times_of(np.arange(100), np.arange(1, 100, 2)), times_of([0, 1, 50, 99, 100, 120, 150])
    assert "position" in listed(position, times=dense)
    assert "position" not in listed(position, times=sparse)


def test_gaps_that_are_all_one_are_not_encoded():
    regular = times_of(np.arange(0, 700, 7), np.arange(3, 500, 7))
    assert list(listed(encoding("gaps", sees="gap"), encoding("lete", trained=1), times=regular)) == ["none", "lete"]


def test_of_a_constant_time_the_control_alone_is_left():
    times = times_of([5, 5], [5, 5])
    first_alone = encoding("kan_mammote", sees="time and gap", rank=1.0, resolved=np.nan)  # it tells the first event
    advice = advise(times, pd.DataFrame([encoding("none", rank=0.0), encoding(rank=0.0), first_alone]), {}, curve())
    assert list(advice.shortlist) == ["none"]
    assert (advice.scale.factor, advice.rate) == (1, 0.1)
    assert "Time carries nothing" in advice.minded["constant"]


def test_the_page_says_what_the_rules_say_and_holds_every_figure():
    times = times_of([0, 0.2, 0.3, 1])
    rows = [
        encoding("none", rank=0.0, sees="nothing"),
        encoding(rank=1.1, reference=10.9),
        encoding("rows", refused="whole <b>"),
    ]
    table, ranks = pd.DataFrame(rows), curve(1.0, 10.0, 100.0)
    advice = advise(times, table, {}, ranks)
    whole = doctor_page("a<b>.csv", times, advice, ranks, sampled=["Sample: 3 sequences."], notes=["note *x*"])
    for said in (
        "1 encoding loses more than half",
        "Multiply the times by 100",
        "from 3.0 to 5.0",
        "Sample: 3 sequences.",
    ):
        assert said in whole
    assert "<b>" not in whole.split("<script")[0]
    figures = doctor_figures(times, advice, ranks)
    assert list(figures) == ["gaps", "encodings", "units"]
    assert all(f'data-figure="{stem}"' in whole for stem in figures)


def test_advice_on_a_unit_minds_times_that_would_be_too_large_to_read():
    times = times_of([*np.linspace(0, 0.9, 300), 1e6])
    chosen = fitting_scale(times, scales(times, {}))
    advice = advise(times, pd.DataFrame([encoding()]), {}, curve(1.0, chosen.factor))
    assert "remove what lies far out: times are read up to 16,777,216" in advice.unit
