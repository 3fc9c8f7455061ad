import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import types
from dataclasses import replace
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd
import pytest
import torch
from sklearn.metrics import classification_report

from pipeline.evidence import read
from pipeline.identity import ROOT
from pipeline.run_record import CLASSES_FILE, log_line
from pipeline.settings import build_run, flat
from pipeline.study import Cell
from pipeline.tracking import MemoryTracker
from pipeline.tracking.run import EPOCH
from pipeline.train import run_cell

SMALL = {
    "data.name": "mnist_sample",
    "data.max_events": 12,
    "model.hidden_dim": 8,
    "model.embedding.dim": 4,
    "train.batch_size": 32,
    "train.epochs": 3,
}


def cell(**settings):
    return Cell("small", build_run({**SMALL, **{key.replace("__", "."): value for key, value in settings.items()}}))


def silent(_cell, _history):
    pass


def test_a_run_holds_everything_that_later_steps_read(memory):
    config = cell().config
    outcome = run_cell(cell(), memory, device="cpu", report=silent)
    run = memory.get(outcome.run_id)
    assert run.status == "FINISHED"
    assert list(run.tags)[:3] == ["model", "seed", "dataset"]  # MLflow shows them in this order
    assert run.tags["mlflow.note.content"].startswith(
        f"`{run.tags['model']}` with seed {config.seed} on {config.data.name}."
    )
    assert memory.params[run.id] == flat(config)
    assert json.loads(memory.fetch(run.id, "config.json").read_text()) == config.model_dump(mode="json")
    history = json.loads(memory.fetch(run.id, "history.json").read_text())
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert [step for step, row in memory.history[run.id] if EPOCH in row] == [1, 2, 3]
    log = memory.fetch(run.id, "train.log").read_text().splitlines()
    assert len(log) == 3
    assert log[0].startswith("epoch 1/3  train loss ")
    predictions = pd.read_parquet(memory.fetch(run.id, "predictions.parquet"))
    assert len(predictions) == len(config.data.load().test)
    assert run.metrics["test_accuracy"] == (predictions["label"] == predictions["predicted"]).mean()
    best = history[int(run.metrics["best_epoch"]) - 1]
    assert best["test/accuracy"] == pytest.approx(run.metrics["test_accuracy"])
    assert best["validation/accuracy"] == max(row["validation/accuracy"] for row in history)
    confusion = pd.DataFrame(**json.loads(memory.fetch(run.id, "confusion_matrix.json").read_text()))
    assert confusion.drop(columns="true  \\  predicted").to_numpy().sum() == len(predictions)
    assert json.loads(memory.fetch(run.id, CLASSES_FILE).read_text()) == list("0123456789")
    assert memory.fetch(run.id, "checkpoints/best.pt").is_file()
    assert memory.datasets[run.id] == config.data.load().digest
    assert not list(memory.checkpoints.iterdir())


def test_classes_go_by_the_names_of_the_file(memory, workplace):
    names = ["<b>", "accuracy", "true \\ predicted"]  # markup, and what tables have for themselves
    rows = [(i, t, names[i % 3]) for i in range(45) for t in range(1 + i % 3)]
    pd.DataFrame(rows, columns=["id", "time", "label"]).to_csv(workplace / "own.csv", index=False)
    own = build_run(
        {
            "data.name": "events_file",
            "data.path": str(workplace / "own.csv"),
            "data.validation_size": 9,
            "train.epochs": 1,
        }
    )
    run_id = run_cell(Cell("own", own), memory, device="cpu", report=silent).run_id
    predictions = pd.read_parquet(memory.fetch(run_id, "predictions.parquet"))
    counts = json.loads(memory.fetch(run_id, "confusion_matrix.json").read_text())
    assert counts["columns"] == ["true  \\  predicted", *names]
    assert [row[0] for row in counts["data"]] == names
    first_as_third = ((predictions["label"] == 0) & (predictions["predicted"] == 2)).sum()
    assert counts["data"][0][3] == first_as_third
    page = memory.fetch(run_id, "confusion_matrix.html").read_text()
    assert page.count("&lt;b&gt;</th>") == 2
    assert page.count("accuracy</th>") == 2
    scores = json.loads(memory.fetch(run_id, "classification_report.json").read_text())
    assert [row[0] for row in scores["data"]] == [*names, "macro avg", "weighted avg"]
    expected = classification_report(
        predictions["label"],
        predictions["predicted"],
        output_dict=True,
        zero_division=0,
    )
    for name, *values in scores["data"]:
        of_class = dict(zip(scores["columns"][1:], values, strict=True))
        assert of_class == pytest.approx(expected[str(names.index(name)) if name in names else name]), name
    assert json.loads(memory.fetch(run_id, CLASSES_FILE).read_text()) == names


