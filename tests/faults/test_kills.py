"""A study killed at any moment resumes with the same command, and ends with the results of an undisturbed run."""

import random
import signal
import time

import pytest
from harness import COMPARE, FULL, check_same, epochs_in, send, state_of, wait_for

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
        # Spread over the epochs, including the ends of cells, and over the time between two epochs.
        target = min(before + draws.randrange(2 * EPOCHS // KILLS), EPOCHS)
        moment = draws.uniform(0, 0.3)
        workers = "2" if FULL or each == "worker" else "1"
        running = place.start(*COMPARE, "--workers", workers)

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


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_analysis_whose_browser_hangs_ends_when_it_is_interrupted(place, mlflow_store, tally, number):
    assert mlflow_store
    place.study(epochs=1)
    place.compare().check()
    told, browser = place.folder / "process", place.folder / "browser"
    browser.write_text(f"#!/bin/sh\necho $$ > '{told}'\nexec sleep 1000\n")
    browser.chmod(0o755)
    running = place.start("analyze", BROWSER_PATH=str(browser))
    with tally.fault():
        process = int(wait_for(lambda: told.exists() and told.read_text(), "the browser"))
        send(running.pid, number)
        assert running.end(30).check(130).error == "interrupted: the same command begins anew.\n"
        assert state_of(process) in ("", "Z")
        place.run("analyze").check()
