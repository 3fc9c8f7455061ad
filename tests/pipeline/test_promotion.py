"""The verb that makes the best model of a study the champion, and what it refuses."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from pipeline.__main__ import main
from pipeline.comparison import compare
from pipeline.config import digest_of_file
from pipeline.errors import UsageError
from pipeline.promotion.promote import promote
from pipeline.removal import remove
from pipeline.stored_study import find_study
from pipeline.study import study_of
from pipeline.tracking import MOST_LETTERS, SEALED, MemoryTracker
from pipeline.tracking.mlflow_tracker import MlflowTracker

TESTS = 200
NAME = "event-classifier"
STUDIES = {"first": ["none", "sincos"], "second": ["sincos", "scalar"], "apart": ["none", "scalar"]}


def every(part, seed):
    """Return (TESTS,) answers, wrong in every so many sequences; other ones for each seed."""
    return (np.arange(TESTS) + seed) % part != 0


RIGHT = {"none": 2, "sincos": 4, "scalar": 10}
"""Every so many answers of a model are wrong: sincos is better than none, and scalar is better than both."""


def answer(tracker, run, right):
    """Let a stored run have answered these test sequences right, and the others wrong."""
    path = tracker.fetch(run.id, "predictions.parquet")
    table = pd.read_parquet(path)
    table["predicted"] = np.where(right, table["label"], (table["label"] + 1) % 4)
    table.to_parquet(path)
    tracker.set_tags(run.id, {SEALED + "predictions.parquet": digest_of_file(path)})
    tracker.log_metrics(run.id, {"test_accuracy": float(right.mean())})


def runs_of(tracker, model):
    return sorted(tracker.find(model=model), key=lambda run: int(run.tags["seed"]))


def train(tracker, tiny, name, models, seeds):
    variants = {model: {"model.embedding.name": model} for model in models}
    tree = {"base": tiny, "variants": variants, "seeds": seeds, "plan": {"margin": 0.04}}
    compare(study_of(tree, name), tracker, workers=1, device="cpu")


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A store with three studies of two of three models; their answers are made up."""
    tracker = MemoryTracker(tmp_path_factory.mktemp("promotion") / "store")
    for name, models in STUDIES.items():
        train(tracker, {**tiny, "data.test_size": TESTS}, name, models, [0, 1, 2])
    for model, part in RIGHT.items():
        for seed, run in enumerate(runs_of(tracker, model)):
            answer(tracker, run, every(part, seed))
    return tracker


@pytest.fixture
def opened(trained, copied, workplace, monkeypatch):
    """A copy of that store, which the verb opens."""
    copy = copied(trained, workplace / "store")
    monkeypatch.setattr("pipeline.verbs.open_store", lambda *_: (copy, None))
    return copy


@pytest.fixture
def reigned(opened, capsys):
    """The same, with sincos as the champion."""
    assert main(["promote", "first"]) == 0
    capsys.readouterr()
    return opened


def version_of(tracker, alias="champion"):
    return tracker.registry.of_alias(NAME, alias)


def only(capsys):
    """Return the one line of an error."""
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


def test_the_first_champion_is_better_than_the_reference_of_its_study(opened, capsys):
    assert main(["promote", "first"]) == 0
    [version] = opened.registry.versions(NAME)
    assert (version.number, version.aliases) == (1, ("champion",))
    assert (
        version.tags.items()
        >= {"model": "sincos", "verdict": "better", "decided_by": "verdict", "against": "none"}.items()
    )
    assert opened.get(version.run_id).tags["model"] == "sincos"
    said = capsys.readouterr().out
    assert f"{NAME} version 1 is the champion: sincos, seed {version.tags['seed']}, run {version.run_id}" in said
    assert "verdict: sincos is better than none: +25.00 points [" in said
    assert opened.find(status="RUNNING") == []


def test_the_run_is_the_best_on_validation(reigned):
    scores = {
        run.id: max(row["validation/accuracy"] for row in json.loads(reigned.fetch(run.id, "history.json").read_text()))
        for run in runs_of(reigned, "sincos")
    }
    assert version_of(reigned).run_id == max(scores, key=lambda run: scores[run])  # the first of several


