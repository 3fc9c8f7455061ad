"""The box at the head of a report."""

import numpy as np
import pytest

from analysis import run_analyses
from analysis.plan import Declaration, Plan
from analysis.report.answer import answer, headline
from analysis.report.markdown import report

ANALYSES = ["overview", "significance"]


def answered(results):
    return "\n".join(answer(run_analyses(results, ANALYSES)))


def test_the_leader_is_named_with_its_lead_and_whether_it_is_decided(findings):
    pairs = next(finding for finding in findings if finding.name == "significance").tables["pairs"]
    row = pairs.set_index(["model_a", "model_b"]).loc[("lete", "sincos")]
    [said] = headline(findings)
    assert said.startswith("**lete has the highest mean test accuracy, ")
    gap = f"{100 * row['difference']:.2f} points [{100 * row['adjusted_low']:+.2f}, {100 * row['adjusted_high']:+.2f}]"
    assert f"It is {gap} ahead of sincos, the next: a difference that is not decided." in said


def test_what_is_decided_and_what_is_not_is_said_apart_with_what_it_rests_on(study, draw, rates):
    said = answered(study(draw(rates))).splitlines()
    decided, undecided, basis = said[1:]
    assert decided.startswith("- **Decided**, 2 of 3 declared pairs: sincos over none (+")
    assert "lete over none (+" in decided
    assert undecided.startswith("- **Not decided**, 1 of 3 declared pairs: lete against sincos (")
    assert undecided.endswith("This study cannot tell; it does not say that they are alike.")
    assert basis.startswith("- **Rests on** 3 models x 3 seeds x 400 test sequences of event_mnist")
    assert basis.endswith("No plan was stored before the runs.")


def test_the_better_model_of_a_pair_comes_first_whichever_the_reference_is(study, draw):
    said = answered(study(draw({"lete": 0.9, "none": 0.6})))
    assert "1 of 1 declared pair: lete over none (+" in said


def test_an_interval_of_the_box_excludes_zero_only_where_the_pair_is_decided(study, draw):
    """Six pairs: some are significant before the correction for their number and undecided after it."""
    for stream in range(8):
        results = study(draw(dict(zip("abcd", (0.7, 0.75, 0.78, 0.8), strict=True)), stream=stream))
        pairs = run_analyses(results, ["significance"])[0].tables["pairs"]
        outside = (pairs["adjusted_low"] > 0) | (pairs["adjusted_high"] < 0)
        assert (outside == (pairs["p_adjusted"] < results.plan.alpha)).all()
        assert (pairs["adjusted_low"] <= pairs["ci_low"] + 1e-9).all()


def test_models_that_are_alike_are_called_equivalent(study, draw):
    right = draw({"a": 0.9}, images=5000)["a"]
    said = answered(study({"a": right, "b": right.copy()}))
    assert "- **Decided:** no pair." in said
    assert "- **Equivalent**, 1 of 1 declared pair: b and a (+0.00 points" in said


def test_the_day_is_that_of_the_plan(tables, study, draw, rates):
    runs, curves, predictions = tables(draw(rates))
    plan = Plan()
    declared = Declaration(plan=plan, seeds=(0, 1, 2), identity={}, declared="2026-03-14T15:09:26+00:00")
    results = type(study(draw(rates)))(runs, curves, predictions, plan=plan, declaration=declared)
    assert answered(results).endswith("Plan declared on 2026-03-14.")


@pytest.mark.parametrize(("seeds", "models"), [(1, 2), (2, 2), (3, 1)])
def test_a_study_that_can_decide_nothing_has_an_answer_too(study, draw, seeds, models):
    said = answered(study(draw(dict(list({"a": 0.5, "b": 0.9}.items())[:models]), seeds=seeds)))
    assert f"{seeds} seed" in said
    assert "nan" not in said.lower().split()
    if models == 2:
        assert "not decided" in said
        assert ("points (no interval) ahead of a" in said) is (seeds == 1)
        assert ("points, no interval)" in said) is (seeds == 1)
    else:
        assert "There is no other model to compare it with." in said


def test_many_pairs_are_cut_and_counted(study, draw):
    said = answered(study(draw({f"model_{number}": 0.1 + 0.16 * number for number in range(6)})))
    decided = next(line for line in said.splitlines() if "Decided" in line)
    assert decided.count(" over ") == 6
    assert " more under Verdict." in decided


def test_notes_are_counted_in_the_box_and_follow_it(study):
    findings = run_analyses(study({"a": np.ones((1, 30)), "b": np.zeros((1, 30))}), ANALYSES)
    text = report(findings)
    assert text.index("## Answer") < text.index("below** before believing the numbers") < text.index("> **Note.**")
    assert text.index("> **Note.**") < text.index("## Verdict")
