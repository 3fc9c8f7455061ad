"""The verb that compares the models of several studies over their data sets."""

import json

import pandas as pd
import pytest

from analysis.figures import FigureError
from pipeline import suite as module
from pipeline.__main__ import main
from pipeline.comparison import compare
from pipeline.stored_study import find_study
from pipeline.study import load_study
from pipeline.tracking import MemoryTracker

MODELS = ["sincos", "none"]
FILES = {
    "critical_difference.html", "critical_difference.png", "critical_difference.svg", "plotly.js", "suite_pairs.csv",
    "suite_report.md", "suite_scores.csv", "summary.json",
}  # fmt: skip
EVENTS = "id,time,label\n" + "".join(
    f"{i},{t + 9 * (i % 2)},{'ab'[i % 2]}\n" for i in range(60) for t in range(i % 4 + 1)
)


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A store with seven studies of two models, five of synthetic data and one each of a file and of too many events."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "own.csv").write_text(EVENTS)
    tracker, studies = MemoryTracker(folder / "store"), {}
    data = {f"draw {seed}": {"data.split_seed": seed} for seed in range(5)}
    data["file"] = {
        "data.name": "events_file",
        "data.path": str(folder / "own.csv"),
        "data.train_size": 20,
        "data.test_size": 8,
    }
    data["other model"] = {"data.split_seed": 9, "model.hidden_dim": 8}
    for name, settings in data.items():
        overrides = {**tiny, "train.epochs": 1, "train.batch_size": 16 if name == "file" else 32, **settings}
        study = load_study(None, models=MODELS, seeds=[0], overrides=overrides)
        compare(study, tracker, workers=1, device="cpu")
        studies[name] = study.id
    plan = folder / "plan.json"
    changes = {
        "margin": {"plan": {"margin": 0.01}},
        "variants": {"variants": {name: {"model.embedding.name": name} for name in ("sincos", "scalar")}},
    }
    for name, change in changes.items():
        plan.write_text(
            json.dumps({"base": {**tiny, "train.epochs": 1, "data.split_seed": 10}, "seeds": [0], **change})
        )
        study = load_study(plan, models=() if "variants" in change else MODELS)
        compare(study, tracker, workers=1, device="cpu")
        studies[name] = study.id
    tracker.studies = studies
    return tracker


@pytest.fixture
def opened(trained, workplace, monkeypatch):  # noqa: ARG001 - the working directory is its own
    monkeypatch.setattr("pipeline.verbs.open_store", lambda *_: (trained, None))
    return trained


@pytest.fixture
def undrawn(monkeypatch):
    """Figures that are drawn at once: drawing them has tests of its own."""
    monkeypatch.setattr(
        module, "to_images", lambda figures: {kind: dict.fromkeys(figures, b"") for kind in ("png", "svg")}
    )


def six(tracker, *last):
    names = ["draw 0", "draw 1", "draw 2", "draw 3", "draw 4", "file"]
    return [tracker.studies[name] for name in [*names[: 6 - len(last)], *last]]


@pytest.mark.usefixtures("undrawn")
def test_a_suite_writes_report_tables_and_figure_and_changes_no_study(opened, workplace, capsys):
    before = [dict(run.tags) for run in opened.find()]
    assert main(["suite", f"--studies={','.join(six(opened))}"]) == 0
    said = capsys.readouterr().out
    folder = workplace / "results/suite"
    assert {path.name for path in folder.iterdir()} == FILES
    assert [dict(run.tags) for run in opened.find()] == before
    report = (folder / "suite_report.md").read_text()
    assert report.startswith("# Suite of 6 studies\n\n- lstm_comparison ")
    assert "made from the same source, synthetic: they are not independent data sets" in report
    assert "Trained with other settings from study to study: train.batch_size." in report
    assert "](critical_difference.png)" in report
    assert all(study in report for study in six(opened))
    assert "none against sincos is undecided: mean rank " in said
    assert "report and figure: results/suite/suite_report.md" in said
    scores = pd.read_csv(folder / "suite_scores.csv")
    of_file = scores[scores["dataset"] == "events_file"].set_index("model")["score"].to_dict()
    runs = opened.find(dataset="events_file")
    assert of_file == {run.tags["model"]: run.metrics["test_accuracy"] for run in runs}
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["studies"] == six(opened)
    assert sum(summary["mean_ranks"].values()) == pytest.approx(3)


@pytest.mark.usefixtures("undrawn")
def test_the_same_suite_is_written_again_and_another_needs_a_folder_of_its_own(opened, workplace, capsys):
    assert main(["suite", f"--studies={','.join(six(opened))}"]) == 0
    first = {path.name: path.read_bytes() for path in (workplace / "results/suite").iterdir()}
    assert main(["suite", f"--studies={','.join(six(opened))}"]) == 0
    assert {path.name: path.read_bytes() for path in (workplace / "results/suite").iterdir()} == first
    (workplace / "results/suite/summary.json").write_text(json.dumps({"study": "another"}))
    capsys.readouterr()
    refused(["suite", f"--studies={','.join(six(opened))}"], "--output: must be a new folder or that of study", capsys)
    assert main(["suite", f"--studies={','.join(six(opened))}", "--output", "elsewhere"]) == 0


def test_without_a_browser_all_but_the_drawings_is_written(opened, workplace, monkeypatch, capsys):
    def fail(_figures):
        raise FigureError("figures: PNG export needs a Chromium browser, got none.")

    monkeypatch.setattr(module, "to_images", fail)
    assert main(["suite", f"--studies={','.join(six(opened))}"]) == 0
    assert "Note. figures: PNG export needs a Chromium browser" in capsys.readouterr().out
    assert {path.name for path in (workplace / "results/suite").iterdir()} == FILES - {
        "critical_difference.png", "critical_difference.svg"
    }  # fmt: skip


def refused(arguments, said, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert said in captured.err


@pytest.mark.parametrize(
    ("studies", "said"),
    [
        (["margin"], "--studies: must have the same plan.margin, got 0.002 in study "),
        (["variants"], "--studies: must have the same variants, got sincos, none in study "),
        (["other model"], "--studies: must have the same variants, got sincos with model.hidden_dim 4 in study "),
        (["draw 0"], " twice. Drop one."),
        ([], "--studies: must be 2 or more, got 1."),
    ],
    ids=str,
)
def test_studies_that_cannot_be_compared_are_refused_in_one_line(opened, workplace, capsys, studies, said):
    ids = six(opened, *studies) if studies else six(opened)[:1]
    refused(["suite", f"--studies={','.join(ids)}"], said, capsys)
    assert list(workplace.iterdir()) == []


def test_no_studies_and_an_unknown_one_are_refused_in_one_line(opened, workplace, capsys):
    refused(["suite"], "--studies: must be 2 or more, got 0.", capsys)
    refused(["suite", f"--studies={','.join([*six(opened)[:5], 'nothere'])}"], "must be a study in memory", capsys)
    assert list(workplace.iterdir()) == []


def test_the_same_data_twice_is_no_second_data_set(opened, workplace, monkeypatch, capsys):
    load = module.load_results
    digest = find_study(opened, six(opened)[0]).parent.id

    def alike(study, tracker, **how):
        results = load(study, tracker, **how)
        results.runs["data_digest"] = digest
        return results

    monkeypatch.setattr(module, "load_results", alike)
    refused(
        ["suite", f"--studies={','.join(six(opened))}"],
        "--studies: must be of different data, got the same in ",
        capsys,
    )
    assert list(workplace.iterdir()) == []
