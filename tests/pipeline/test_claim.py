"""The verb that holds a published accuracy against a stored study."""

import pytest

from pipeline.__main__ import main
from pipeline.comparison import compare
from pipeline.stored_study import find_study
from pipeline.study import load_study
from pipeline.tracking import MemoryTracker

CLAIM = ["claim", "--model", "sincos", "--accuracy", "50", "--chosen-on", "validation"]


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A store with a study of three seeds of one model and two of another."""
    tracker = MemoryTracker(tmp_path_factory.mktemp("claim") / "store")
    study = load_study(None, models=["sincos", "none"], seeds=[0, 1, 2], overrides=tiny)
    compare(study, tracker, workers=1, device="cpu")
    tracker.set_status(next(run.id for run in tracker.find(model="none")), "FAILED")
    return tracker


@pytest.fixture
def opened(trained, workplace, monkeypatch):  # noqa: ARG001 - the working directory is its own
    monkeypatch.setattr("pipeline.verbs.open_store", lambda *_: (trained, None))
    return trained


def mean_of(tracker):
    runs = tracker.find(model="sincos")
    return 100 * sum(run.metrics["test_accuracy"] for run in runs) / len(runs)


def test_the_mean_of_the_stored_runs_is_compatible_with_them(opened, workplace, capsys):
    study, mean = find_study(opened).id, mean_of(opened)
    assert main(["claim", "--study", study, "--model=sincos", f"--accuracy={mean}", "--chosen_on=validation"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].strip() == f"lstm_comparison (study {study})"
    assert (
        f"compatible: sincos may score {mean:.2f} %; expected of 1 new run on 32 new sequences: {mean:.2f} % ["
        in said[-1]
    )
    assert said[-1].endswith("(n = 3 seeds x 32 sequences).")
    assert any(
        line.startswith(
            "Note. It holds the number against this study's training: 32 training sequences of synthetic, 2 epochs."
        )
        for line in said
    )
    assert list(workplace.iterdir()) == []
    assert opened.find(status="RUNNING") == []


@pytest.mark.usefixtures("opened")
def test_a_number_that_the_model_cannot_score_is_not_compatible(capsys):
    arguments = ["--accuracy", "100", "--tests", "1000000", "--runs", "1000", "--chosen-on", "test"]
    assert main(["claim", "--model", "sincos", *arguments]) == 0
    said = capsys.readouterr().out
    assert (
        "not compatible: sincos does not score 100.00 %; expected of 1,000 new runs on 1,000,000 new sequences: "
        in said
    )
    assert "of it, by choosing the epoch on test" in said


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--model=sincoss"], "--model: must be a model of the study with a finished run (sincos, none), got sincoss. Did you mean"),
        (["--model="], "--model: must be a model of the study with a finished run (sincos, none), got none."),
        (["--model=none"], "--study: must have 3 seeds of none, got 2."),
        (["--study=nothere"], "--study: must be a study in memory"),
        (["--accuracy="], "--accuracy: must be the published accuracy in percent, got none."),
        (["--accuracy=100.01"], "--accuracy: must be percent from 0 to 100, got 100.01."),
        (["--accuracy=-1"], "--accuracy: must be percent from 0 to 100, got -1."),
        (["--accuracy=nan"], "--accuracy: must be percent from 0 to 100, got nan."),
        (["--accuracy=²"], "--accuracy: must be percent from 0 to 100, got ²."),
        (["--accuracy=97 %"], "--accuracy: must be percent from 0 to 100, got 97 %."),
        (["--tests=0"], "--tests: must be a whole number from 1 to 1000000000000, got 0."),
        (["--runs=1.5"], "--runs: must be a whole number from 1 to 1000000000000, got 1.5."),
        (["--runs", "9" * 5000], "--runs: must be a whole number from 1 to 1000000000000, got 999"),
        (["--chosen-on=train"], "must be test or validation, got train."),
        (["--chosen-on="], "--chosen-on: must be test or validation, got none."),
        (["--seeds=1"], "--seeds: must be left out of claim"),
    ],
    ids=lambda value: value[0][:30] if isinstance(value, list) else "",
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2(workplace, capsys, changes, said):
    try:
        code = main([*CLAIM, *changes])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert said in captured.err
    assert list(workplace.iterdir()) == []
