"""The certificate of need: on data that need times, on data that do not, and where too little is known."""

from dataclasses import replace

import pytest

from analysis import run_analyses
from analysis.analyses.need import certificate_of
from analysis.plan import Plan


def certified(study, draw, rates, *, seeds=6, images=3000, margin=0.05, family="all"):
    """Return the finding on a study whose models have these rates of right answers; each is called by its embedding."""
    plan = Plan(reference="order", family=family, margin=margin)
    results = study(draw(rates, seeds=seeds, images=images), plan)
    [found] = run_analyses(with_embeddings(results), ["need"])
    return found


def with_embeddings(results):
    return replace(results, runs=results.runs.assign(embedding=results.runs["model"]))


def test_times_that_beat_count_and_order_are_needed(study, draw):
    found = certified(study, draw, {"none": 0.4, "order": 0.45, "lete": 0.8, "scalar": 0.45})
    assert found.data == {"certificate": "needed", "controls": ["none", "order"], "needed_by": ["lete"]}
    assert found.summary.startswith("Times are needed on this data: lete beats every control")
    pairs = set(zip(found.tables["need"]["model_a"], found.tables["need"]["model_b"], strict=True))
    assert pairs == {("lete", "none"), ("lete", "order"), ("scalar", "none"), ("scalar", "order")}


def test_times_that_beat_the_count_alone_are_not_shown_to_be_needed(study, draw):
    found = certified(study, draw, {"none": 0.4, "order": 0.8, "lete": 0.8})
    assert found.data["certificate"] == "not needed"
    assert found.data["needed_by"] == []


def test_a_negative_control_is_told_from_a_study_that_is_too_small(study, draw):
    rates = {"order": 0.7, "lete": 0.7, "sincos": 0.7}
    assert certified(study, draw, rates).data["certificate"] == "not needed"
    small = certified(study, draw, rates, seeds=3, images=60, margin=0.002)
    assert small.data["certificate"] == "undecided"
    assert "may have nothing to do with time" in small.summary


def test_pairs_that_were_not_declared_count_too(study, draw):
    found = certified(study, draw, {"none": 0.4, "order": 0.45, "lete": 0.8}, family="reference")
    assert found.data["certificate"] == "needed"
    assert not found.tables["need"]["declared"].all()


@pytest.mark.parametrize(
    "embeddings",
    [{}, {"order": "sincos", "lete": "lete"}, {"order": "none", "lete": "lete"}, {"order": "order", "lete": "none"}],
)
def test_without_a_control_or_without_times_nothing_is_certified(study, draw, embeddings):
    results = study(draw({"order": 0.4, "lete": 0.8}, seeds=3, images=60))
    if embeddings:
        results = replace(results, runs=results.runs.assign(embedding=results.runs["model"].map(embeddings)))
    assert certificate_of(results) == ""
    assert "need" not in [finding.name for finding in run_analyses(results)]
