"""Names that attack what shows them, and secrets: a study of both is trained and analysed, and all that it wrote is searched."""

import csv
import io
import json
import pickle
import re
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from analysis.plan import NAME
from pipeline import analyze
from pipeline.__main__ import main
from pipeline.errors import UsageError, without_secrets
from pipeline.evidence import replace_text
from pipeline.stored_study import find_study
from pipeline.study import load_study, name_of
from pipeline.tracking import MemoryTracker, pyfunc
from pipeline.tracking.mlflow_tracker import MlflowTracker

SECRET = "hunter2-0123456789"  # noqa: S105 - planted
VARIABLES = (
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "PGPASSWORD",
    "POSTGRES_PASSWORD",
)
ADDRESS = f"postgresql://tracking:{SECRET}@127.0.0.1:9/optuna"
NAMES = [
    "<script>alert(1)</script>", "![x](http://evil.invalid/x.png)", "[x](javascript:alert(1))", "$(touch pwned)",
    "`touch pwned`", "../../../escape", "it's \"quoted\"", "a|b", "\u202egnp.exe", "\U0001f600", "x" * 5000, "\x1b[31mred",
    "first\nforged: 99.99 %", "'; DROP TABLE runs; --", "\\input{/etc/passwd}", "{{7*7}} %s",
]  # fmt: skip
TIME, FEATURE = "time </title><script>alert(2)</script>", '"><img src=x onerror=alert(3)>'
EVENTS = "events $(touch pwned) <b>'.csv"
SOURCE = """from pathlib import Path
from torch import nn
Path("ran").touch()
class Mine(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim
    def forward(self, times):
        return times[:, None].expand(-1, self.dim)
# a module of its own for each verb: """
STUDY = "study<script>$(touch pwned)\nforged.json"


def write_events(path):
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["id", TIME, "label", FEATURE])
        for number, (name, _) in enumerate(product(NAMES, range(8))):
            rows.writerows([number, step + number % 3, name, 0.5] for step in range(3))


@pytest.fixture(scope="module")
def study(tmp_path_factory, empty_store):
    """What a study with hostile names wrote to its folder, and what it printed, with secrets in the environment."""
    folder, printed = tmp_path_factory.mktemp("hostile"), io.StringIO()
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    write_events(folder / EVENTS)
    base = {
        "data.name": "events_file", "data.path": EVENTS, "data.time_column": TIME, "data.feature_columns": [FEATURE],
        "data.time_unit": "<script>alert(4)</script>", "data.validation_size": 32, "data.test_fraction": 0.25,
        "model.embedding.dim": 4, "model.hidden_dim": 4, "train.epochs": 1,
    }  # fmt: skip
    variants = {name: {"model.embedding.name": name} for name in ("none", "scalar")}
    (folder / STUDY).write_text(json.dumps({"base": base, "variants": variants, "seeds": [0, 1]}))
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
            patched.delenv(name, raising=False)
        for name in VARIABLES:
            patched.setenv(name, SECRET)
        patched.setenv("OPTUNA_STORAGE", ADDRESS)
        patched.setattr(analyze, "_drawn", lambda _: ({"png": {}, "svg": {}}, None))
        patched.setattr("pipeline.console.console._file", printed)  # its property would keep the present stdout
        assert main(["main", "--config", STUDY, "--workers", "1"]) == 0
    return folder, printed.getvalue()


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def test_no_secret_is_written_or_printed(study):
    folder, printed = study
    assert SECRET not in printed
    files = files_of(folder)
    assert {"mlflow.db"} < files.keys()
    assert len([name for name in files if name.endswith("environment.json")]) == 4
    assert [name for name, file in files.items() if SECRET.encode() in file.read_bytes()] == []


def test_hostile_names_make_no_other_files(study):
    folder, _ = study
    assert {path.name.partition("-")[0] for path in folder.iterdir()} <= {
        EVENTS, STUDY, "mlflow.db", "mlflow.db.locks", "mlruns", "checkpoints", "results",
    }  # fmt: skip
    [results] = (folder / "results").iterdir()
    assert results.name == name_of(Path(STUDY)) == "study_script___touch pwned__forged"
    for name in files_of(results):
        assert re.fullmatch(r"(logs/)?[\w .-]+", name), name
    assert not (folder.parent / "escape").exists()


def test_hostile_names_are_no_markup_of_a_page(study):
    folder, _ = study
    pages = {
        name: file.read_text(encoding="utf-8") for name, file in files_of(folder).items() if name.endswith(".html")
    }
    assert {Path(name).name for name in pages} > {
        "analysis_report.html",
        "confusion_matrix.html",
        "confusion_matrices.html",
    }
    for name, page in pages.items():
        assert not re.search(r"<script>alert|<img src=x|<b>'", page), name
        assert not re.search(r"(src|href)=\S*(evil|javascript)", page), name
    report = pages["results/study_script___touch pwned__forged/analysis_report.html"]
    body = report[: report.index('<script type="application/json"')]
    assert "<script" not in body
    assert "<img" not in body
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in body
    assert "![x](http://evil.invalid/x.png)" in body
    assert "x" * 100 not in body


