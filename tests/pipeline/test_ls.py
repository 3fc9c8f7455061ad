import pytest

from analysis.analyses.registry import ANALYSES
from analysis.metrics.registry import METRICS
from models.registry import MODELS
from models.time_embeddings import TIME_EMBEDDINGS
from pipeline.__main__ import main
from pipeline.data import DATASETS
from pipeline.ls import LISTS, ls, settings


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
    monkeypatch.setattr("pipeline.ls.connect", lambda: memory)
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


def test_every_entry_says_what_it_is():
    for topic in ("embeddings", "models", "datasets", "analyses", "metrics"):
        _, rows = LISTS[topic]()
        assert all(row[1] for row in rows), topic


def test_a_setting_that_all_kinds_share_is_listed_once():
    _, rows = settings()
    assert len({(row[0], row[2], row[3]) for row in rows}) == len(rows)
    assert ["lstm, gru" in row[1] for row in rows if row[0] == "model.hidden_dim"] == [True]
