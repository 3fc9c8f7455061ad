"""Models over the data sets of several studies."""

import json
from dataclasses import replace

import numpy as np
import pytest

from analysis.analyses.suite import Member, suite
from analysis.plan import Plan
from analysis.report.records import jsonable
from analysis.results import ResultsError

DEMSAR = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")


def members(scores_NK, models, sources=None, certificate="needed"):
    return [
        Member(
            study=f"study_{number}", dataset="synthetic", source=sources[number] if sources else f"source {number}",
            seeds=3, sequences=100, certificate=certificate, scores=dict(zip(models, map(float, scores_K), strict=True)),
        )
        for number, scores_K in enumerate(scores_NK)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def demsar(oracle):
    """The example of Demsar 2006."""
    return suite(members(oracle["demsar2006"]["data"], DEMSAR), Plan())


def ordered(sets, step=0.02):
    """Return scores of three models, each better than the next on every data set by a gap of its own."""
    return [[0.9, 0.9 - step - 0.001 * number, 0.9 - 3 * step - 0.003 * number] for number in range(sets)]


def test_the_published_example_comes_out_as_published(demsar):
    assert [round(rank, 3) for rank in demsar.data["mean_ranks"].values()] == [3.143, 2.0, 2.893, 1.964]
    assert round(demsar.data["friedman"]["chi_squared"], 2) == 9.28
    assert "Friedman's chi-squared 9.28, Iman and Davenport's F(3, 39) = 3.69, p = 0.020" in demsar.summary
    assert "Nemenyi's critical difference is 1.25 ranks" in demsar.summary
    first = demsar.tables["pairs"].iloc[0]
    assert (first["model_a"], first["model_b"], first["statistic"]) == ("C4.5+m", "C4.5", 12)
    assert round(first["z"], 2) == -2.54


def test_groups_join_what_holm_does_not_part(demsar):
    # Over all signs the first pair has p = 0.0078, which times six is under 0.05; by the normal approximation it is not.
    pairs = demsar.tables["pairs"]
    assert pairs["p"].iloc[0] == 2 * 64 / 2**14
    assert pairs["verdict"].tolist() == ["better", *["undecided"] * 5]
    assert demsar.data["cliques"] == [("C4.5", "C4.5+cf", "C4.5+m+cf"), ("C4.5+m", "C4.5+cf", "C4.5+m+cf")]
    assert demsar.data["verdicts"][0].startswith(
        "C4.5+m is better than C4.5: mean rank 2.00 against 3.14, median difference +"
    )
    assert demsar.data["verdicts"][1].startswith(
        "C4.5+cf against C4.5 is undecided: mean rank 2.89 against 3.14, median "
    )
    assert demsar.data["verdicts"][0].endswith("(n = 14 data sets).")


def test_models_that_differ_on_every_data_set_are_told_apart():
    found = suite(members(ordered(10), "abc"), Plan(margin=0.025))
    pairs = found.tables["pairs"].set_index(["model_a", "model_b"])
    assert (pairs["verdict"] == "worse").all()  # the earlier model is the second of a pair, and better
    assert pairs["p"].tolist() == pytest.approx([2 / 2**10] * 3)
    assert found.data["cliques"] == []
    first = pairs.loc["b", "a"]
    assert first["median_difference"] == pytest.approx(-0.0245)
    assert first["ci_low"] == pytest.approx(-0.028, abs=0.001)
    assert (first["wins"], first["ties"], first["losses"]) == (0, 6, 4)


def test_against_a_reference_the_other_pairs_are_exploratory_and_corrected_over_all():
    found = suite(members(ordered(8), "abc"), Plan(reference="b", family="reference"))
    pairs = found.tables["pairs"].set_index(["model_a", "model_b"])
    assert pairs.loc[("a", "b"), "verdict"] == "better"
    assert pairs["declared"].to_dict() == {("a", "b"): True, ("c", "b"): True, ("c", "a"): False}
    assert pairs["p_adjusted"].tolist() == pytest.approx([2 * 2 / 2**8, 2 * 2 / 2**8, 3 * 2 / 2**8])
    assert len(found.data["verdicts"]) == 2
    assert "Exploratory pairs" in found.summary


def test_data_sets_of_one_source_are_said_to_be_no_independent_ones():
    found = suite(members(ordered(10), "abc", ["mnist", "mnist", *map(str, range(8))]), Plan())
    [warning] = found.data["warnings"]
    assert warning.startswith(
        "study_0 and study_1 are made from the same source, mnist: they are not independent data sets."
    )
    assert warning.endswith("10 data sets come from 9 sources.")


def test_data_sets_that_need_no_times_are_set_aside():
    well = members(ordered(10), "abc")
    [control] = members([[0.1, 0.5, 0.9]], "abc", ["control"], "not needed")
    [small] = members([[0.1, 0.5, 0.9]], "abc", ["small"], "undecided")
    found = suite([*well, replace(control, study="control"), replace(small, study="small")], Plan())
    assert found.data["mean_ranks"] == suite(well, Plan()).data["mean_ranks"]
    assert found.data["warnings"] == [
        "Set aside: control, a negative control, on which times are not needed.",
        "Set aside: small, on which it is undecided that times are needed.",
    ]
    assert found.data["certificates"]["control"] == "not needed"
    with pytest.raises(ResultsError, match=r"on whose data times are needed, got 1 beside control \(not needed\)"):
        suite([well[0], replace(control, study="control")], Plan())


def test_data_sets_without_a_control_are_compared_and_named():
    found = suite(members(ordered(9), "abc") + members([[0.9, 0.8, 0.7]], "abc", ["x"], ""), Plan())
    [warning] = found.data["warnings"]
    assert warning.startswith(
        "Without a model that sees the order of events alone (order), it is not known whether study_0 needs"
    )


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (2, "No pair can be decided: over 2 data sets the smallest p is 0.5, and Holm takes it 3 times. 7 data sets"),
        (
            6,
            "No pair can be decided: over 6 data sets the smallest p is 0.0312, and Holm takes it 3 times. 7 data sets",
        ),
        (7, "7 data sets: few. 10 or more are advised"),
    ],
)
def test_few_data_sets_are_said(sets, said):
    found = suite(members(ordered(sets), "abc"), Plan())
    assert said in found.data["warnings"][0]
    assert ("undecided" in set(found.tables["pairs"]["verdict"])) == (sets <= 6)
    assert ("no interval over so few data sets" in found.summary) == (sets < 6)
    assert "nan" not in found.summary


