"""Files of events, classified in parts by a stored model: the numbers of serving, and the same bytes after an interrupt."""

import json
import types

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from pipeline import scoring
from pipeline.__main__ import main
from pipeline.data import DataError
from pipeline.data.split import stratified_order
from pipeline.inference import Inference
from pipeline.settings import build_run
from pipeline.study import Cell
from pipeline.train import run_cell

URI = "models:/waves@champion"


@pytest.fixture
def model(untrained, workplace, monkeypatch):
    """The files of a model with two features, which is the only one of the store."""
    folder = workplace / "model"
    folder.mkdir()
    data = {"data.name": "events_file", "data.path": "own.csv", "data.feature_columns": ["a", "b"]}
    files = untrained(folder, features=2, **data)
    monkeypatch.setattr("pipeline.ls.check_store", lambda: None)
    monkeypatch.setattr("pipeline.verbs.connect", lambda: types.SimpleNamespace(model_files=lambda _: files))
    return files


def frame_of(sequences=40, seed=0):
    """Return events of sequences of 1 to 12 events, the rows in random order."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 13, sequences)
    frame = pd.DataFrame(
        {
            "id": np.repeat([f"s{number}" for number in range(sequences)], lengths),
            "time": generator.integers(0, 20, lengths.sum()) + generator.integers(0, 2, lengths.sum()) / 2,
            "a": generator.normal(100, 10, lengths.sum()),
            "b": generator.normal(1e6, 10, lengths.sum()),
        }
    ).query("time < 20")
    return frame.sample(frac=1, random_state=seed, ignore_index=True)


def run(source="events.parquet", output="scored.parquet", uri=URI):
    return main(["predict", "--model", uri, "--input", str(source), "--output", str(output)])


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_file_is_answered_with_the_numbers_of_serving(model, monkeypatch, kind):
    monkeypatch.setattr(scoring, "PART", 50)
    frame = frame_of()
    source = f"events.{kind}"
    if kind == "parquet":
        frame.to_parquet(source)
    elif kind == "csv":
        frame.to_csv(source, index=False)
    else:
        frame.to_json(source, orient="records", lines=True, double_precision=15)
    assert run(source) == 0
    table = parquet.read_table("scored.parquet")
    assert table.column_names == ["id", "class", "probability_rise", "probability_fall", "probability_rest"]
    rows = dict(list(frame.sort_values("time", kind="stable").groupby("id")))
    assert table["id"].to_pylist() == sorted(rows)
    request = {
        "times": [rows[name]["time"].tolist() for name in sorted(rows)],
        "features": [rows[name][["a", "b"]].to_numpy().tolist() for name in sorted(rows)],
    }
    answers = Inference(*model).answers(request)
    assert table["class"].to_pylist() == answers["class"].tolist()
    told = np.stack([table[name].to_numpy() for name in table.column_names[2:]], axis=1)
    assert told == pytest.approx(np.array(answers["probabilities"].tolist()), abs=1e-6)
    assert not list(model[0].parent.parent.glob("*.part"))


@pytest.fixture
def interrupted(model, monkeypatch):  # noqa: ARG001 - which is asked
    """A file whose scoring was interrupted at its third part, and the times that a part was written."""
    monkeypatch.setattr(scoring, "PART", 50)
    frame_of().to_parquet("events.parquet")
    write, written = parquet.write_table, []

    def writing(table, place, **asked):
        if asked:  # pandas, which writes the input
            return write(table, place, **asked)
        written.append(place.name)
        if len(written) == 3:
            place.write_bytes(b"half of it")
            raise KeyboardInterrupt
        return write(table, place)

    monkeypatch.setattr(parquet, "write_table", writing)
    assert run() == 130
    return written


def test_an_interrupted_command_goes_on_and_gives_the_same_bytes(interrupted, workplace):
    assert interrupted == [f"{number:06}.partial" for number in range(3)]
    assert not (workplace / "scored.parquet").exists()
    assert run() == 0
    assert interrupted[3:5] == ["000002.partial", "000003.partial"]
    assert run(output="straight.parquet") == 0
    assert (workplace / "scored.parquet").read_bytes() == (workplace / "straight.parquet").read_bytes()
    assert not list(workplace.glob("*.part"))


def test_the_parts_of_another_file_are_not_taken(interrupted, workplace):
    frame_of(seed=1).to_parquet("events.parquet")
    assert run() == 0
    assert interrupted[3] == "000000.partial"
    assert run(output="straight.parquet") == 0
    assert (workplace / "scored.parquet").read_bytes() == (workplace / "straight.parquet").read_bytes()


def test_one_sequence_of_one_event_is_a_file_too(model):
    pd.DataFrame({"id": [7], "time": [3], "a": [100], "b": [90.0]}).to_parquet("events.parquet")
    assert run() == 0
    [row] = parquet.read_table("scored.parquet").to_pylist()
    assert row["id"] == 7
    told = Inference(*model).answers({"times": [[3]], "features": [[[100, 90.0]]]})
    assert row["class"] == told["class"][0]


def spoiled(column, value):
    """Return events with another value in one row of a column."""
    frame = frame_of()
    frame[column] = frame[column].astype(object) if isinstance(value, str) else frame[column]
    frame.iloc[17, frame.columns.get_loc(column)] = value
    return frame.astype({column: str}) if isinstance(value, str) else frame


BAD = {
    "the horizon": (spoiled("time", 20.0), "column time: must be below 20, the horizon of the training data, got 20."),
    "a late time": (spoiled("time", 1e9), "column time: must lie in [0, 16777216]"),
    "a negative time": (spoiled("time", -1.0), "column time: must lie in [0, 16777216]"),
    "no time": (spoiled("time", np.nan), "column time: must have a value in every row (row 18), got none, or NaN."),
    "an infinite feature": (spoiled("a", np.inf), "column a: must be finite, got an infinite value."),
    "a feature past float32": (spoiled("b", 1e39), "column b: must lie in [-3.4028235e+38, 3.4028235e+38]"),
    "words for times": (spoiled("time", "soon"), "column time: must be numbers, got string values such as"),
    "no feature": (frame_of().drop(columns="b"), "column b: must be in the file, got only 'id', 'time', 'a'."),
    "no rows": (frame_of().iloc[:0], "rows: must be at least one, got none."),
    "dates": (frame_of().assign(time=pd.Timestamp("2020-01-01")), "column time: must be numbers in the unit step of the training data"),
}  # fmt: skip


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("name", BAD)
def test_a_file_that_the_model_cannot_take_is_one_line_and_leaves_nothing(workplace, capsys, name):
    frame, said = BAD[name]
    frame.to_parquet("events.parquet")
    assert run() == 2
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1
    assert sorted(path.name for path in workplace.iterdir()) == ["events.parquet", "model"]


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"uri": "waves"}, "--model: must be models:/NAME@ALIAS, models:/NAME/VERSION or runs:/RUN/NAME, got waves."),
        ({"uri": ""}, "--model: must be models:/NAME@ALIAS, models:/NAME/VERSION or runs:/RUN/NAME, got none."),
        ({"source": ""}, "--input: must be a file of events, got none."),
        ({"output": ""}, "--output: must be the file of the answers, got none."),
        ({"output": "scored.csv"}, "--output: must be a file that ends in .parquet, got scored.csv."),
        ({"output": "none/scored.parquet"}, "--output: must be in a folder that is there, got none/scored.parquet."),
        ({"output": "events.parquet"}, "--output: must be another file than --input, got events.parquet for both."),
        ({"source": "none.parquet"}, "--input: must be a file, got 'none.parquet', where there is none."),
        ({"source": "events.xlsx"}, "--input: must end in .parquet, .csv"),
        ({"source": "cut.parquet"}, "cut.parquet: must be a whole .parquet file, got"),
    ],
)  # fmt: skip
def test_a_command_that_cannot_be_done_is_one_line_and_leaves_nothing(workplace, capsys, arguments, said):
    frame_of().to_parquet("events.parquet")
    (workplace / "cut.parquet").write_bytes((workplace / "events.parquet").read_bytes()[:-100])
    before = sorted(workplace.iterdir())
    assert run(**arguments) == 2
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1
    assert sorted(workplace.iterdir()) == before


@pytest.mark.usefixtures("model")
def test_an_output_that_another_process_writes_is_one_line(workplace, capsys):
    frame_of().to_parquet("events.parquet")
    with scoring._alone(workplace / "scored.parquet.part", workplace / "scored.parquet"):
        assert run() == 2
        assert "--output: must be written by one process" in capsys.readouterr().err
    assert run() == 0


def trained_on(path, memory, tiny, **settings):
    """Return the uri of a model that was trained on a file of events, its predictions, and the places of its test sequences."""
    data = {"data.name": "events_file", "data.path": path, "data.validation_size": 16}
    own = {name: value for name, value in tiny.items() if not name.startswith("data.")}
    cell = Cell("scalar", build_run({**own, **data, "model.embedding.name": "scalar", **settings}))
    run_id = run_cell(cell, memory, device="cpu", report=lambda *_: None).run_id
    labels = pd.read_csv(path).groupby("id")["label"].first().to_numpy()
    tested = np.sort(stratified_order(labels, cell.config.data.split_seed)[: round(0.2 * len(labels))])
    return f"runs:/{run_id}/scalar", pd.read_parquet(memory.fetch(run_id, "predictions.parquet")), tested


def labelled(sequences=100, seed=0):
    """Return events of sequences of 8 to 19 events that ascend by 1 or so, with the class of each sequence."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(8, 20, sequences)
    times = np.concatenate([generator.uniform(0, 2, length).cumsum() for length in lengths])
    return pd.DataFrame({"id": np.repeat(np.arange(sequences), lengths), "time": times}).assign(
        label=lambda events: events["id"] % 2
    )


