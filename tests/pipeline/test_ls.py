import pytest

from analysis.analyses.registry import ANALYSES
from analysis.metrics.registry import METRICS
from models.registry import MODELS
from models.time_embeddings import TIME_EMBEDDINGS
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


def test_every_entry_says_what_it_is():
    for topic in ("embeddings", "models", "datasets", "analyses", "metrics"):
        _, rows = LISTS[topic]()
        assert all(row[1] for row in rows), topic


def test_a_setting_that_all_kinds_share_is_listed_once():
    _, rows = settings()
    assert len({(row[0], row[2], row[3]) for row in rows}) == len(rows)
    assert ["lstm, gru" in row[1] for row in rows if row[0] == "model.hidden_dim"] == [True]
