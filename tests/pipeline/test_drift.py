"""Drift that is known: what was changed in a file is what is said to have moved, and nothing else is."""

import json
import re
import types

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline import checkpoint, drift
from pipeline.__main__ import main
from pipeline.data import EventDataset, Splits
from pipeline.inference import Inference
from pipeline.reference import Reference, numbers_of_events, numbers_of_sequences

URI = "models:/waves@champion"
NAMES = (
    "events of a sequence",
    "median gap of a sequence",
    "largest gap of a sequence",
    "median time of a sequence",
    "last time of a sequence",
    "confidence",
    "predicted classes",
)


def rows_of(sequences, seed):
    """Return times of sequences of 4 to 12 events, below 15."""
    generator = np.random.default_rng(seed)
    return [np.sort(generator.uniform(0, 15, generator.integers(4, 13))) for _ in range(sequences)]


def dataset_of(rows):
    return EventDataset.from_lists(rows, classes=3, horizon=20.0)


@pytest.fixture(scope="module")
def files(untrained, tmp_path_factory):
    """The files of a model that predicts each of its three classes, with the reference of its data."""
    description, weights = untrained(tmp_path_factory.mktemp("model"), **{"data.name": "synthetic"})
    state = checkpoint.load(weights)["model"]
    head = [name for name in state if name.endswith("bias") and state[name].shape == (3,)][-1]
    train, held_out = dataset_of(rows_of(2000, 0)), dataset_of(rows_of(1000, 1))
    spread = np.log(Inference(description, weights).probabilities(held_out))
    state[head.replace("bias", "weight")] *= 200
    state[head] = state[head] * 0
    checkpoint.save(weights, {"model": state})
    spread = np.log(Inference(description, weights).probabilities(held_out))
    state[head] = -torch.from_numpy(np.median(spread - spread.mean(1, keepdims=True), axis=0)).float()
    checkpoint.save(weights, {"model": state})
    reference = Reference.of(Splits(train, held_out, held_out), Inference(description, weights))
    assert reference.predicted.min() > 100
    told = json.loads(description.read_text())
    description.write_text(json.dumps({**told, "reference": reference.to_json()}))
    return description, weights


@pytest.fixture
def run(files, workplace, monkeypatch, capsys):
    """What asks about sequences, and returns the lines by what they say: moved, or no sign."""
    monkeypatch.setattr("pipeline.ls.check_store", lambda: None)
    monkeypatch.setattr("pipeline.verbs.connect", lambda: types.SimpleNamespace(model_files=lambda _: files))

    def ask(rows, *options):
        ids = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
        frame = pd.DataFrame({"id": ids, "time": np.concatenate(rows)})
        frame.sample(frac=1, random_state=0).to_parquet(workplace / "events.parquet")
        assert main(["drift", "--model", URI, "--input", "events.parquet", *options]) == 0
        return capsys.readouterr().out

    return ask


def moved(out):
    """Return what is said to have moved, by its name, with what is said of it."""
    return dict(re.findall(r"^moved: (.*?)(?: \(step\))?: (.*)$", out, re.MULTILINE))


def test_nothing_is_said_to_have_moved_where_nothing_has(run):
    out = run(rows_of(1500, 2))
    assert "moved:" not in out
    assert "moved little:" not in out
    assert "no sign of a change: " in out
    assert all(name in out for name in NAMES)
    assert "No distribution of 7 moved by more than a little. Exit code 0" in out


def test_times_that_are_stretched_by_a_tenth_are_found_and_lengths_stay(run):
    out = run([1.1 * row for row in rows_of(1500, 2)])
    found = moved(out)
    assert {"median time of a sequence", "last time of a sequence"} <= set(found)
    change = re.search(r"\(([+-][\d.]+)%\)", found["last time of a sequence"])
    assert change
    assert float(change[1]) == pytest.approx(10, abs=1.5)
    assert "events of a sequence" not in found
    assert re.search(r"no sign of a change: events of a sequence", out)


