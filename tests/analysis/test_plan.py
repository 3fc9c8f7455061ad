import hashlib
import json
import re
from typing import get_args

import numpy as np
import pytest
from pydantic import ValidationError

from analysis import run_analyses
from analysis.analyses.banners import banners
from analysis.analyses.deviations import deviations
from analysis.analyses.significance import judge
from analysis.metrics.registry import BY_NAME, METRICS
from analysis.plan import REFUSED_METRICS, REFUSED_TESTS, Declaration, Plan, PrimaryMetric
from analysis.report.markdown import report
from analysis.results import Results
from analysis.statistics.reliability import brier

RATES = {"none": 0.6, "lete": 0.9}
IDENTITY = {"data_digest": "data", "torch_version": "2.13.0", "precision": "fp32", "device": "cpu"}
IDENTITIES = {model: {**IDENTITY, "config_hash": f"config-{model}", "code_digest": f"code-{model}"} for model in RATES}


def declare(**changes):
    return Declaration(**{"plan": Plan(), "seeds": (0, 1, 2), "identity": IDENTITIES, **changes})


def build(tables, draw, spoil=None, **changes):
    runs, curves, predictions = tables(draw(RATES))
    if spoil:
        column, value, rows = spoil
        runs.loc[rows, column] = value
    return Results(runs, curves, predictions, plan=Plan(), declaration=declare(**changes), allow_missing=True)


def test_a_study_as_planned_deviates_in_nothing(tables, draw):
    results = build(tables, draw)
    assert deviations(results) == banners(results) == []
    text = report(run_analyses(results, ["overview", "significance"]))
    assert "None: the runs are those that were planned." in text
    assert f"| hash | {declare().hash} |" in text
    assert "| seeds | 0, 1, 2 |" in text
    assert "| exclusions | none |" in text


def test_seeds_added_by_hand_are_said_with_the_level_that_is_left(tables, draw):
    results = Results(*tables(draw(RATES, seeds=6)), plan=Plan(), declaration=declare())
    [banner] = banners(results)
    assert "not in the plan: 3, 4 and 5." in banner
    twice, often = re.findall(r"in (\d+\.\d) % \(at most (\d+) %\)", banner)
    assert "looked at with 3 seeds and with 6 call" in banner
    assert 7 < float(twice[0]) < 9.5  # one pair: .05 at each of two looks that have half their seeds in common
    assert float(twice[0]) < float(often[0]) < 15
    assert (twice[1], often[1]) == ("10", "20")
    two = banners(build(tables, draw, seeds=(0, 1)))
    assert "(at most 5 %)" in two[0]  # two seeds gave no verdict


def test_seeds_added_to_one_seed_that_are_still_too_few_for_a_verdict_are_said_without_a_level(tables, draw):
    results = Results(*tables(draw(RATES, seeds=2)), plan=Plan(), declaration=declare(seeds=(0,)))
    [said] = [banner for banner in banners(results) if "not in the plan" in banner]
    assert said.startswith(
        "Extra seeds, not in the plan: 1. No verdict was given before they were added, and none is given now"
    )


DEVIATIONS = {
    "extra seed": ({"seeds": (0, 1)}, None, "Extra seeds, not in the plan: 2."),
    "absent seed": ({"seeds": (0, 1, 2, 3)}, None, "Planned seeds that were left out: 3."),
    "late": ({"finished_before": ("lete/seed-0",)}, None, "1 run had finished before the plan was declared"),
    "plan": ({"plan": Plan(margin=0.01)}, None, "The plan in use is not the one that was declared."),
    "model": ({"identity": {"none": IDENTITIES["none"]}}, None, "lete is not in the plan."),
    "failed": ({}, ("status", "FAILED", [4]), "Failed or missing cells: lete seed 1."),
    "code": ({}, ("code_digest", "x", [4, 5]), "lete: 2 of 3 runs have another code than planned."),
    "data": ({}, ("data_digest", "x", slice(None)), "lete: 3 of 3 runs have another data than planned."),
    "device": ({}, ("device", "cuda", [0]), "none: 1 of 3 runs have another device than planned."),
}


