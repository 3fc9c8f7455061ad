"""The doctor's advice on made-up studies: confirmed, contradicted, without an answer, and where it gave none."""

from dataclasses import replace
from math import nan

import pandas as pd
import pytest

from analysis import run_analyses
from analysis.plan import Plan
from analysis.report.markdown import report
from analysis.results import ResultsError

RATES = {"scalar": 0.4, "lete": 0.8, "sincos": 0.8}
VERDICTS = {"scalar": "blurs", "lete": "fits", "sincos": "fits"}


def told(verdicts, **more):
    """Return what the doctor says of models, by its verdicts."""
    numbers = {"rank": 1.02, "reference": 8.46, "resolved": 40.0, "median_gap": 2.0}
    rows = [
        {"model": model, "besides": "same", "verdict": said, **numbers, "unit": "step"}
        for model, said in verdicts.items()
    ]
    return pd.DataFrame(rows).assign(**more)


def scored(study, draw, rates, advice, *, seeds=6, images=3000, **plan):
    results = study(draw(rates, seeds=seeds, images=images), Plan(**{"margin": 0.05, **plan}))
    [found] = run_analyses(replace(results, advice=advice), ["advice"])
    return found


def counts(confirmed=0, contradicted=0, equivalent=0, undecided=0):
    pairs = confirmed + contradicted + equivalent + undecided
    outcomes = {"confirmed": confirmed, "contradicted": contradicted}
    return {"pairs": pairs, **outcomes, "equivalent": equivalent, "undecided": undecided}


def test_verdicts_confirm_the_advice(study, draw):
    found = scored(study, draw, RATES, told(VERDICTS))
    assert found.data == counts(confirmed=2)
    assert found.summary.startswith(
        "Before this study trained anything, and from the times alone, the encoding doctor advised for one model and against "
        "another in 2 pairs. The verdicts confirm 2, contradict 0, find 0 equivalent, and leave 0 undecided."
    )
    assert "- lete over scalar: **confirmed**; +" in found.summary
    assert found.summary.endswith("scalar tells events apart from 40 step on, and the median gap is 2 step.")


def test_verdicts_contradict_the_advice(study, draw):
    found = scored(study, draw, {**RATES, "sincos": 0.2}, told({"lete": "blurs", "scalar": "blurs", "sincos": "fits"}))
    assert found.data == counts(contradicted=2)
    # The model that the advice was for stands first, wherever the pair has it.
    assert found.tables["advice"][["model_a", "model_b"]].to_numpy().tolist() == [
        ["sincos", "lete"],
        ["sincos", "scalar"],
    ]
    assert (found.tables["advice"]["difference"] < 0).all()
    assert "- sincos over lete: **contradicted**; -" in found.summary


def test_models_that_are_equivalent_or_undecided_are_neither(study, draw):
    advice = told({"lete": "collapsed", "sincos": "fits"})
    rates = {"lete": 0.8, "sincos": 0.8}
    found = scored(study, draw, rates, advice)
    assert found.data == counts(equivalent=1)
    assert "lete has collapsed to an effective rank of 1.02, which is 8.46 on the times 0 to 783." in found.summary
    assert scored(study, draw, rates, advice, seeds=3, images=60, margin=0.001).data == counts(undecided=1)


def test_pairs_that_the_plan_does_not_declare_count_and_say_so(study, draw):
    found = scored(study, draw, RATES, told(VERDICTS), family="reference", reference="lete")
    assert found.data == counts(confirmed=2)
    assert "- lete over scalar: **confirmed**; +" in found.summary
    assert "- sincos over scalar: **confirmed** (exploratory); +" in found.summary


def test_what_tells_apart_no_usual_gap_is_said(study, draw):
    found = scored(study, draw, RATES, told(VERDICTS, resolved=nan, unit="a*b"))
    assert "scalar tells events apart by none of the usual gaps, and the median gap is 2 a\\*b." in found.summary


@pytest.mark.parametrize(
    "advice",
    [
        None,  # a study from before the doctor was asked
        told({"scalar": "fits", "lete": "fits", "sincos": "fits"}),
        told({"scalar": "blurs", "lete": "collapsed", "sincos": "blurs"}),
        told({"scalar": "constant", "lete": "fits", "sincos": "refused"}),
        told({"lete": "fits", "another": "blurs"}),  # which has no finished run
        told(VERDICTS).assign(besides=["small", "large", "larger"]),  # models that differ in other settings, too
    ],
    ids=["not asked", "all fit", "none fits", "a control", "not trained", "other settings"],
)
def test_without_advice_there_is_no_section(study, draw, advice):
    results = replace(study(draw(RATES, seeds=3, images=60)), advice=advice)
    findings = run_analyses(results)
    assert "advice" not in [finding.name for finding in findings]
    assert "doctor" not in report(findings)


def test_the_report_has_a_section(study, draw):
    results = replace(study(draw(RATES, seeds=6)), advice=told(VERDICTS))
    text = report(run_analyses(results))
    assert "\n\n## Was the encoding doctor right?\n\nBefore this study trained anything, and" in text


def test_advice_of_another_form_is_refused(study, draw):
    results = study(draw(RATES, seeds=3, images=60))
    with pytest.raises(ResultsError, match=r"^advice: must have the columns .*, got none named besides"):
        replace(results, advice=told(VERDICTS).drop(columns="besides"))
    with pytest.raises(ResultsError, match=r"^advice: must have one row for each model, got two for model=scalar"):
        replace(results, advice=pd.concat([told(VERDICTS)] * 2))