def test_the_confidence_is_the_probability_of_the_predicted_class(memory):
    outcome = run_cell(cell(), memory, device="cpu", report=silent)
    predictions = pd.read_parquet(memory.fetch(outcome.run_id, "predictions.parquet"))
    right = predictions[predictions["label"] == predictions["predicted"]]
    assert len(right)
    assert right["log_likelihood"].to_numpy() == pytest.approx(
        torch.tensor(right["confidence"].to_numpy()).log().numpy(), abs=1e-6
    )
    assert predictions["confidence"].between(0.1, 1).all()


def test_a_finished_cell_is_reused(memory):
    first = run_cell(cell(), memory, device="cpu", report=silent)
    second = run_cell(cell(), memory, device="cpu", report=silent)
    assert second.run_id == first.run_id
    assert (first.reused, second.reused) == (False, True)
    assert len(memory.find()) == 1
    assert not list(memory.checkpoints.iterdir())


def test_who_waits_for_a_cell_that_another_trains_says_for_whom_and_gets_its_run(memory, monkeypatch):
    waits, outcomes, said = threading.Event(), [], []

    def say(text):
        said.append(text)
        waits.set()

    def second():
        outcomes.append(run_cell(cell(), memory, device="cpu", report=silent))

    def report(_cell, history):
        if len(history) == 1:
            thread.start()
            assert waits.wait(60)

    monkeypatch.setattr("pipeline.train.say", say)
    thread = threading.Thread(target=second)
    outcome = run_cell(cell(), memory, device="cpu", report=report)
    thread.join()
    assert outcomes == [replace(outcome, reused=True)]
    assert said == [f"small/seed-0: waiting for process {os.getpid()} on {socket.gethostname()}, which trains it"]


def test_a_run_that_was_created_for_the_cell_is_used(memory):
    adopted = memory.create("by somebody", tags={})
    assert run_cell(cell(), memory, device="cpu", report=silent, adopted=adopted).run_id == adopted


def interrupted(epochs):
    def report(_cell, history):
        if len(history) == epochs:
            raise KeyboardInterrupt

    return report


def test_an_interrupted_run_is_killed_and_goes_on_in_the_same_run(memory):
    with pytest.raises(KeyboardInterrupt):
        run_cell(cell(), memory, device="cpu", report=interrupted(2))
    [run] = memory.find(model="small")
    assert run.status == "KILLED"
    epochs = []
    outcome = run_cell(cell(), memory, device="cpu", report=lambda _, history: epochs.append(len(history)))
    assert outcome.run_id == run.id
    assert epochs == [3]
    assert [row[EPOCH] for _, row in memory.history[run.id] if EPOCH in row] == [1, 2, 3]


def test_the_peak_of_memory_is_that_of_the_whole_run_also_where_it_was_resumed(memory, monkeypatch):
    used = {"VmRSS": 10, "VmHWM": 90}
    monkeypatch.setattr("pipeline.costs.CLEAR", memory.checkpoints / "clear_refs")
    memory.checkpoints.mkdir(parents=True)
    (memory.checkpoints / "clear_refs").touch()
    monkeypatch.setattr("pipeline.costs._status", used.get)
    with pytest.raises(KeyboardInterrupt):
        run_cell(cell(), memory, device="cpu", report=interrupted(2))
    used["VmHWM"] = 30
    outcome = run_cell(cell(), memory, device="cpu", report=silent)
    assert memory.get(outcome.run_id).metrics["peak_memory_bytes"] == 80


def test_a_failed_run_says_why(memory):
    exploding = cell(train__optimizer="sgd", train__learning_rate=1e30, train__clip_norm=0)
    with pytest.raises(FloatingPointError):
        run_cell(exploding, memory, device="cpu", report=silent)
    [run] = memory.find(model="small")
    assert run.status == "FAILED"
    assert run.tags["error"].startswith("FloatingPointError: training: ")
    assert " in epoch 1 at step " in run.tags["error"]