@pytest.mark.parametrize("case", DEVIATIONS)
def test_every_deviation_is_listed_with_the_plan_and_counted_under_the_verdict(case, tables, draw):
    changes, spoil, said = DEVIATIONS[case]
    results = build(tables, draw, spoil, **changes)
    found = deviations(results)
    assert said in " ".join(found)
    text = report(run_analyses(results, ["overview", "significance"]))
    assert f"{len(found)} deviation" in text[: text.index("## Results")]
    assert said in text[text.index("### Deviations from the plan") :]


@pytest.mark.parametrize("case", ["extra seed", "absent seed", "failed"])
def test_seeds_that_are_not_the_planned_ones_are_said_at_the_head(case, tables, draw):
    changes, spoil, _ = DEVIATIONS[case]
    (banner,) = banners(build(tables, draw, spoil, **changes))
    assert banner.startswith(("Extra seeds", "Planned seeds that were left out", "Missing cells"))


def test_without_a_stored_plan_all_is_exploratory(study, draw):
    assert deviations(study(draw(RATES))) == ["No plan was stored before the runs: take everything as exploratory."]


def test_the_hash_is_of_what_is_claimed_and_not_of_when():
    assert declare().hash == declare(declared="2026-01-01T00:00:00+00:00", finished_before=("a",)).hash
    others = [
        declare(seeds=(0, 1)),
        declare(plan=Plan(alpha=0.01)),
        declare(identity={}),
        declare(plan=Plan(exclusions=("x",))),
    ]
    assert len({declare().hash, *(other.hash for other in others)}) == 5
    again = Declaration.model_validate_json(declare().model_dump_json())
    assert again == declare()
    assert again.hash == declare().hash


@pytest.mark.parametrize("name", REFUSED_TESTS)
def test_tests_that_cannot_carry_the_verdict_are_refused_by_name(name):
    with pytest.raises(ValidationError, match="must be 'two_way'"):
        Plan(test=name)


@pytest.mark.parametrize(
    ("setting", "name", "reason"),
    [
        ("test", "epochs", "epochs of one run are no replicates"),
        ("test", "chi_squared", "treats answers to the same sequences as independent"),
        ("test", "wilcoxon", "0.0625 with 5 seeds and above 0.05: it can never be significant with fewer than 6"),
        ("primary_metric", "best_accuracy", "a checkpoint chosen on test scores too high"),
        ("primary_metric", "final_accuracy", "not chosen on validation"),
        ("primary_metric", "macro_f1", "it is no mean over sequences"),
        ("primary_metric", "macro_f1", "balanced_accuracy answers the same need"),
        ("primary_metric", "macro_f1", "must be 'test_accuracy' or 'balanced_accuracy'"),
        ("primary_metric", "negative_log_likelihood", "it has no bound"),
        ("primary_metric", "brier_score", "of the predicted class alone"),
        ("primary_metric", "calibration_error", "it is no mean over sequences"),
        ("primary_metric", "risk_coverage", "it is no mean over sequences"),
        ("primary_metric", "validation_accuracy", "the epoch was chosen by it"),
    ],
)
def test_a_refusal_says_why(setting, name, reason):
    with pytest.raises(ValidationError, match=reason):
        Plan(**{setting: name})


def test_every_metric_of_the_answers_may_be_primary_or_is_refused_with_its_reason():
    of_answers = [
        metric.name for metric in METRICS if metric.name.endswith(("accuracy", "_f1", "_score", "_likelihood"))
    ]
    assert set(of_answers) - {"mean_validation_accuracy"} <= {*get_args(PrimaryMetric), *REFUSED_METRICS}
    assert set(REFUSED_METRICS) <= set(BY_NAME)


def test_the_test_would_call_models_equivalent_whose_likelihoods_are_not():
    """Simulated, as docs/statistics.md tells it; the chance that no image shows the difference is .999^500 = .61."""
    generator, plan, found = np.random.default_rng(0), Plan(margin=0.01), []
    for _ in range(200):
        a_Sn, b_Sn = 0.05 * generator.standard_normal((2, 5, 500))
        a_Sn[:, generator.random(500) < 0.001] -= np.log(1e6)
        found += list(judge([(a_Sn, b_Sn)], np.ones(1, dtype=bool), 2, plan)[1]["verdict"])
    assert 0.5 < np.mean(np.array(found) == "equivalent") < 0.7


