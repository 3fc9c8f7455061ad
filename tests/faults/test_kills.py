"""Killed at any moment, a study goes on with the same command, and ends as if nobody had disturbed it."""

import random
import time

import pytest
from harness import FULL, check_same, epochs_in, wait_for

KILLS = 20 if FULL else 2
STUDY = {"epochs": 24}
EPOCHS = 4 * 24


@pytest.mark.slow
def test_a_study_that_is_killed_again_and_again_ends_as_an_undisturbed_one(place, mlflow_store, undisturbed, tally):
    place.study(**STUDY)
    draws = random.Random(20)  # noqa: S311 - moments
    whom = [("parent", "worker", "both")[number % 3] for number in range(KILLS)]
    draws.shuffle(whom)
    for number, each in enumerate(whom):
        before = epochs_in(mlflow_store)
        # Spread over the epochs, the ends of cells between them among these, and over the moments between two epochs.
        target = min(before + draws.randrange(2 * EPOCHS // KILLS), EPOCHS)
        moment = draws.uniform(0, 0.3)
        workers = "2" if FULL or each == "worker" else "1"
        running = place.start("compare", "--config", "tiny.json", "--workers", workers)

        def reached(target=target, running=running):
            return epochs_in(mlflow_store) >= target or running.ended()

        with tally.fault():
            wait_for(reached, f"epoch {target}")
            time.sleep(moment)
            running.kill(each, draws.randrange(2))
            ended = running.end()
            assert ended.code in ({0, 1, -9} if each == "worker" else {0, -9}), (number, each, ended)
            assert "Traceback" not in ended.error, ended.error
    place.compare().check()
    check_same(tally, mlflow_store, undisturbed(**STUDY))
