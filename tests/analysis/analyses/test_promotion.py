from dataclasses import replace

import numpy as np
import pytest

from analysis.analyses.promotion import chosen_run, compare_costs, leader, verdict_on
from analysis.analyses.significance import pair_table, seen_from
from analysis.plan import Plan

RATES = {"none": 0.6, "sincos": 0.9, "lete": 0.7}


def test_the_leader_has_the_highest_mean_of_the_primary_metric(study):
    # 9 of 12 are of class 0: one model is right on those, the other on all but four of them.
    common, rare = [1] * 8 + [0] * 4, [0] * 5 + [1] * 7
    results = study({"common": [common] * 2, "rare": [rare] * 2}, classes=3)
    labels = np.repeat(np.array([0, 1, 2, 1]), [9, 1, 1, 1])
    predictions = results.predictions.assign(label=np.tile(labels, 4))
    right = np.concatenate([common * 2, rare * 2]).astype(bool)
    predictions["predicted"] = np.where(right, predictions["label"], (predictions["label"] + 1) % 3)
    results = replace(results, predictions=predictions)
    assert leader(results) == "common"
    assert leader(replace(results, plan=Plan(primary_metric="balanced_accuracy"))) == "rare"


def test_the_run_is_chosen_by_validation_and_not_by_test(study, draw):
    scores = {("lete", 0): 0.7, ("lete", 1): 0.8, ("lete", 2): 0.8}

    def curve(model, seed, split, epoch):
        if split == "test":
            return 0.9 - 0.1 * seed  # the best on test is seed 0
        return scores.get((model, seed), 0.99) * (1 if epoch == 3 else 0.5)

    results = study(draw({"none": 0.6, "lete": 0.9}), curve=curve)
    assert chosen_run(results, "lete")["seed"] == 1  # of two that are equal the lower seed
    assert chosen_run(results, "none")["seed"] == 0


def test_without_validation_the_lowest_seed_is_chosen(study, draw):
    results = study(draw(RATES))
    curves = results.curves[results.curves["split"] != "validation"]
    assert chosen_run(replace(results, curves=curves), "sincos")["seed"] == 0


def test_a_verdict_is_seen_from_the_model_that_is_asked_about(study, draw):
    results = study(draw(RATES))
    ahead, behind = verdict_on(results, "sincos", "none"), verdict_on(results, "none", "sincos")
    assert (ahead.word, behind.word) == ("better", "worse")
    assert ahead.sentence.startswith("sincos is better than none: +")
    assert behind.sentence.startswith("none is worse than sincos: -")
    assert ahead.sentence.endswith("(n = 3 seeds x 400 sequences).")


def test_a_mirrored_pair_is_the_pair_of_the_study_in_the_other_order(study, draw):
    correct = draw(RATES)
    rows = {}
    for order in (("none", "sincos"), ("sincos", "none")):
        [(_, row)] = pair_table(study({model: correct[model] for model in order})).iterrows()
        rows[order] = row
    mirrored = seen_from(rows["none", "sincos"], "none")
    for name, value in rows["sincos", "none"].items():
        expected = pytest.approx(value, nan_ok=True) if isinstance(value, float) else value
        assert mirrored[name] == expected, name


def costs(study, *, parameters=(1000, 1000), seconds=((2.0, 2.0, 2.0), (2.0, 2.0, 2.0)), timed=True):
    same = np.ones((3, 8))
    results = study({"new": same, "old": same})
    runs = results.runs.assign(
        parameters=np.repeat(parameters, 3), epoch_seconds=np.concatenate([np.array(each) for each in seconds])
    )
    return compare_costs(replace(results, runs=runs), "new", "old", timed=timed)


CLOSE, APART = ((2.0, 2.1, 2.2), (2.1, 2.2, 2.3)), ((1.0, 1.1, 1.2), (3.0, 3.1, 3.2))


@pytest.mark.parametrize(
    ("given", "cheaper"),
    [
        ({}, False),
        ({"parameters": (900, 1000)}, True),
        ({"parameters": (1000, 900)}, False),
        ({"seconds": APART}, True),
        ({"seconds": APART[::-1]}, False),
        ({"seconds": CLOSE}, False),  # the intervals overlap
        ({"seconds": CLOSE[::-1], "parameters": (900, 1000)}, True),
        ({"seconds": APART[::-1], "parameters": (900, 1000)}, False),  # dearer in one
        ({"seconds": APART, "parameters": (1000, 900)}, False),
        ({"seconds": APART, "timed": False}, False),
        ({"seconds": APART[::-1], "parameters": (900, 1000), "timed": False}, True),
    ],
    ids=str,
)
def test_cheaper_is_lower_in_one_cost_and_dearer_in_none(study, given, cheaper):
    assert costs(study, **given).cheaper is cheaper


def test_costs_are_said_in_numbers(study):
    said = costs(study, parameters=(900, 1000), seconds=APART).sentence
    assert said == "900 parameters against 1,000, 1.1 s [0.852, 1.35] per epoch against 3.1 s [2.85, 3.35]"
    assert "different processors" in costs(study, timed=False).sentence