def test_a_run_killed_without_warning_ends_with_the_same_weights(workplace, mlflow_tracker):
    # SIGKILL comes when the third epoch is in the store but not yet in the checkpoint.
    script = textwrap.dedent(
        """
        import json, os, signal, sys
        from pipeline import checkpoint
        from pipeline.settings import build_run
        from pipeline.study import Cell
        from pipeline.tracking import connect
        from pipeline.train import run_cell

        save = checkpoint.save

        def dying_save(path, state):
            if path.name == "last.pt" and state["epoch"] == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            save(path, state)

        checkpoint.save = dying_save
        run_cell(Cell("small", build_run(json.loads(sys.argv[1]))), connect(), device="cpu", report=lambda *_: None)
        """
    )
    settings = json.dumps({**SMALL, "train.epochs": 4})
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", script, settings], cwd=workplace, env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    [dead] = mlflow_tracker.find(model="small")
    assert dead.status == "RUNNING"
    assert dead.epochs == 3
    mlflow_tracker.sweep()
    assert mlflow_tracker.get(dead.id).status == "KILLED"
    resumed = run_cell(cell(train__epochs=4), mlflow_tracker, device="cpu", report=silent)
    assert resumed.run_id == dead.id
    steps = [metric.step for metric in mlflow_tracker._client.get_metric_history(dead.id, "train/loss")]
    assert steps == [1, 2, 3, 4]
    best = torch.load(mlflow_tracker.fetch(dead.id, "checkpoints/best.pt"), weights_only=True)

    twin = MemoryTracker(workplace / "twin")
    straight = run_cell(cell(train__epochs=4), twin, device="cpu", report=silent)
    whole = torch.load(twin.fetch(straight.run_id, "checkpoints/best.pt"), weights_only=True)
    assert best["model"].keys() == whole["model"].keys()
    assert all(torch.equal(best["model"][name], whole["model"][name]) for name in whole["model"])
    histories = [
        json.loads(tracker.fetch(run, "history.json").read_text())
        for tracker, run in ((mlflow_tracker, dead.id), (twin, straight.run_id))
    ]
    assert [{**row, "seconds": 0} for row in histories[0]] == [{**row, "seconds": 0} for row in histories[1]]


@pytest.fixture
def in_mlflow(mlflow_tracker):
    """Make the store MLflow's own, which a call of ours leaves to its caller."""
    import mlflow  # noqa: PLC0415

    mlflow.set_tracking_uri(mlflow_tracker.uri)
    return mlflow


def test_the_stored_model_predicts_from_raw_lists(mlflow_tracker, in_mlflow):
    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID")}
    outcome = run_cell(cell(), mlflow_tracker, device="cpu", report=silent)
    # The next store of the process is another one, and has experiments of its own.
    assert {name: os.environ.get(name) for name in before} == before
    predictions = pd.read_parquet(mlflow_tracker.fetch(outcome.run_id, "predictions.parquet"))
    test = cell().config.data.load().test
    ends = test.offsets.tolist()
    raw = pd.DataFrame({"times": [test.times[a:b].tolist() for a, b in pairwise(ends)]})
    loaded = in_mlflow.pyfunc.load_model(f"runs:/{outcome.run_id}/small")
    answer = loaded.predict(raw)
    assert answer["predicted"].tolist() == predictions["predicted"].tolist()
    assert answer["class"].tolist() == [str(number) for number in answer["predicted"]]
    assert [max(row) for row in answer["probabilities"]] == pytest.approx(predictions["confidence"].tolist(), abs=1e-5)
    assert loaded.predict(pd.DataFrame({"times": [[]]}))["predicted"].notna().all()
    after_each = loaded.predict(raw[:2], params={"anytime": True})
    assert [len(row) for row in after_each["anytime_class"]] == [len(row) for row in raw["times"][:2]]
    assert [row[-1] for row in after_each["anytime_class"]] == after_each["class"].tolist()
    assert [(each.name, each.dtype.name, each.default) for each in loaded.metadata.signature.params] == [
        ("anytime", "boolean", False)
    ]
    assert loaded.input_example is not None
    run = mlflow_tracker.get(outcome.run_id)
    digested = [tag.removeprefix("sha256/") for tag in run.tags if tag.startswith("sha256/")]
    assert {"config.json", "predictions.parquet", "confusion_matrix.json", "checkpoints/best.pt"} < set(digested)
    assert set(read(run, digested, mlflow_tracker)) == set(digested)