def test_sequences_that_are_cut_to_half_are_found(run):
    found = moved(run([row[: len(row) // 2] for row in rows_of(1500, 2)]))
    assert found["events of a sequence"].startswith(
        "median 8 (quartiles 6 to 10) in training, 4 (quartiles 3 to 5) now (-50.0%); "
    )
    assert "Holm p < 0.001" in found["events of a sequence"]
    assert "last time of a sequence" in found


def test_a_class_that_is_gone_is_named(run, files):
    rows = rows_of(1500, 2)
    predicted = Inference(*files).probabilities(dataset_of(rows)).argmax(1)
    found = moved(run([row for row, number in zip(rows, predicted, strict=True) if number != 1]))
    assert re.search(r"fall: \d+\.\d% in training, 0\.0% now", found["predicted classes"])


def test_times_past_the_horizon_are_counted_and_not_classified(run, monkeypatch):
    monkeypatch.setattr(drift, "PART", 500)
    rows = rows_of(1500, 2)
    out = run([1.6 * row for row in rows])
    late = sum(1.6 * row[-1] >= 20 for row in rows)
    assert f"past the horizon 20: {late:,} sequences ({late / 1500:.1%}), which the model refuses" in out
    assert "last time of a sequence" in moved(out)


def test_parts_change_nothing(run, monkeypatch):
    whole = run([1.1 * row for row in rows_of(300, 2)])
    monkeypatch.setattr(drift, "PART", 50)
    assert run([1.1 * row for row in rows_of(300, 2)]) == whole


def test_the_page_says_what_the_lines_say_and_needs_no_network(run, workplace):
    out = run([row[: len(row) // 2] for row in rows_of(300, 2)], "--output", "page.html")
    page = (workplace / "page.html").read_text()
    assert "page: page.html" in out
    assert "events of a sequence" in page
    assert "Answer" in page
    assert 'id="length"' in page
    assert not re.search(r'(src|href)="http', page)
    assert sorted(path.name for path in workplace.iterdir() if path.suffix == ".part") == []


def test_sequences_of_one_event_have_no_gaps_to_compare(run):
    out = run([row[:1] for row in rows_of(40, 2)])
    assert "not tested: median gap of a sequence and largest gap of a sequence" in out


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "waves"], "--model: must be models:/NAME@ALIAS"),
        (["--input="], "--input: must be a file of events, got none."),
        (["--input", "none.parquet"], "--input: must be a file, got 'none.parquet', where there is none."),
        (["--output", "page.txt"], "--output: must be a file that ends in .html, got page.txt."),
        (["--output", "none/page.html"], "--output: must be in a folder that is there, got none/page.html."),
    ],
)
def test_a_command_that_cannot_be_done_is_one_line(workplace, capsys, arguments, said):
    pd.DataFrame({"id": [1], "time": [1.0]}).to_parquet(workplace / "events.parquet")
    assert main(["drift", "--model", URI, "--input", "events.parquet", *arguments]) == 2
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1
    assert [path.name for path in workplace.iterdir()] == ["events.parquet"]


def test_a_model_that_was_stored_without_a_reference_is_one_line(untrained, workplace, monkeypatch, capsys):
    files = untrained(workplace)
    monkeypatch.setattr("pipeline.ls.check_store", lambda: None)
    monkeypatch.setattr("pipeline.verbs.connect", lambda: types.SimpleNamespace(model_files=lambda _: files))
    assert main(["drift", "--model", URI, "--input", "events.parquet"]) == 2
    line = capsys.readouterr().err
    assert f"--model: must hold a reference of its training data, got {URI}, which was stored by a version" in line
    assert line.count("\n") == 1


def test_a_reference_is_small_and_the_same_again(files):
    told = json.loads(files[0].read_text())["reference"]
    assert len(json.dumps(told)) < 12_000
    assert Reference.from_json(told).to_json() == told
    train, held_out = dataset_of(rows_of(2000, 0)), dataset_of(rows_of(1000, 1))
    assert Reference.of(Splits(train, held_out, held_out), Inference(*files)).to_json() == told


@pytest.mark.parametrize("held_out", ["validation", "test", "train", None])
def test_a_reference_is_of_the_first_split_that_has_events(files, held_out):
    parts = ("validation", "test", "train")
    filled = parts[parts.index(held_out) :] if held_out else ()
    splits = Splits(**{part: dataset_of(rows_of(20, 1) if part in filled else [[]] * 20) for part in parts})
    reference = Reference.of(splits, Inference(*files))
    assert reference.held_out == (held_out or "train")
    assert reference.confidence.size == reference.predicted.sum() == (20 if held_out else 0)
    told = reference.to_json()
    assert Reference.from_json(told).to_json() == told


def test_the_numbers_of_sequences_are_those_of_each_alone():
    rows = [np.array([3.0]), np.array([0.0, 0.0]), np.array([1.0, 4.0, 4.5, 9.0]), np.array([2, 2.5, 8.0])]
    dataset = dataset_of(rows)
    times, offsets = dataset.times.numpy(), dataset.offsets.numpy()
    numbers = numbers_of_sequences(times, offsets)
    gaps = [np.sort(np.diff(row)) for row in rows]
    lower = [float(gap[(len(gap) - 1) // 2]) if len(gap) else np.nan for gap in gaps]
    assert numbers["length"].tolist() == [1, 2, 4, 3]
    assert numbers["median_gap"] == pytest.approx(lower, nan_ok=True)
    assert numbers["largest_gap"] == pytest.approx([max(gap, default=np.nan) for gap in gaps], nan_ok=True)
    assert numbers["median_time"].tolist() == [3, 0, 4, 2.5]
    assert numbers["last_time"].tolist() == [3, 0, 9, 8]
    assert sorted(numbers_of_events(times, offsets)["gap"].tolist()) == sorted(np.concatenate(gaps).tolist())
