"""Commands that start at the same time on one store, which may be new: each cell is trained once, without a traceback."""

import pytest
from harness import COMPARE, check_same, digests, wait_for

from pipeline.tracking import connect


@pytest.fixture(params=["local", "server"])
def store(request, place):
    """The address, for the commands, of a store that was never opened: a file, or a server for PostgreSQL."""
    if request.param == "local":
        return f"sqlite:///{place.folder}/mlflow.db"
    place.environment["MLFLOW_TRACKING_URI"] = request.getfixturevalue("postgres_server")
    return place.environment["MLFLOW_TRACKING_URI"]


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 5])
def test_of_compares_of_one_study_at_once_one_trains_and_the_others_say_so(place, undisturbed, tally, store, count):
    study = {"epochs": 6}
    place.study(**study)
    ended = [each.end() for each in [place.start(*COMPARE, "--workers", "1") for _ in range(count)]]
    assert 0 in [each.code for each in ended]
    for each in ended:
        with tally.fault():
            if each.code:
                each.refused("must be free", "works on. Wait for that to end.")
            each.check(each.code)
    place.compare().check()
    check_store(tally, place, store, undisturbed(**study))


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 10])
def test_processes_that_start_at_once_on_a_new_store_all_work(place, undisturbed, tally, store, count):
    study = {"models": ("none",), "seeds": count, "epochs": 6}
    place.study(**study)
    for each in start_array(place, range(count)):
        with tally.fault():
            each.end().check()
    place.compare().check()
    check_store(tally, place, store, undisturbed(**study))


@pytest.mark.exhaustive
@pytest.mark.slow
def test_an_array_of_jobs_that_helps_a_study_is_no_deviation_from_its_plan(place, undisturbed, tally, store):
    study = {"models": ("none",), "seeds": 4, "epochs": 20}
    place.study(**study)
    first = place.start("compare", "--config", "tiny.json", "--workers", "1")
    wait_for(lambda: "none" in first.text("out") or first.ended(), "the plan")
    jobs = start_array(place, range(3, -1, -1))
    for each in (first, *jobs):
        with tally.fault():
            each.end().check()
    check_store(tally, place, store, undisturbed(**study))
    place.run("analyze", BROWSER_PATH="/no/browser").check()
    report = (place.folder / "results/tiny/analysis_report.md").read_text()
    assert "before the plan was declared" not in report
    assert "Extra seeds" not in report


def start_array(place, seeds):
    options = ("--models", "none", "--config", "tiny.json")
    return [place.start("train", *options, "--seeds", str(seed)) for seed in seeds]


def check_store(tally, place, uri, twin):
    """Compare a store with that of an undisturbed study; for a server, whose rows are elsewhere, compare the runs and their weights."""
    if uri.startswith("sqlite"):
        return check_same(tally, place.folder / "mlflow.db", twin)
    assert digests(uri) == digests(f"sqlite:///{twin}")
    names = [
        [run.name for run in connect(one).find(status="FINISHED") if "cell" in run.tags]
        for one in (uri, f"sqlite:///{twin}")
    ]
    assert sorted(names[0]) == sorted(names[1])
    return None
