"""A coarse version of the tables of looks in docs/statistics.md, with fixed seeds."""

import pytest

from scripts.looks import DECIDED, DESIGNS, MOST_10, PREDICTED, family, one_pair, one_pair_table

STUDIES = 2000


def error(rate, studies=STUDIES):
    return (rate * (1 - rate) / studies) ** 0.5


@pytest.mark.slow
def test_looks_save_seeds_and_keep_power_and_level():
    for images in (0.0, 0.15):
        for name in ("looks at 5, 10, 20", "looks at 4, 6, 8, 10"):
            assert one_pair(name, 0.0, images, STUDIES).found <= 0.05 + 3 * error(0.05)
    at_one, fixed = (one_pair(name, 1.0, 0.0, STUDIES) for name in ("looks at 5, 10, 20", "20 seeds, one look"))
    assert at_one.found == pytest.approx(0.98, abs=0.02)
    assert at_one.seeds == pytest.approx(13.8, abs=0.5)
    assert (fixed.seeds, round(fixed.found, 2)) == (20, pytest.approx(0.99, abs=0.01))
    assert one_pair("every seed from 3 to 20 at .05", 0.0, 0.0, STUDIES).found > 0.15


@pytest.mark.slow
@pytest.mark.parametrize("images", [0.0, 0.15])
def test_predicted_decisions_keep_power_and_level_and_take_more_seeds_than_looks(images):
    name, studies = "decision at 20 predicted at 0.9", 500
    assert one_pair(name, 0.0, images, studies).found <= 0.05 + 3 * error(0.05, studies)
    at_one, looks = (one_pair(design, 1.0, images, studies) for design in (name, "looks at 5, 10, 20"))
    assert at_one.found > looks.found - 2 * error(looks.found, studies)
    assert at_one.seeds > looks.seeds + 1


@pytest.mark.slow
@pytest.mark.parametrize("world", ["seeds dominate", "coin flips"])
@pytest.mark.parametrize("plan", [DECIDED, MOST_10], ids=["decided", "most 10"])
def test_families_are_wrong_as_seldom_as_they_say(world, plan):
    wrong, equal, seeds = family(world, plan, 100)
    assert wrong <= 0.05 + 3 * error(0.05, 100)
    assert equal <= 0.05 + 3 * error(0.05, 100)
    assert plan.looks[0] <= seeds <= plan.looks[-1]


def test_the_table_has_a_row_a_design():
    lines = one_pair_table(20).splitlines()
    assert len(lines) == 2 + 2 * (len(DESIGNS) + len(PREDICTED))
    assert lines[0] == "| design | images | gap 0 | gap 0.75 | gap 1 | gap 1.5 |"
