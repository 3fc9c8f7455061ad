"""Commands that start at once on one store, which may be new: each cell is trained once, and nobody ends in a traceback."""

import pytest
from harness import COMPARE, check_same

STUDY = {"epochs": 6}


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 5])
def test_of_compares_of_one_study_at_once_one_trains_and_the_others_say_so(place, undisturbed, tally, count):
    place.study(**STUDY)
    ended = [each.end() for each in [place.start(*COMPARE, "--workers", "1") for _ in range(count)]]
    assert 0 in [each.code for each in ended]
    for each in ended:
        with tally.fault():
            if each.code:
                each.refused("must be free", "works on. Wait for that to end.")
            each.check(each.code)
    place.compare().check()
    check_same(tally, place.folder / "mlflow.db", undisturbed(**STUDY))


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 10])
def test_processes_that_start_at_once_on_a_new_store_all_work(place, undisturbed, tally, count):
    study = {"models": ("none",), "seeds": count, "epochs": 6}
    place.study(**study)
    options = ("--models", "none", "--config", "tiny.json")
    for each in [place.start("train", *options, "--seeds", str(seed)) for seed in range(count)]:
        with tally.fault():
            each.end().check()
    place.compare().check()
    check_same(tally, place.folder / "mlflow.db", undisturbed(**study))