def test_a_better_model_takes_the_place_of_the_champion(reigned, capsys):
    before = version_of(reigned)
    assert main(["promote", "second"]) == 0
    now = version_of(reigned)
    assert (now.number, now.tags["model"], now.tags["follows"]) == (2, "scalar", "1")
    assert version_of(reigned, "previous").run_id == before.run_id
    assert [version.aliases for version in reigned.registry.versions(NAME)] == [("previous",), ("champion",)]
    assert "is the champion, in place of version 1, which is previous now: scalar" in capsys.readouterr().out


def make(case, tracker, parameters):
    """Let scalar be, of the first study's champion, what a case says; every such model leads its study but the worse one."""
    for seed, run in enumerate(runs_of(tracker, "scalar")):
        sincos = every(RIGHT["sincos"], seed)
        others = (np.arange(TESTS) * 7 + seed) % 50 < 38  # 76 %
        right = others if case == "undecided" else sincos | (np.arange(TESTS) == 3 * seed + 4)  # one more than sincos
        answer(tracker, run, right)
        tracker.log_metrics(run.id, {"parameters": parameters})
    for model in STUDIES["second"]:
        for run in runs_of(tracker, model):
            tracker.log_metrics(run.id, {"epoch_seconds": 1.0})


@pytest.mark.parametrize(
    ("case", "parameters", "said"),
    [
        ("undecided", 10, "got undecided: scalar against sincos is undecided: +1.00 points ["),
        ("equivalent", 10**6, "got equivalent: scalar and sincos are equivalent within 4 points"),
    ],
    ids=["undecided", "equivalent and dearer"],
)
def test_a_leader_that_is_not_shown_to_be_better_is_refused_with_the_verdict(reigned, capsys, case, parameters, said):
    make(case, reigned, parameters)
    runs = len(reigned.find())
    assert main(["promote", "second"]) == 1
    line = only(capsys)
    must = f"scalar must be better than the champion, {NAME} version 1, or equivalent and cheaper, "
    assert line.startswith(f"failed: promote: {must}{said}")
    assert ("scalar is not cheaper: 1,000,000 parameters against" in line) is (case == "equivalent")
    assert "--reason TEXT" in line
    assert [version.number for version in reigned.registry.versions(NAME)] == [1]
    assert len(reigned.find()) == runs


def test_an_equivalent_and_cheaper_model_takes_the_place_of_the_champion(reigned, capsys):
    make("equivalent", reigned, 10)
    assert main(["promote", "second"]) == 0
    assert (
        version_of(reigned).tags.items()
        >= {"model": "scalar", "verdict": "equivalent", "decided_by": "verdict"}.items()
    )
    assert "scalar is cheaper: 10 parameters against" in capsys.readouterr().out


def test_a_leader_that_is_worse_on_the_seeds_of_both_is_refused(reigned, capsys, monkeypatch):
    """With looks, models have other seeds each: the highest mean may be of seeds that the champion does not have."""
    monkeypatch.setattr("pipeline.promotion.promote.leader", lambda _: "none")
    assert main(["promote", "first"]) == 1
    assert "got worse: none is worse than sincos: -25.00 points [" in only(capsys)
    assert version_of(reigned).number == 1


def test_a_reason_promotes_all_the_same_and_is_recorded(reigned, capsys):
    make("undecided", reigned, 10)
    assert main(["promote", "second", "--reason", "it is *needed* today"]) == 0
    version = version_of(reigned)
    assert (
        version.tags.items()
        >= {"reason": "it is *needed* today", "decided_by": "reason", "verdict": "undecided"}.items()
    )
    assert "reason: it is *needed* today" in capsys.readouterr().out
    text = reigned.registry.descriptions[NAME, 2]
    assert "Promoted for a reason that was given, not by a verdict: it is \\*needed\\* today" in text
    assert version_of(reigned, "previous").number == 1


def test_a_study_without_the_champions_variant_is_refused_with_what_to_do(reigned, capsys):
    assert main(["promote", "apart"]) == 2
    line = only(capsys)
    assert f"the study must hold the champion's variant, sincos ({NAME} version 1, variant " in line
    assert "got none, scalar. Add that variant, with the config.json of run" in line
    assert main(["promote", "apart", "--reason", "sincos is not allowed any more"]) == 0
    assert version_of(reigned).tags["verdict"] == "not compared"