@pytest.mark.parametrize(
    ("scores", "models", "said"),
    [
        (ordered(1), "abc", "must be 2 or more, got 1"),
        ([[0.5]] * 6, "a", "must have two variants, got a alone"),
    ],
)
def test_what_cannot_be_compared_is_refused(scores, models, said):
    with pytest.raises(ResultsError, match=said):
        suite(members(scores, models), Plan())


def test_a_study_with_other_models_is_refused():
    others = members(ordered(6), "abc")[:5] + members(ordered(1), "abd")
    with pytest.raises(
        ResultsError, match="must have the same variants, got a, b, c in study_0 and a, b, d in study_0"
    ):
        suite(others, Plan())


def test_everything_that_is_found_can_be_json(demsar):
    assert len(json.loads(json.dumps(jsonable(demsar.data), allow_nan=False))["cliques"]) == 2


def test_the_table_of_data_sets_shows_scores_with_ranks(demsar):
    assert "| study_0 | synthetic | 3 x 100 | 76.30 % (4) | 76.80 % (3) | 77.10 % (2) | 79.80 % (1) |" in demsar.summary
    assert "| mean rank |  |  | 3.14 | 2.00 | 2.89 | 1.96 |" in demsar.summary
    scores = demsar.tables["scores"]
    assert len(scores) == 14 * 4
    assert scores["rank"].to_numpy().reshape(14, 4).sum(axis=1) == pytest.approx(np.full(14, 10))