def test_hostile_names_forge_no_line(study):
    folder, printed = study
    lines = printed.splitlines()
    assert all(line.isprintable() for line in lines)
    assert not [line for line in lines if line.startswith("forged")]
    logs = [file for name, file in files_of(folder).items() if name.endswith(".log")]
    assert logs
    assert all(line.startswith("epoch 1/1 ") for file in logs for line in file.read_text().splitlines())
    report = (folder / "results" / name_of(Path(STUDY)) / "analysis_report.md").read_text(encoding="utf-8")
    assert all(line.isprintable() for line in report.splitlines())
    assert "touch pwned" in report
    assert not [line for line in report.splitlines() if line.startswith("forged")]


def test_hostile_names_reach_mlflow_as_they_are_or_not_at_all(study):
    folder, _ = study
    tracker = MlflowTracker(f"sqlite:///{folder}/mlflow.db")
    [parent] = tracker.find(kind="study")
    assert parent.name == parent.tags["study_name"] == name_of(Path(STUDY))
    assert "alert" not in parent.tags["mlflow.note.content"]
    run = tracker.find(model="none")[0]
    params = tracker._client.get_run(run.id).data.params
    assert params["data.time_column"] == TIME
    assert params["data.path"] == EVENTS
    classes = json.loads(tracker.fetch(run.id, "classes.json").read_text())
    assert set(classes) == {" ".join(name.split()) for name in NAMES}
    table = json.loads(tracker.fetch(run.id, "confusion_matrix.json").read_text())
    assert table["columns"][1:] == classes


@pytest.mark.parametrize("name", [*NAMES, "", "..", "\udcff", "a/b"], ids=range(len(NAMES) + 4))
def test_the_name_of_a_variant_is_safe_or_refused_and_that_of_a_study_is_made_safe(tmp_path, name):
    (tmp_path / "study.json").write_text(json.dumps({"variants": {name: {"model.embedding.name": "lete"}}}))
    with pytest.raises(UsageError, match="variants: must have names of up to 100 letters") as refused:
        load_study(tmp_path / "study.json")
    assert str(refused.value).isprintable()
    assert NAME.fullmatch(name_of(Path(f"{name}.json")))


@pytest.mark.parametrize("flags", [["--name", "../x"], ["--name", "<b>"], ["--models", "<b>\nx"]], ids=range(3))
def test_hostile_names_on_the_command_line_are_refused(workplace, capsys, flags):
    Path("study.json").write_text(json.dumps({"rows": {"a": {}, "b": {"dim": 8}}, "data.name": "synthetic"}))
    assert main(["ablate", "--config", "study.json", *flags]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert [path.name for path in workplace.iterdir()] == ["study.json"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("got http://user:secret@host:5000/x?a=1.", "got http://host:5000/x?a=1."),
        ("https://secret@host", "https://host"),
        ("postgresql+psycopg://user:se@cr/et@host/db", "postgresql+psycopg://user:***@host/db"),
        ("postgresql://host/db?user=u&password=secret&x=1", "postgresql://host/db?user=u&password=***&x=1"),
        ("(host=h PGPASSWORD=secret)", "(host=h PGPASSWORD=***"),
        ("http://localhost:5000/#/runs/a@b and a@b.c", "http://localhost:5000/#/runs/a@b and a@b.c"),
        ("sqlite:///mlflow.db, 12:30 and a://b", "sqlite:///mlflow.db, 12:30 and a://b"),
    ],
    ids=range(7),
)
def test_text_is_shown_without_its_secrets(text, shown):
    assert without_secrets(text) == shown
    assert without_secrets(text[:4] + "a.b-" * 50_000) == text[:4] + "a.b-" * 50_000


