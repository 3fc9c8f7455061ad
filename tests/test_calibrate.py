"""A coarse version of the table of error rates in docs/statistics.md, with fixed seeds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.analyses.significance import judge
from analysis.statistics.two_way import scores
from scripts import calibrate
from scripts.calibrate import UNEQUAL, WORLDS, World, by_seeds, by_world, error_rates, of_unequal, unequal_rates

STUDIES = 200


def error(rate):
    return (rate * (1 - rate) / STUDIES) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("world", ["seeds dominate", "mixed, images more", "coin flips", "nearer, 128 images"])
@pytest.mark.parametrize("pairing", ["paired", "unpaired"])
def test_verdicts_are_wrong_as_seldom_as_they_say(world, pairing):
    found = error_rates((world, 3, pairing), studies=STUDIES)
    for name in ("family_wise_2", "family_wise_4", "false_equivalent"):
        assert found[name] <= 0.05 + 3 * error(0.05), name
    assert found["coverage"] >= 0.95 - 3 * error(0.95)


@pytest.mark.slow
@pytest.mark.parametrize("world", UNEQUAL)
def test_verdicts_on_balanced_accuracy_are_wrong_as_seldom_as_they_say(world):
    found = unequal_rates((world, 5, "paired"), studies=STUDIES)
    for name in ("family_wise_2", "family_wise_4", "false_equivalent"):
        assert found[name] <= 0.05 + 3 * error(0.05), name
    for name in ("coverage", "coverage_of_a_model"):
        assert found[name] >= 0.95 - 3 * error(0.95), name


@pytest.mark.slow
def test_a_test_that_forgets_the_seeds_is_found_out(monkeypatch):
    def forgetful(answers, declared, models, plan, strata):
        first = [(a_Sn[:1].repeat(3, axis=0), b_Sn[:1].repeat(3, axis=0)) for a_Sn, b_Sn in answers]
        return judge(first, declared, models, plan, strata)

    monkeypatch.setattr(calibrate, "judge", forgetful)
    assert error_rates(("seeds dominate", 3, "paired"), studies=STUDIES)["family_wise_4"] > 0.3


@pytest.mark.parametrize("name", WORLDS)
def test_the_true_accuracy_of_a_world_is_the_one_that_is_said(name):
    world = replace(WORLDS[name], images=4000)
    accuracies = [world.accuracy, world.accuracy - 0.1]
    found = world.answers(accuracies, 200, np.random.default_rng(0)).mean(axis=(1, 2))
    assert found == pytest.approx(accuracies, abs=0.03)


@pytest.mark.parametrize("name", UNEQUAL)
def test_the_true_balanced_accuracy_of_a_world_of_unequal_classes_is_the_one_that_is_said(name):
    parts = (replace(UNEQUAL[name].frequent, images=2000), replace(UNEQUAL[name].rare, images=2000))
    world = replace(UNEQUAL[name], frequent=parts[0], rare=parts[1])
    accuracies = [world.accuracy, world.accuracy - 0.1]
    answers = world.answers(accuracies, 200, np.random.default_rng(0))
    assert [scores(one, world.strata).mean() for one in answers] == pytest.approx(accuracies, abs=0.03)
    own = [one[:, stratum].mean() for one in answers for stratum in world.strata]
    assert own[3] - own[1] == pytest.approx(world.trade - 0.1, abs=0.06)


def test_hard_images_are_hard_for_all_models_and_seeds():
    right = World(0.5, 400, image=50).answers([0.5, 0.5], 3, np.random.default_rng(0))
    assert (right == right[0, 0]).mean() > 0.95


def test_the_tables_leave_out_what_has_no_verdict_and_the_world_that_no_test_bears():
    cases = [(world, seeds, "paired") for world in ("coin flips", "one model collapses") for seeds in (2, 3)]
    table = pd.DataFrame([error_rates(case, studies=2) for case in cases])
    assert (table.loc[table["seeds"] == 2, ["family_wise_2", "family_wise_4", "false_equivalent"]] == 0).all(axis=None)
    table["family_wise_4"] = [0.0, 0.01, 0.0, 0.3]
    table.loc[3, "coverage"] = 0.5
    assert by_world(table).splitlines()[-2:] == [
        "| coin flips | paired | .010 |",
        "| one model collapses | paired | .300 |",
    ]
    assert ".300" not in by_seeds(table)
    assert ".500" not in by_seeds(table)


def test_the_table_of_unequal_classes_has_a_row_a_world_and_pairing():
    table = pd.DataFrame([unequal_rates((name, 3, "paired"), studies=2) for name in UNEQUAL])
    table["coverage_of_a_model"] = 0.25
    header, _, *rows = of_unequal(table).splitlines()
    assert len(rows) == len(UNEQUAL)
    assert all(row.count("|") == header.count("|") and row.endswith("| .250 |") for row in rows)