ELSEWHERE = """
import json, sys
import mlflow, pandas
assert not any(name.partition(".")[0] in ("models", "pipeline", "analysis") for name in sys.modules)
model = mlflow.pyfunc.load_model(sys.argv[1])
import pipeline
print(json.dumps([pipeline.__file__, model.predict(pandas.DataFrame({"times": json.loads(sys.argv[2])})).to_dict("list")]))
"""


def test_the_stored_model_is_whole_and_loads_where_the_project_is_not(mlflow_tracker, in_mlflow, tmp_path_factory):
    run_id = run_cell(cell(), mlflow_tracker, device="cpu", report=silent).run_id
    model = in_mlflow.pyfunc.load_model(f"runs:/{run_id}/small")
    [stored] = mlflow_tracker._client.get_run(run_id).outputs.model_outputs
    place = Path(unquote(urlsplit(mlflow_tracker._client.get_logged_model(stored.model_id).artifact_location).path))
    assert (place / "artifacts/best.pt").samefile(mlflow_tracker.fetch(run_id, "checkpoints/best.pt"))
    pins = (place / "requirements.txt").read_text().split()
    assert {f"{name}=={version(name)}" for name in ("mlflow", "numpy", "pandas", "pydantic")} < set(pins)
    assert f"torch=={version('torch').partition('+')[0]}" in pins
    assert not [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.!]+", pin)]

    copy = shutil.copytree(place, tmp_path_factory.mktemp("elsewhere") / "copy")
    times = [[1.0, 5.0, 9.0], [2.0]]
    command = [sys.executable, "-I", "-W", "ignore", "-c", ELSEWHERE, str(copy), json.dumps(times)]
    said = subprocess.run(command, cwd=copy.parent, check=True, capture_output=True, text=True).stdout
    file, answers = json.loads(said.splitlines()[-1])
    assert file == f"{copy}/artifacts/code.zip/pipeline/__init__.py"
    assert answers == model.predict(pd.DataFrame({"times": times})).to_dict("list")


def test_models_of_a_store_in_a_folder_share_one_file_of_code(mlflow_tracker):
    runs = [run_cell(cell(seed=seed), mlflow_tracker, device="cpu", report=silent).run_id for seed in (0, 1)]
    found = mlflow_tracker._client.search_logged_models([mlflow_tracker._experiment])
    assert {model.source_run_id for model in found} == set(runs)
    one, other = (Path(unquote(urlsplit(model.artifact_location).path), "artifacts/code.zip") for model in found)
    assert one.samefile(other)
    assert not one.with_name(".code.zip").exists()


def test_the_stored_model_takes_features_as_the_file_has_them(memory, workplace):
    from pipeline.tracking.pyfunc import EventClassifier  # noqa: PLC0415

    rows = [(i, t, i % 2, 1e6 + 1e5 * (i % 7) + t) for i in range(60) for t in range(3)]
    pd.DataFrame(rows, columns=["id", "time", "label", "cents"]).to_csv(workplace / "own.csv", index=False)
    data = {
        "name": "events_file",
        "path": str(workplace / "own.csv"),
        "validation_size": 12,
        "feature_columns": ["cents"],
    }
    own = build_run({**{f"data.{key}": value for key, value in data.items()}, "train.epochs": 1})
    run_id = run_cell(Cell("own", own), memory, device="cpu", report=silent).run_id
    served = EventClassifier()
    files = {"weights": "model/best.pt", "config": "model/description.json"}
    artifacts = {name: str(memory.fetch(run_id, file)) for name, file in files.items()}
    served.load_context(types.SimpleNamespace(artifacts=artifacts))
    example = pd.DataFrame(**json.loads(memory.fetch(run_id, "model/example.json").read_text()))
    assert {round(value) for table in example["features"] for (value,) in table} <= {round(row[3]) for row in rows}
    told = served.predict(None, example)["probabilities"]
    predictions = pd.read_parquet(memory.fetch(run_id, "predictions.parquet"))
    assert [max(row) for row in told] == pytest.approx(predictions["confidence"][: len(told)].tolist(), abs=1e-5)


def test_a_line_of_the_log_has_no_validation_where_there_is_none():
    row = {"epoch": 2, "train/loss": 1, "train/accuracy": 0.5, "test/loss": 1, "test/accuracy": 0.25, "seconds": 1.5,
           "learning_rate": 0.001, "gradient_norm": 1}  # fmt: skip
    assert log_line(row, 9) == (
        "epoch 2/9  train loss 1.0000 accuracy 50.00%  test loss 1.0000 accuracy 25.00%  1.5 s  "
        "learning rate 0.001  gradient norm 1.000"
    )
