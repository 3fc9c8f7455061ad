import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.analyses.registry import ANALYSES
from analysis.metrics.registry import METRICS
from models.registry import MODELS
from models.time_embeddings import TIME_EMBEDDINGS
from pipeline import console
from pipeline.__main__ import main
from pipeline.data import DATASETS
from pipeline.ls import LISTS, ls, settings
from pipeline.registries import ROOT, names


@pytest.mark.parametrize(
    ("topic", "names"),
    [
        ("embeddings", TIME_EMBEDDINGS), ("models", MODELS), ("datasets", DATASETS), ("analyses", ANALYSES),
        ("metrics", [metric.name for metric in METRICS]), ("presets", ["quick.json", "lstm_comparison_config.json"]),
    ],
)  # fmt: skip
def test_a_list_names_everything_that_is_registered(topic, names, capsys):
    ls(topic)
    shown = capsys.readouterr().out
    assert [name for name in names if name not in shown] == []


def test_a_study_that_ended_before_its_first_manifest_is_listed(memory, monkeypatch, capsys):
    memory.create("early", tags={"kind": "study", "study": "abc"})
    monkeypatch.setattr("pipeline.tracking.connect", lambda: memory)
    Path("mlflow.db").touch()
    ls("studies")
    assert "ended before its first run" in " ".join(capsys.readouterr().out.split())


def test_the_card_of_a_file_says_what_it_holds_and_what_was_converted(tmp_path, capsys):
    rows = [f"{i:02},2024-03-01 08:{k:02},{'ab'[i % 2]},{i}" for i in range(12) for k in (0, 0, 20, 50)]
    (tmp_path / "own.csv").write_text("\n".join(["id,time,label,size", *rows]))
    assert main(["ls", "data", str(tmp_path / "own.csv"), "--feature_columns", '["size"]']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:6] == [
        "sequences: 12: 10 train, 2 test",
        "classes: 2: a 6, b 6; the largest is 50.0% of the sequences",
        "events: 48",
        "events of a sequence: 4 to 4, median 4, mean 4",
        "times: 0 to 50, horizon 51, in the unit minute, kept as int16",
        "gaps between events: 0 to 30, median 20, mean 16.67",
    ]
    assert lines[6] == "ties: 12 events at the time of the one before, 33.33% of the gaps"
    assert lines[7].startswith("feature size: mean ")
    assert lines[8].startswith("note: column time: dates (text) are told in the unit minute")


@pytest.mark.parametrize(
    "words", [["data"], ["data", "absent.csv"], ["data", "a.csv", "--size", "1"], ["models", "a.csv"]]
)
def test_a_card_of_nothing_is_refused_in_one_line(words, capsys):
    assert main(["ls", *words]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert ": must be" in line


@pytest.mark.parametrize(
    ("kind", "registry"),
    [("embedding", TIME_EMBEDDINGS), ("backbone", MODELS), ("dataset", DATASETS), ("analysis", ANALYSES)],
)
def test_a_list_that_is_read_from_the_source_is_that_of_the_registry(kind, registry):
    assert names(kind) == [(name, inspect.getdoc(thing).split("\n")[0]) for name, thing in registry.items()]


def test_the_metrics_that_are_read_from_the_source_are_those_of_the_registry():
    assert names("metric") == [(metric.name, metric.title) for metric in METRICS]


@pytest.mark.parametrize("topic", [topic for topic in LISTS if topic != "studies"])
def test_a_list_fits_into_eighty_columns_and_an_embedding_into_a_line(topic, capsys, monkeypatch):
    monkeypatch.setattr(console.console, "width", 80)
    ls(topic)
    lines = capsys.readouterr().out.rstrip("\n").split("\n")
    assert max(map(len, lines)) <= 80
    if topic == "embeddings":
        assert len(lines) == 2 + len(TIME_EMBEDDINGS)


def test_the_card_of_an_embedding_says_what_it_costs_and_where_it_comes_from(capsys):
    assert main(["ls", "embeddings", "lete"]) == 0
    said = capsys.readouterr().out
    assert "parameters: 5,040" in said
    assert said.count("\n") == 7
    assert main(["ls", "embeddings", "leet"]) == 2
    assert "Did you mean lete?" in capsys.readouterr().err


def test_looking_for_studies_in_an_empty_folder_creates_nothing(workplace, capsys):
    ls("studies")
    for verb in (["rm", "quick"], ["clean"]):
        assert main(verb) == 2
        assert "got no mlflow.db in this folder" in capsys.readouterr().err
    assert not list(workplace.iterdir())


def test_a_list_of_what_there_is_imports_nothing_that_takes_seconds():
    code = "import sys; from pipeline.__main__ import main; main(['ls']); print('', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert {"torch", "pandas", "mlflow", "pydantic"}.isdisjoint(done.stdout.splitlines()[-1].split())


def test_every_entry_says_what_it_is():
    for topic in ("embeddings", "models", "datasets", "analyses", "metrics"):
        _, rows = LISTS[topic]()
        assert all(row[1] for row in rows), topic


def test_a_setting_that_all_kinds_share_is_listed_once():
    _, rows = settings()
    assert len({(row[0], row[2], row[3]) for row in rows}) == len(rows)
    assert ["lstm, gru" in row[1] for row in rows if row[0] == "model.hidden_dim"] == [True]