@pytest.mark.parametrize("settings", [{"data.max_events": 5}, {}], ids=["cut", "whole"])
def test_the_file_of_the_training_is_answered_as_in_training_and_has_not_moved(
    memory, tiny, monkeypatch, capsys, settings
):
    labelled().to_csv("events.csv", index=False)
    uri, predictions, tested = trained_on("events.csv", memory, tiny, **settings)
    monkeypatch.setattr("pipeline.ls.check_store", lambda: None)
    monkeypatch.setattr("pipeline.verbs.connect", lambda: memory)
    monkeypatch.setattr(scoring, "PART", 200)
    assert run("events.csv", uri=uri) == 0
    note = "data: only the first 5 events of each sequence count, as in training"
    assert (note in capsys.readouterr().out) == bool(settings)
    scored = pd.read_parquet("scored.parquet").iloc[tested]
    assert scored["class"].astype(int).tolist() == predictions["predicted"].tolist()
    highest = scored[["probability_0", "probability_1"]].max(axis=1)
    assert highest.to_numpy() == pytest.approx(predictions["confidence"].to_numpy(), abs=1e-6)
    assert main(["drift", "--model", uri, "--input", "events.csv"]) == 0
    said = capsys.readouterr().out
    assert "No distribution of 7 moved by more than a little." in said
    assert not any(line.startswith("moved") for line in said.splitlines())
    assert (note in said) == bool(settings)