def test_the_same_run_again_changes_nothing_and_says_so(reigned, capsys):
    before = reigned.registry.versions(NAME)
    for more in ([], ["--reason", "twice"]):
        assert main(["promote", "first", *more]) == 0
        assert (
            f"nothing changes: the champion, {NAME} version 1, is this run already (sincos, seed "
            in capsys.readouterr().out
        )
    assert reigned.registry.versions(NAME) == before


def test_another_seed_of_the_champions_model_is_no_better_model(reigned, capsys):
    other = next(run for run in runs_of(reigned, "sincos") if run.id != version_of(reigned).run_id)
    reigned.registry.point("champion", reigned.registry.add(NAME, other.id, {}))
    assert main(["promote", "first"]) == 0
    assert "nothing changes: sincos, the model of the champion," in capsys.readouterr().out
    assert version_of(reigned).run_id == other.id


def test_registered_models_of_other_names_have_champions_of_their_own(reigned):
    assert main(["promote", "second", "--name", "other one"]) == 0
    assert version_of(reigned).tags["model"] == "sincos"
    assert reigned.registry.of_alias("other one", "champion").number == 1


def test_a_leader_that_is_the_reference_itself_needs_a_reason_to_be_the_first(opened, capsys):
    for seed, run in enumerate(runs_of(opened, "none")):
        answer(opened, run, every(20, seed))
    assert main(["promote", "first"]) == 1
    assert "got not compared: none leads its study, and is the reference itself." in only(capsys)
    assert main(["promote", "first", "--reason", "to begin with"]) == 0
    assert version_of(opened).tags["model"] == "none"


def test_the_card_says_what_a_person_must_know(reigned):
    assert main(["promote", "second"]) == 0
    [home] = reigned.find(kind="promotions")
    assert home.status == "FINISHED"
    text = reigned.fetch(home.id, "cards/version-2.md").read_text()
    assert text.startswith(f"# {NAME} version 2: scalar, seed ")
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    wanted = ["What changes", "Metrics", "Limits", "Data", "Training", "Environment", "Settings"]
    assert heads == [f"## {head}" for head in wanted]
    assert "scalar is better than sincos: +15.00 points" in text
    assert " CPU seconds of training" in text
    assert "| Test accuracy | 90.00 % [" in text
    described = reigned.registry.descriptions[NAME, 2]
    assert len(described) <= MOST_LETTERS
    assert text.startswith(described.rpartition("\n\n")[0])
    assert "## What changes" in described


def test_the_card_counts_the_flips_between_the_runs_that_are_loaded(reigned):
    assert main(["promote", "second"]) == 0
    before, after = (version_of(reigned, alias) for alias in ("previous", "champion"))
    old, new = every(RIGHT["sincos"], int(before.tags["seed"])), every(RIGHT["scalar"], int(after.tags["seed"]))
    righted, wronged = int((~old & new).sum()), int((old & ~new).sum())
    text = reigned.registry.descriptions[NAME, 2]
    assert (
        f"{righted} turn from wrong to right and {wronged} from right to wrong: {righted + wronged} flips, net +30."
        in text
    )
    # Of two seeds, each is wrong in 20 sequences, or in 50, that the other is right in.
    assert "scalar 40 (mean of 3 pairs, 40 to 40); sincos 100 (mean of 3 pairs, 100 to 100)." in text
    ids = ", ".join(map(str, np.flatnonzero(~old & new)[:5]))
    assert f"Turned right, by sample id: {ids} and {righted - 5} more" in text


def test_a_champion_whose_run_is_gone_cannot_be_compared(reigned, capsys):
    reigned.delete(version_of(reigned).run_id)
    assert main(["promote", "apart"]) == 2
    assert f"the run of the champion, {NAME} version 1, must be in this experiment" in only(capsys)