@pytest.mark.parametrize("address", [f"http://me:{SECRET}@127.0.0.1:9", f"postgresql://me:{SECRET}@127.0.0.1:9/x"])
def test_a_store_that_does_not_answer_is_named_without_its_password(workplace, capsys, monkeypatch, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setattr("pipeline.tracking.link.START_SECONDS", 0)
    assert main(["train", "--data.name", "synthetic", "--data.train_size", "32", "--data.validation_size", "16"]) == 2
    captured = capsys.readouterr()
    assert "127.0.0.1:9" in captured.err
    assert SECRET not in captured.err + captured.out
    assert not [path for path in workplace.rglob("*") if path.is_file()]


@pytest.mark.parametrize("scheme", ["mysql", "postgresql", "no-such-scheme"])
def test_a_storage_that_cannot_be_used_is_named_without_its_password(memory, capsys, monkeypatch, scheme):
    monkeypatch.setattr("pipeline.verbs.open_store", lambda *_: (memory, None))
    Path("study.json").write_text(json.dumps({"rows": {"a": {}, "b": {"dim": 8}}, "data.name": "synthetic"}))
    storage = f"{scheme}://me:{SECRET}@127.0.0.1:9/x"
    assert main(["ablate", "--config", "study.json", "--storage", storage]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: --storage: must be")
    assert SECRET not in line


@pytest.mark.parametrize("whole", [False, True], ids=["pickle", "archive"])
def test_code_in_place_of_a_stored_model_is_not_run(study, tmp_path, trap, whole):
    folder, _ = study
    weights, config = tmp_path / "best.pt", next(folder.rglob("description.json"))
    if whole:
        torch.save({"model": trap}, weights)
    else:
        weights.write_bytes(pickle.dumps({"model": trap}))
    model = pyfunc.EventClassifier()
    with pytest.raises(
        UsageError, match=r"best\.pt: must be a readable checkpoint, got one that breaks off or holds code"
    ):
        model.load_context(SimpleNamespace(artifacts={"weights": str(weights), "config": str(config)}))


@pytest.mark.parametrize("verb", ["predict", "drift"])
def test_a_source_in_a_stored_model_is_run_by_mlflow_and_where_it_is_allowed_alone(
    untrained, workplace, capsys, monkeypatch, verb
):
    description, weights = untrained(workplace, embedding="scalar", **{"data.name": "synthetic"})
    told = json.loads(description.read_text())
    told["config"]["model"]["embedding"] = {"name": "own", "dim": 4, "kind": "Mine", "source": SOURCE + verb}
    description.write_text(json.dumps(told))
    Path("events.csv").write_text("id,time\na,1\n")
    monkeypatch.setattr("models.time_embeddings.own._handed_over", set())
    monkeypatch.setattr("pipeline.ls.check_store", lambda: None)
    monkeypatch.setattr("pipeline.verbs.connect", lambda: SimpleNamespace(model_files=lambda _: (description, weights)))
    ask = [verb, "--model", "models:/x/1", "--input", "events.csv", "--output"]
    ask.append({"predict": "out.parquet", "drift": "out.html"}[verb])
    assert main(ask) == 2
    line = capsys.readouterr().err
    assert "got Mine as source from a store or a file, which is not run" in line
    assert line.count("\n") == 1
    assert not Path("ran").exists()
    with monkeypatch.context() as allowed:
        allowed.setenv("RUN_STORED_CODE", "true")
        main(ask)
    assert Path("ran").exists()
    loaded = pyfunc.EventClassifier()
    loaded.load_context(SimpleNamespace(artifacts={"weights": str(weights), "config": str(description)}))
    assert len(loaded.predict(None, {"times": [[1.0]]})) == 1


def test_a_stored_study_whose_name_leads_elsewhere_is_not_analysed(store, workplace, capsys):
    study = find_study(store)
    text = study.manifest.model_dump_json().replace(study.name, "../outside")
    replace_text(study.parent.id, "study.json", text, store)
    assert main(["analyze"]) == 2
    line = capsys.readouterr().err
    assert "study.json must be readable, got ValidationError" in line
    assert line.count("\n") == 1
    assert not workplace.with_name("outside").exists()


def test_code_in_place_of_a_database_is_not_run(memory, capsys, monkeypatch, trap):
    Path("planted.db").write_bytes(pickle.dumps(trap))
    Path("study.json").write_text(json.dumps({"rows": {"a": {}, "b": {"dim": 8}}, "data.name": "synthetic"}))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///planted.db")
    assert main(["train", "--data.name", "synthetic"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: MLFLOW_TRACKING_URI: must be a tracking store that answers")
    monkeypatch.setattr("pipeline.verbs.open_store", lambda *_: (memory, None))
    assert main(["ablate", "--config", "study.json", "--storage", "sqlite:///planted.db"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: --storage: must be a database that answers")
    assert line.count("\n") == 1


def test_a_run_that_fails_keeps_no_secret(tmp_path):
    tracker = MemoryTracker(tmp_path)
    run = tracker.create("run", tags={})
    with pytest.raises(ConnectionError), tracker.hold(run):
        raise ConnectionError(f"no answer of {ADDRESS}")
    assert (
        tracker.get(run).tags["error"] == "ConnectionError: no answer of postgresql://tracking:***@127.0.0.1:9/optuna"
    )
    assert "no answer of postgresql" in tracker.fetch(run, "error.txt").read_text()
    assert SECRET not in tracker.fetch(run, "error.txt").read_text()