def test_times_of_a_new_file_count_from_where_they_did_in_training(memory, tiny, workplace):
    events = labelled()
    seconds = (3600 * events["time"]).round().astype(int)
    dates = pd.Timestamp("2024-03-04T10:00") + pd.to_timedelta(seconds, unit="s")
    events.assign(time=dates).to_csv("events.csv", index=False)
    uri, predictions, tested = trained_on("events.csv", memory, tiny, **{"data.time_unit": "hour", "data.horizon": 100})
    files = memory.model_files(uri)
    since_1970 = pd.Timestamp("2024-03-04T10:00").timestamp() + seconds
    for times in (dates, since_1970.astype(int), 10 + seconds / 3600):
        events.assign(time=times).to_csv("new.csv", index=False)
        scoring.score_file(files, workplace / "new.csv", workplace / "scored.parquet")
        scored = pd.read_parquet("scored.parquet").iloc[tested]
        highest = scored[["probability_0", "probability_1"]].max(axis=1)
        assert highest.to_numpy() == pytest.approx(predictions["confidence"].to_numpy(), abs=1e-5)
    assert len(Inference(*files).answers({"times": [[0, 0.5], [], [0]]})) == 3
    with pytest.raises(DataError, match=r"times of sequence 1: must begin at 0, .*, got 10\. Subtract the first time"):
        Inference(*files).answers({"times": [[0, 0.5], [10, 10.5]]})


def test_dates_are_refused_where_times_counted_as_they_stand(untrained, workplace):
    description, weights = untrained(workplace, **{"data.name": "events_file", "data.path": "own.csv"})
    told = json.loads(description.read_text())
    told["shape"]["time_unit"] = "hour"
    dates = pd.Timestamp("2024-03-04T10:00") + pd.to_timedelta([0, 30, 60, 15], unit="min")
    pd.DataFrame({"id": [1, 1, 1, 2], "time": dates}).to_parquet("events.parquet")
    source, output = workplace / "events.parquet", workplace / "scored.parquet"
    description.write_text(json.dumps(told))
    scoring.score_file((description, weights), source, output)  # a model that was stored before origins were
    told["shape"]["time_origin"] = "zero"
    description.write_text(json.dumps(told))
    with pytest.raises(
        DataError, match="column time: must be times that count as they stand, as in training, got dates"
    ):
        scoring.score_file((description, weights), source, output)


def test_an_event_past_the_horizon_that_is_cut_off_does_not_matter(untrained, workplace):
    files = untrained(workplace, **{"data.name": "events_file", "data.path": "own.csv", "data.max_events": 2})
    for times, refused in (([1, 5, 300, 2, 4], False), ([1, 300, 301, 2, 4], True)):
        pd.DataFrame({"id": [1, 1, 1, 2, 2], "time": times}).to_parquet("events.parquet")
        if refused:
            with pytest.raises(
                DataError, match="column time: must be below 20, the horizon of the training data, got 300"
            ):
                scoring.score_file(files, workplace / "events.parquet", workplace / "scored.parquet")
        else:
            scoring.score_file(files, workplace / "events.parquet", workplace / "scored.parquet")
            assert len(pd.read_parquet("scored.parquet")) == 2


def test_the_horizon_counts_from_the_first_event_of_each_sequence_where_training_does(untrained, workplace):
    data = {"data.name": "events_file", "data.path": "own.csv", "data.time_origin": "sequence"}
    files = untrained(workplace, **data)
    starts = np.array([1e6, 2e6, 3e6])
    frame = pd.DataFrame({"id": [1, 1, 2, 2, 3], "time": np.array([0, 7, 2, 2.5, 0]) + starts[[0, 0, 1, 1, 2]]})
    frame.to_parquet("events.parquet")
    scoring.score_file(files, workplace / "events.parquet", workplace / "scored.parquet")
    told = parquet.read_table("scored.parquet")
    answers = Inference(*files).answers({"times": [[0, 7], [0, 0.5], [0]]})
    assert told["probability_rise"].to_pylist() == pytest.approx([row[0] for row in answers["probabilities"]], abs=1e-6)