def test_the_brier_score_of_the_predicted_class_prefers_who_knows_nothing():
    guessed, known = np.arange(10) < 1, np.arange(10) < 6
    assert brier(np.full(10, 0.1), guessed) == pytest.approx(0.09)
    assert brier(np.full(10, 0.6), known) == pytest.approx(0.24)


def test_plans_from_before_there_was_another_metric_keep_their_hash():
    declared = Declaration(plan=Plan(), seeds=(0, 1, 2), identity={})
    assert declared.hash == "65b5e96c0c03d5451fc7c9ad1928a5903d1f6671eefcdce5ce89de58a8bf63c5"
    other = declared.model_copy(update={"plan": Plan(primary_metric="balanced_accuracy")})
    assert other.hash != declared.hash


def test_what_a_plan_lists_as_idle_is_in_no_hash(monkeypatch):
    told = [Declaration(plan=Plan(exclusions=why), seeds=(0,), identity={}) for why in ((), ("a power cut",))]
    assert told[0].hash != told[1].hash
    monkeypatch.setattr(Plan, "idle", lambda _: {"exclusions"})
    assert told[0].hash == told[1].hash


def test_a_plan_without_looks_has_the_hash_that_it_had_before_there_were_any():
    claimed = {"plan": Plan().effective(), "seeds": [0, 1, 2], "identity": {}}
    assert {"looks", "levels"} & set(claimed["plan"]) == set()
    plain = Declaration(plan=Plan(), seeds=(0, 1, 2), identity={})
    assert plain.hash == hashlib.sha256(json.dumps(claimed, sort_keys=True).encode()).hexdigest()
    looked = Declaration(plan=Plan().until_decided(), seeds=(0, 1, 2), identity={})
    other = Declaration(plan=Plan().until_decided(10), seeds=(0, 1, 2), identity={})
    assert len({plain.hash, looked.hash, other.hash}) == 3


def test_the_order_of_declared_pairs_is_no_part_of_the_claim():
    one = Plan(family="pairs", pairs=[["lete", "sincos"], ["position", "lete"]])
    other = Plan(family="pairs", pairs=[["lete", "position"], ["sincos", "lete"]])
    assert one == other
    assert one.pairs == (("lete", "position"), ("lete", "sincos"))
    assert Plan.model_validate_json(one.model_dump_json(), strict=True) == one
    fewer = Plan(family="pairs", pairs=[["lete", "position"]])
    assert len({plan.study_of({}) for plan in (one, fewer, Plan())}) == 3


def test_a_plan_without_pairs_has_the_hash_that_it_had_before_there_were_any():
    assert "pairs" not in Plan(family="reference").effective()


@pytest.mark.parametrize(
    ("family", "declared"),
    [
        ({"family": "all"}, "ab ac bc"),
        ({"family": "reference"}, "ab bc"),
        ({"family": "pairs", "pairs": [["c", "a"]]}, "ac"),
    ],
)
def test_a_family_declares_its_pairs_whatever_their_order(family, declared):
    plan = Plan(**family)
    found = [a + b for a, b in ("ab", "ac", "bc") if plan.declares(a, b, reference="b")]
    assert found == [a + b for a, b in ("ab", "ac", "bc") if plan.declares(b, a, reference="b")] == declared.split()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"looks": [5, 5], "levels": [0.01, 0.02]}, "each above the one before"),
        ({"looks": [2, 5], "levels": [0.01, 0.02]}, "numbers of seeds from 3 to 1000"),
        ({"looks": [5, 10]}, "levels: must be one for each of the 2 looks, got 0"),
        ({"levels": [0.05]}, "levels: must be one for each of the 0 looks, got 1"),
        ({"looks": [5, 10], "levels": [0.02, 0.04]}, "levels: must add up to at most alpha, 0.05, got 0.06"),
        ({"looks": [5, 10], "levels": [0, 0.04]}, "greater than 0"),
    ],
)
def test_looks_that_do_not_hold_the_level_are_refused(fields, said):
    with pytest.raises(ValidationError, match=said):
        Plan(**fields)
