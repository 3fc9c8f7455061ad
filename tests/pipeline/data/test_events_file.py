"""A file of one's own: what is read from it, what is refused, and with which line."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.__main__ import main
from pipeline.config import config_hash
from pipeline.data import DataError
from pipeline.data.events_file import EventsFileConfig
from pipeline.settings import build_run

WRITERS = {
    "parquet": lambda table, path: table.to_parquet(path),
    "csv": lambda table, path: table.to_csv(path, index=False),
    "npz": lambda table, path: np.savez(path, **{name: array(table[name]) for name in table}),
}


def array(column):
    return np.array(column.tolist(), dtype=column.dtype if column.dtype.kind in "iuf" else None)


def table(sequences=40):
    """Sequence i has 1 + i % 3 events at i % 7, i % 7 + 0.5, ...; its class is a or b in turn."""
    rows = [
        {"id": i, "time": i % 7 + k / 2, "label": "ab"[i % 2], "size": float(k)}
        for i in range(sequences)
        for k in range(1 + i % 3)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def write(tmp_path):
    def write(content, kind="csv"):
        path = tmp_path / f"own.{kind}"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            WRITERS[kind](content, path)
        return str(path)

    return write


def load(path, **fields):
    return EventsFileConfig(**{"path": path, "validation_size": 8, **fields}).load()


def digest(path, **fields):
    return load(path, **fields).digest


@pytest.mark.parametrize("kind", WRITERS)
def test_each_kind_of_file_gives_the_same_data(write, kind):
    splits = load(write(table(), kind), feature_columns=("size",))
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [24, 8, 8]
    assert splits.train.horizon == 8  # the largest time is 6 + 1
    assert splits.train.classes == 2
    assert splits.train.feature_dim == 1
    for part in (splits.train, splits.validation, splits.test):
        assert torch.bincount(part.labels).tolist() == [len(part) // 2] * 2
        assert part.times[part.offsets[:-1]].frac().max() == 0
    assert splits.digest == digest(write(table(), "parquet"), feature_columns=("size",))


def test_the_order_of_the_rows_does_not_matter(write, tmp_path):
    shuffled = table().sample(frac=1, random_state=0)
    first = digest(write(table()))
    other = tmp_path / "other.csv"
    shuffled.to_csv(other, index=False)
    assert digest(str(other)) == first


def test_equal_times_are_allowed_and_whole_ones_are_stored_short(write):
    splits = load(write(table().assign(time=3)))
    assert splits.train.times.dtype == torch.int16
    assert splits.train.horizon == 4


# Of 600 sequences, 3 are of class 12: in the order of all they are at 1/6, 1/2 and 5/6 of the way. The test takes the
# first fifth; of the 2 that are left, at 1/4 and 3/4, validation takes the last 100 of 480, and training the first.
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"validation_size": 100}, "validation split: {}, got none of class 12 in its 100. Raise data.validation_size"),
        ({"test_fraction": 0.1}, "test split: {}, got none of class 12 in its 60. Raise data.test_fraction."),
        ({"test_size": 20}, "test split: {}, got none of class 12 in its 20. Raise data.test_size or data.test_"),
        ({"train_size": 100}, "train split: {}, got none of class 12 in its 100. Raise data.train_size."),
        (
            {"test_fraction": 0.6, "validation_size": 200},
            "train split: {}, got none of class 12 in its 40. Lower data.",
        ),
    ],
)
def test_a_split_without_a_class_is_refused(write, fields, message):
    rows = [{"id": i, "time": k, "label": 12 if i % 200 == 0 else 10 + i % 2} for i in range(600) for k in range(2)]
    path = write(pd.DataFrame(rows))
    with pytest.raises(DataError) as caught:
        load(path, **{"validation_size": 150, **fields})
    assert message.format("must have sequences of each class") in str(caught.value)
    assert load(path, validation_size=150).train.classes == 3
    assert len(load(path, validation_size=0).validation) == 0


def test_close_times_of_different_sequences_are_allowed(write):
    own = table().assign(time=lambda rows: rows["id"] * 1e-9 + 1000)
    assert load(write(own)).train.times.unique().tolist() == [1000]


@pytest.mark.parametrize("ended", ["rows", "rows and header"])
def test_a_comma_at_the_end_of_each_row_does_no_harm(write, ended):
    header, *rows = table().to_csv(index=False).splitlines()
    lines = [header + "," * (ended == "rows and header"), *(f"{row}," for row in rows)]
    assert digest(write("\n".join(lines).encode())) == digest(write(table(), "parquet"))


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("first", [1_700_000_000_000_000_000, 2**63 - 2000])
def test_large_ids_that_float64_cannot_tell_apart_stay_apart(write, kind, first):
    own = table().assign(id=lambda rows: [first + 100 * i for i in rows["id"]])  # from 2**63 on, ids are uint64
    splits = load(write(own, kind))
    assert len({np.float64(i) for i in own["id"]}) < 40
    assert splits.digest == digest(write(table(), kind))


def test_horizon_unit_columns_and_classes_can_be_given(write):
    own = table().rename(columns={"id": "who", "time": "when", "label": "what"})
    columns = {"id_column": "who", "time_column": "when", "label_column": "what"}
    splits = load(write(own), **columns, horizon=24, time_unit="hour", classes=2)
    assert (splits.test.horizon, splits.test.time_unit, splits.test.classes) == (24, "hour", 2)


def test_labels_are_numbered_in_sorted_order_and_na_is_one(write):
    own = table().assign(label=lambda rows: rows["label"].map({"a": "zebra", "b": "NA"}))
    splits = load(write(own), test_fraction=0.5, validation_size=0)
    assert torch.bincount(splits.test.labels).tolist() == [10, 10]
    assert splits.test.class_names == ("NA", "zebra")
    # Sequences of 1, 2, 3 events in turn: even ids are zebras, and zebra comes last.
    assert torch.equal(
        load(write(table(), "npz"), test_fraction=0.5, validation_size=0).test.labels, 1 - splits.test.labels
    )


def test_a_label_is_called_in_one_line(write):
    own = table().assign(label=lambda rows: rows["label"].map({"a": "grey\n heron", "b": " owl\u2028"}))
    assert load(write(own, "parquet")).test.class_names == ("owl", "grey heron")
    same = table().assign(label=lambda rows: rows["label"].map({"a": "owl ", "b": "owl"}))
    with pytest.raises(DataError, match=r"column label: must have labels that differ .*, got 'owl' and 'owl '. Rename"):
        load(write(same, "csv"))


def test_a_file_that_was_written_again_is_read_again(write):
    path = write(table(40))
    assert load(path) is load(path)
    assert len(load(write(table(60))).test) == 12
    assert len(load(write(table(40))).test) == 8


def test_the_content_identifies_the_data_wherever_it_lies(write, tmp_path):
    path = write(table())
    moved = tmp_path / "moved.csv"
    moved.write_bytes((tmp_path / "own.csv").read_bytes())
    hashes = [config_hash(build_run({"data.name": "events_file", "data.path": str(p)})) for p in (path, moved)]
    assert hashes[0] == hashes[1]
    write(table(41))
    assert config_hash(build_run({"data.name": "events_file", "data.path": path})) != hashes[0]


def changed(**columns):
    return lambda: table().assign(**columns)


def cell(column, value):
    own = table().astype({column: object})
    own.loc[4, column] = value
    return own


PARQUET = b"PAR1 and nothing more"
MALFORMED = {
    "a missing column": (
        lambda: table().drop(columns="time"),
        {},
        "csv",
        "column time: must be in the file, got only 'id', 'label', 'size'. Give another data.time_column",
    ),
    "a missing feature": (table, {"feature_columns": ("weight",)}, "csv", "column weight: must be in the file"),
    "a column twice": (table, {"time_column": "id"}, "csv", "columns: must be different ones"),
    "text for times": (
        changed(time="noon"),
        {},
        "parquet",
        "column time: must be numbers, got string values such as 'noon'",
    ),
    "text for features": (changed(size="x"), {"feature_columns": ("size",)}, "csv", "column size: must be numbers"),
    "a time that is NaN": (
        lambda: cell("time", np.nan),
        {},
        "csv",
        "column time: must have a value in every row (row 5)",
    ),
    "an infinite time": (lambda: cell("time", np.inf), {}, "csv", "column time: must be finite"),
    "a negative time": (lambda: cell("time", -1.5), {}, "csv", "must lie in [0, 16777216] (row 5), got -1.5"),
    "seconds since 1970": (changed(time=1.7e9), {}, "csv", "got 1700000000.0. Subtract the start"),
    "a missing label": (
        lambda: cell("label", None),
        {},
        "parquet",
        "column label: must have a value in every row (row 5)",
    ),
    "two labels in one sequence": (lambda: cell("label", "b"), {}, "csv", "must give a sequence one label"),
    "fractions for labels": (changed(label=0.5), {}, "csv", "must be whole numbers or text, got floating values"),
    "a single class": (changed(label="a"), {}, "csv", "must have at least 2 classes, got 1"),
    "another number of classes": (table, {"classes": 3}, "csv", "must have 3 classes, got 2"),
    "a class of one sequence": (lambda: table().iloc[:6], {}, "csv", "must have 3 sequences of each class"),
    "an id for each event": (lambda: table().assign(id=range(79)), {}, "csv", "got 79 sequences of one event"),
    "no rows": (lambda: table().iloc[:0], {}, "csv", "rows: must be at least one, got none"),
    "an empty file": (lambda: b"", {}, "csv", "must be a whole .csv file, got No columns to parse from file"),
    "rows of different length": (lambda: b"id,time,label\n1,2,a\n1,2,a,4,5\n", {}, "csv", "must be a whole .csv file"),
    "rows longer than the header": (
        lambda: b"id,time,label\n" + b"0,13,5,1\n0,14,5,1\n" * 9,
        {},
        "csv",
        "must be a whole .csv file, got rows with more fields than the header 'id,time,label' has names. Write it again.",
    ),
    "a row that ends in a comma": (
        lambda: b"id,time,label\n1,2,a\n1,2,a,\n",
        {},
        "csv",
        "Row #3: Expected 3 columns, got 4: 1,2,a,",
    ),
    "a truncated Parquet file": (lambda: PARQUET, {}, "parquet", "must be a whole .parquet file"),
    "a truncated NPZ file": (lambda: b"PK\x03\x04", {}, "npz", "must be a whole .npz file"),
    "times that float32 cannot tell apart": (
        lambda: table().assign(time=lambda rows: 1e7 + rows["time"] / 5),
        {},
        "csv",
        "7 digits or so, got 10000000.2 and 10000000.3. Subtract an offset, or round the times to a coarser unit.",
    ),
    "thousands of columns": (
        lambda: pd.DataFrame({f"c{i}": [0] for i in range(5000)}),
        {},
        "csv",
        "'c10', 'c11' and 4988 more. Give another data.id_column.",
    ),
    "a line break in the header": (lambda: pd.DataFrame({"a\n\0b": [0]}), {}, "parquet", r"got only 'a\n\x00b'. Give"),
    "a feature past float32": (
        lambda: cell("size", -1e300),
        {"feature_columns": ("size",)},
        "csv",
        "own.csv, column size: must lie in [-3.4028235e+38, 3.4028235e+38] (row 5), got -1e+300. Scale it",
    ),
    "another kind of file": (lambda: b"{}", {}, "json", "must end in .parquet, .csv, .npz"),
    "a time past the horizon": (table, {"horizon": 5}, "csv", "data.horizon: must be above the largest time 7, got 5"),
    "too few sequences": (
        table,
        {"validation_size": 40},
        "csv",
        "got 40 of the 32 that events_file has beside the test set. Give --data.validation_size 6, or more sequences.",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_one_line_that_says_what_to_do(write, case):
    content, fields, kind, message = MALFORMED[case]
    with pytest.raises(DataError) as caught:
        load(write(content(), kind), **fields)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ", got " in str(caught.value)


def test_arrays_of_different_length_are_refused(tmp_path):
    np.savez(tmp_path / "own.npz", id=[1, 2], time=[0, 1, 2], label=[0, 1])
    with pytest.raises(DataError, match=r"must be a whole \.npz file, got arrays of different lengths"):
        load(str(tmp_path / "own.npz"))


def test_a_single_array_is_refused_though_its_name_ends_in_npz(tmp_path):
    np.save(tmp_path / "own.npy", np.zeros((3, 3)))
    path = (tmp_path / "own.npy").rename(tmp_path / "own.npz")
    with pytest.raises(DataError, match=r"own\.npz: must be a whole \.npz file, got a single array instead of one for"):
        load(str(path))


@pytest.mark.parametrize("name", ["own", "own.parquet"])
def test_a_directory_is_named_as_one(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=r"data\.path: must be a file, got the directory '.*own"):
        load(str(tmp_path / name))


@pytest.mark.parametrize("kind", WRITERS)
def test_endings_may_be_in_capitals(write, tmp_path, kind):
    path = Path(write(table(), kind)).rename(tmp_path / f"OWN.{kind.upper()}")
    assert digest(str(path)) == digest(write(table(), kind))


def test_a_path_must_be_given_and_lead_to_a_file(tmp_path):
    with pytest.raises(DataError, match=r"data\.path: must end in .*, got ''"):
        load("")
    with pytest.raises(DataError, match=r"data\.path: must be a file, got .* where there is none"):
        load(str(tmp_path / "absent.csv"))


@pytest.mark.parametrize("case", ["a missing column", "a negative time", "a truncated Parquet file"])
def test_the_command_line_prints_the_line_and_ends_with_2(write, workplace, capsys, case):
    content, _, kind, message = MALFORMED[case]
    path = write(content(), kind)
    assert main(["train", "--data.name", "events_file", "--data.path", path]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert [str(each) for each in workplace.iterdir()] == [path]


def grouped_table():
    """Forty persons with one to three sequences each, of one class a person."""
    rows = [
        {"id": 3 * person + visit, "time": float(person + k), "label": "ab"[person % 2], "person": f"p{person}"}
        for person in range(40)
        for visit in range(1 + person % 3)
        for k in range(2)
    ]
    return pd.DataFrame(rows)


def persons(split):
    """Return the person of each sequence, which its first time tells."""
    return split.times[split.offsets[:-1]].long().tolist()


@pytest.mark.parametrize("kind", WRITERS)
def test_sequences_of_a_group_are_in_one_split_and_the_test_set_has_one_of_each(write, kind):
    path = write(grouped_table().sample(frac=1, random_state=0), kind)
    splits = load(path, group_column="person", test_fraction=0.25, validation_size=15)
    train, validation, test = map(persons, (splits.train, splits.validation, splits.test))
    assert len(test) == len(set(test)) == 10
    assert len(validation) == 15
    assert not set(train) & set(validation)
    assert not set(test) & (set(train) | set(validation))
    assert len(set(train) | set(validation) | set(test)) == 40
    # All sequences of the persons that are trained on are there.
    assert len(train) == sum(1 + person % 3 for person in set(train))
    assert torch.equal(splits.train.labels, torch.tensor(train) % 2)
    assert splits.digest == load(path, group_column="person", test_fraction=0.25, validation_size=15).digest


def dominated(singles, dominant=300):
    """A person with most of the sequences, and others with one each."""
    rows = [
        {"id": i, "time": float(i % 7 + k), "label": "ab"[i % 2], "size": i % 5, "person": min(i, singles)}
        for i in range(singles + dominant)
        for k in range(2)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("settings", [{}, {"feature_columns": ["size"]}, {"train_size": 5}])
def test_a_group_that_leaves_nothing_to_train_on_is_refused(write, settings):
    with pytest.raises(DataError) as caught:
        load(write(dominated(12)), group_column="person", validation_size=100, split_seed=7, **settings)
    assert str(caught.value) == (
        "data.validation_size: must leave groups to train on, got 100 of the 309 sequences that events_file has beside the test "
        "set, and the other 209 are of a group that validation has a part of. Lower data.validation_size, or give another data.split_seed."
    )


def test_sequences_that_a_cut_through_their_group_leaves_out_are_counted(write):
    path = write(dominated(60))
    settings = {"group_column": "person", "validation_size": 100}
    splits = load(path, **settings)
    everything = load(path, group_column="person", validation_size=0).train
    left_out = len(everything) - len(splits.train) - len(splits.validation)
    assert left_out > 200
    assert splits.notes == (
        f"sequences that training leaves out because validation has others of their group: {left_out}",
    )
    few = load(path, **settings, train_size=10)
    assert len(few.train) == 10
    assert few.notes == ()  # so many were asked for
    with pytest.raises(
        DataError,
        match=rf"data\.train_size: must fit .*, less {left_out} whose group is in validation, got 150 and 100",
    ):
        load(path, **settings, train_size=150)


def test_only_validation_may_be_empty(write):
    splits = load(write(table()), validation_size=0)
    nothing = splits.train.select(torch.arange(0))
    EventsFileConfig().check_split_classes(splits, "")
    for split in ("train", "test"):
        with pytest.raises(
            DataError, match=f"{split} split: must have sequences of each class, got none of class .* in its 0"
        ):
            EventsFileConfig().check_split_classes(replace(splits, **{split: nothing}), "")


def test_without_groups_a_run_is_what_it_was(write):
    path = write(table())
    assert "group_column" not in EventsFileConfig(path=path).identity()
    assert EventsFileConfig(path=path, group_column="size").identity()["group_column"] == "size"


@pytest.mark.parametrize(
    ("column", "change", "said"),
    [
        ("person", lambda rows: rows.assign(person=np.arange(len(rows))), "must give a sequence one group (sequence "),
        ("person", lambda rows: rows.assign(person="all"), "must have at least 3 groups, got 1. Name another data.group_column"),
        ("clinic", lambda rows: rows, "column clinic: must be in the file, got only 'id', 'time', 'label', 'person'"),
        ("label", lambda rows: rows, "columns: must be different ones, got id, time, label, label"),
    ],
)  # fmt: skip
def test_groups_that_cannot_be_are_refused(write, column, change, said):
    with pytest.raises(DataError) as caught:
        load(write(change(grouped_table())), group_column=column)
    assert said in str(caught.value)