def test_a_study_whose_models_are_not_packaged_is_refused(opened, capsys):
    for run in runs_of(opened, "sincos"):
        del run.tags["packaged"]
    runs = len(opened.find())
    assert main(["promote", "first"]) == 2
    assert "must hold its model in the form that MLflow loads, got run" in only(capsys)
    assert opened.registry.versions(NAME) == []
    assert len(opened.find()) == runs


def test_a_study_without_finished_runs_and_a_store_without_studies_are_refused(opened, workplace, monkeypatch, capsys):
    for model in STUDIES["first"]:
        for run in runs_of(opened, model):
            opened.set_status(run.id, "FAILED")
    assert main(["promote", "first"]) == 2
    assert "must have a finished run, got none" in only(capsys)
    monkeypatch.setattr("pipeline.verbs.open_store", lambda *_: (MemoryTracker(workplace / "empty"), None))
    assert main(["promote", "first"]) == 2
    assert "--study: must be a study in memory (known: none yet), got first." in only(capsys)


def test_a_study_in_which_runs_are_missing_is_refused(opened, capsys):
    opened.set_status(runs_of(opened, "none")[1].id, "FAILED")
    assert main(["promote", "first"]) == 2
    assert "got no finished run of none seed 1" in only(capsys)


def test_removing_a_study_keeps_the_run_of_a_version(reigned, capsys):
    assert main(["promote", "second"]) == 0
    for name in STUDIES:
        remove(reigned, name, storage="sqlite:///optuna.db", dry_run=False)
    left = {run.id for run in reigned.find(status="FINISHED") if "model" in run.tags}
    assert left == {version.run_id for version in reigned.registry.versions(NAME)}
    assert f"kept: 1 run used by {NAME} version 2" in " ".join(capsys.readouterr().out.split())


def at_once(*promotions):
    """Start promotions, each a function, at the same moment, and return the errors of those that were refused."""
    barrier = threading.Barrier(len(promotions))

    def begin(call):
        barrier.wait()
        call()

    with ThreadPoolExecutor(len(promotions)) as pool:
        ended = [pool.submit(begin, call).exception for call in promotions]
        return [error for end in ended if (error := end())]


def test_of_two_promotions_at_once_the_second_is_held_against_the_first(opened):
    """Whichever is first, scalar stays: sincos is not compared with it in the first study, and worse than it in the second."""
    studies = [find_study(opened, name) for name in ("first", "second")]
    refused = at_once(*(lambda study=study: promote(study, opened) for study in studies))
    champions = [version for version in opened.registry.versions(NAME) if "champion" in version.aliases]
    assert [version.tags["model"] for version in champions] == ["scalar"]
    assert len(opened.registry.versions(NAME)) + len(refused) == 2
    assert {type(error) for error in refused} <= {UsageError}


@pytest.mark.slow
def test_two_at_once_on_one_store_of_mlflow_leave_one_champion_that_loads(mlflow_store, tiny):
    import mlflow  # noqa: PLC0415

    uri = f"sqlite:///{mlflow_store}"
    trackers = [MlflowTracker(uri) for _ in range(2)]
    for name, models in {"first": ["none"], "second": ["sincos"]}.items():
        train(trackers[0], tiny, name, models, [0])
    studies = [find_study(tracker, name) for tracker, name in zip(trackers, ("first", "second"), strict=True)]
    refused = at_once(
        *(
            lambda study=study, tracker=tracker: promote(study, tracker, reason="the first")
            for study, tracker in zip(studies, trackers, strict=True)
        )
    )
    assert refused == []
    one, two = trackers[0].registry.versions(NAME)
    assert (one.aliases, two.aliases) == (("previous",), ("champion",))
    assert two.tags["follows"] == "1"
    assert len(trackers[0].find(kind="promotions")) == 1
    stored = trackers[0]._client.get_model_version(NAME, "2")
    assert "The model card has the rest" in stored.description or "[The whole model card](http" in stored.description
    mlflow.set_tracking_uri(uri)
    loaded = mlflow.pyfunc.load_model(f"models:/{NAME}@champion")
    assert loaded.metadata.run_id == two.run_id
    assert loaded.predict(pd.DataFrame({"times": [[1.0, 2.0]]}))["predicted"].notna().all()
