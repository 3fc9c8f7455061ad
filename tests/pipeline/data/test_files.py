"""Files as people have them: what each kind holds is read exactly, or refused with a line that says what to do."""

import bz2
import gzip
import json
import lzma
import zipfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from pyarrow import feather, parquet

from pipeline.data import DataError, events_file
from pipeline.data.base import _load
from pipeline.data.events_file import EventsFileConfig

SEQUENCES = 24


def table(**columns):
    """Sequence i has the times i % 5, i % 5 + 1.5 and i % 5 + 4; its class is low or high in turn."""
    rows = [
        {"id": i, "time": i % 5 + gap, "label": ("low", "high")[i % 2], "size": float(i * 3 + k)}
        for i in range(SEQUENCES)
        for k, gap in enumerate((0.0, 1.5, 4.0))
    ]
    return pd.DataFrame(rows).assign(**columns)


def load(path, **fields):
    return EventsFileConfig(path=str(path), **{"validation_size": 4, **fields}).load()


def refusal(path, **fields):
    with pytest.raises(DataError) as caught:
        load(path, **fields)
    line = str(caught.value)
    assert line.isprintable()
    assert ", got " in line
    return line


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EVENT_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def plain(tmp_path):
    """The digest of the same events in Parquet."""
    table().to_parquet(tmp_path / "plain.parquet")
    return load(tmp_path / "plain.parquet").digest


def text_of(frame, **form):
    return frame.to_csv(index=False, **form)


TEXTS = {
    "own.csv": lambda: text_of(table()).encode("utf-8-sig"),
    "utf16.csv": lambda: text_of(table(), sep="\t").encode("utf-16"),
    "utf16be.txt": lambda: b"\xfe\xff" + text_of(table(), sep="\t").encode("utf-16-be"),
    "excel.csv": lambda: text_of(table(), sep=";", decimal=",", lineterminator="\r\n").encode(),
    "hinted.csv": lambda: b"sep=;\r\n" + text_of(table(), sep=";", lineterminator="\r\n").encode(),
    "bars.txt": lambda: text_of(table(), sep="|").encode(),
    "own.tsv": lambda: text_of(table(), sep="\t").encode(),
    "blanks.csv": lambda: (
        text_of(table()).replace(",", ", ").replace(", low", ",low").replace(", high", ",high").encode()
    ),
    "own.csv.gz": lambda: gzip.compress(text_of(table()).encode()),
    "two.csv.gz": lambda: b"".join(
        map(gzip.compress, [b"id,time,label,size\n", text_of(table(), header=False).encode()])
    ),
    "own.csv.bz2": lambda: bz2.compress(text_of(table()).encode()),
    "own.csv.xz": lambda: lzma.compress(text_of(table()).encode()),
    "own.csv.zst": lambda: pa.compress(text_of(table()).encode(), "zstd", asbytes=True),
    "own.jsonl": lambda: table().to_json(orient="records", lines=True).encode(),
    "own.ndjson.gz": lambda: gzip.compress(table().to_json(orient="records", lines=True).encode()),
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_of_each_form_gives_the_same_data(tmp_path, plain, name):
    (tmp_path / name).write_bytes(TEXTS[name]())
    assert load(tmp_path / name).digest == plain


def test_a_zip_archive_of_one_file_is_read_and_of_two_refused(tmp_path, plain):
    with zipfile.ZipFile(tmp_path / "own.csv.zip", "w") as archive:
        archive.writestr("folder/inside.csv", text_of(table()))
        for added in ("folder/", "folder/.DS_Store", "__MACOSX/folder/._inside.csv"):  # by macOS
            archive.writestr(added, "")
    assert load(tmp_path / "own.csv.zip").digest == plain
    with zipfile.ZipFile(tmp_path / "own.csv.zip", "a") as archive:
        archive.writestr("second.csv", "")
    assert "got an archive of 2 files instead of one" in refusal(tmp_path / "own.csv.zip")


@pytest.mark.parametrize("stream", [False, True])
def test_arrow_is_read_as_a_file_and_as_a_stream(tmp_path, plain, stream):
    columns = pa.Table.from_pandas(table())
    if stream:
        with pa.ipc.new_stream(tmp_path / "own.arrow", columns.schema) as writer:
            writer.write_table(columns)
    else:
        feather.write_feather(columns, tmp_path / "own.arrow")
    assert load(tmp_path / "own.arrow").digest == plain


def test_an_encoding_can_be_given_and_is_named_where_it_is_not(tmp_path):
    own = table(label=["Stürze" if i // 3 % 2 else "Gehen" for i in range(3 * SEQUENCES)])
    (tmp_path / "own.csv").write_bytes(text_of(own).encode("cp1252"))
    assert load(tmp_path / "own.csv", encoding="cp1252").train.class_names == ("Gehen", "Stürze")
    assert "must be text in UTF-8, got bytes that are none. Set data.encoding" in refusal(tmp_path / "own.csv")


IDS = {
    "007 and 7": lambda i: "7" * (1 + i // 2) if i % 2 else "0" * (1 + i // 2) + "7",
    "a letter among digits": lambda i: "A7" if i == SEQUENCES - 1 else str(i),
    "plus signs": lambda i: ("+" if i % 2 else "") + str(1 + i // 2),
    "more digits than 64 bits": lambda i: f"{10**30 + i}",
    "exponents": lambda i: f"{i}e5" if i % 2 else f"{i - i % 2 + 1}00000",
}


@pytest.mark.parametrize("kind", IDS)
def test_ids_that_are_written_differently_stay_apart(tmp_path, kind):
    own = table(id=lambda rows: [IDS[kind](i) for i in rows["id"]])
    own.to_csv(tmp_path / "own.csv", index=False)
    own.to_parquet(tmp_path / "own.parquet")
    splits = load(tmp_path / "own.csv")
    assert sum(map(len, (splits.train, splits.validation, splits.test))) == SEQUENCES
    assert splits.digest == load(tmp_path / "own.parquet").digest


def test_labels_01_and_1_are_two_classes_and_written_floats_of_whole_numbers_are_numbers(tmp_path):
    labels = [("1", "01")[i // 3 % 2] for i in range(3 * SEQUENCES)]
    table(label=labels).to_csv(tmp_path / "own.csv", index=False)
    assert load(tmp_path / "own.csv").train.class_names == ("01", "1")
    table(label=[("10.0", "9.0")[label == "1"] for label in labels]).to_csv(tmp_path / "own.csv", index=False)
    assert load(tmp_path / "own.csv").train.class_names == ("9", "10")


def test_a_late_letter_makes_all_ids_text_whatever_the_size_of_a_batch(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.data.files.delimited.BLOCK_BYTES", 64)
    own = table(id=lambda rows: [str(i) if i < SEQUENCES - 1 else "x9" for i in rows["id"]])
    own.to_csv(tmp_path / "own.csv", index=False)
    splits = load(tmp_path / "own.csv")
    assert splits.notes == (
        "column id: read as text, because not all of its values are whole numbers as they are written",
    )
    assert len(splits.train) + len(splits.validation) + len(splits.test) == SEQUENCES


@pytest.mark.parametrize("column", ["id", "label"])
def test_names_that_differ_in_letters_that_are_not_shown_are_refused(tmp_path, column):
    shown = {"id": lambda i: f"s{i // 2}", "label": lambda i: ("low", "high")[i // 2 % 2]}[column]
    names = [shown(i) + "\u200b" * (i % 2) for i in range(SEQUENCES) for _ in range(3)]
    table(**{column: names}).to_csv(tmp_path / "own.csv", index=False)
    assert f"column {column}: must have {column}s that differ in more than letters that are not shown, got" in refusal(
        tmp_path / "own.csv"
    )


def test_ids_that_differ_in_blanks_are_refused(tmp_path):
    table(id=lambda rows: [f"s{i // 2}" + " " * (i % 2) for i in rows["id"]]).to_csv(tmp_path / "own.csv", index=False)
    assert "column id: must have ids that differ in more than blanks" in refusal(tmp_path / "own.csv")


ARROW = {
    "dictionary": lambda own: own.set_column(2, "label", own["label"].dictionary_encode()),
    "large text": lambda own: own.set_column(2, "label", own["label"].cast(pa.large_string())),
    "views": lambda own: own.set_column(2, "label", own["label"].cast(pa.string_view())),
    "bytes": lambda own: own.set_column(2, "label", own["label"].cast(pa.binary())),
    "unsigned": lambda own: own.set_column(0, "id", own["id"].cast(pa.uint64())),
    "small numbers": lambda own: own.set_column(0, "id", own["id"].cast(pa.uint8())),
    "float ids": lambda own: own.set_column(0, "id", own["id"].cast(pa.float64())),
    "half precision": lambda own: own.set_column(1, "time", own["time"].cast(pa.float16())),
    "decimals": lambda own: own.set_column(1, "time", own["time"].cast(pa.decimal128(12, 3))),
    "large decimals": lambda own: own.set_column(1, "time", own["time"].cast(pa.decimal256(50, 10))),
}


@pytest.mark.parametrize("kind", ARROW)
def test_columns_of_arrow_are_read_whatever_they_are_stored_as(tmp_path, plain, kind):
    parquet.write_table(ARROW[kind](pa.Table.from_pandas(table())), tmp_path / "own.parquet")
    assert load(tmp_path / "own.parquet").digest == plain


def test_a_category_that_no_row_has_is_no_class(tmp_path):
    own = table(label=lambda rows: pd.Categorical(rows["label"], ["low", "middle", "high"]))
    own.to_parquet(tmp_path / "own.parquet")
    assert load(tmp_path / "own.parquet").train.class_names == ("high", "low")


def test_a_folder_of_parquet_is_read_and_its_names_are_text(tmp_path, plain):
    for label, part in table().groupby("label"):
        folder = tmp_path / f"own/label={label}"
        folder.mkdir(parents=True)
        part.drop(columns="label").to_parquet(folder / "part-0.parquet")
    (tmp_path / "own/_SUCCESS").touch()
    (tmp_path / "own/_temporary").mkdir()
    (tmp_path / "own/_temporary/part-1.parquet").write_bytes(b"not finished")
    assert load(tmp_path / "own").digest == plain
    (tmp_path / "own/label=low").rename(tmp_path / "own/label=01")
    (tmp_path / "own/label=high").rename(tmp_path / "own/label=1")
    assert load(tmp_path / "own").train.class_names == ("01", "1")
    hashed = EventsFileConfig(path=str(tmp_path / "own")).identity()["path"]
    (tmp_path / "own/label=1").rename(tmp_path / "own/label=2")
    assert EventsFileConfig(path=str(tmp_path / "own")).identity()["path"] != hashed


def test_a_folder_of_a_table_format_is_refused(tmp_path):
    (tmp_path / "own/_delta_log").mkdir(parents=True)
    table().to_parquet(tmp_path / "own/part.parquet")
    assert "must be a folder of plain Parquet files, got" in refusal(tmp_path / "own")


BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2024, 10, 27, 0, 30, tzinfo=UTC)
"""Half an hour before the clocks of Berlin go back from 3 to 2."""


def moments(zone):
    own = table()
    own["time"] = [(START + timedelta(minutes=10 * time)).astimezone(zone) for time in own["time"]]
    return own


@pytest.mark.parametrize("kind", ["parquet", "csv", "naive", "date and time"])
def test_dates_are_elapsed_minutes_of_their_sequence_across_a_change_of_the_clock(tmp_path, kind):
    own = moments(UTC if kind == "naive" else BERLIN)
    if kind == "naive":
        own["time"] = own["time"].dt.tz_localize(None)
    path = tmp_path / ("own.parquet" if kind in ("parquet", "naive") else "own.csv")
    own.to_parquet(path) if path.suffix == ".parquet" else own.to_csv(path, index=False)
    splits = load(path, time_unit="minute")
    assert splits.train.times.tolist() == [0, 15, 40] * len(splits.train)
    assert splits.train.time_unit == "minute"
    assert splits.notes[0].endswith("are told in the unit minute, since the first of each sequence")
    assert splits.time_origin == "sequence"
    by_file = load(path, time_unit="minute", time_origin="file")
    assert by_file.time_origin == "file"
    assert sorted(by_file.train.times.unique().tolist())[:3] == [0, 10, 15]


@pytest.mark.parametrize("units", [("us", "ns"), ("ns", "us"), ("s", "ms")])
def test_files_of_a_folder_may_count_dates_in_other_units_if_nothing_is_lost(tmp_path, units):
    own, parts = moments(UTC), []
    for unit, part in zip(units, (own[: 3 * SEQUENCES // 2], own[3 * SEQUENCES // 2 :]), strict=True):
        parts.append(part.assign(time=part["time"].dt.tz_localize(None).astype(f"datetime64[{unit}]")))
    (tmp_path / "own").mkdir()
    for number, part in enumerate(parts):
        part.to_parquet(tmp_path / f"own/{number}.parquet")
    assert load(tmp_path / "own", time_unit="minute").train.times.unique().tolist() == [0, 15, 40]
    if units == ("us", "ns"):
        later = parts[1].assign(time=parts[1]["time"] + pd.Timedelta(1, "ns"))
        later.to_parquet(tmp_path / "own/1.parquet")
        assert "must be times of one kind and unit, got a date in a finer unit than those before" in refusal(
            tmp_path / "own"
        )


def test_the_unit_of_dates_is_the_one_in_which_they_run_to_some_hundreds(tmp_path):
    moments(UTC).to_parquet(tmp_path / "own.parquet")
    splits = load(tmp_path / "own.parquet")
    assert (splits.train.time_unit, splits.train.horizon) == (
        "minute",
        41,
    )  # 40 minutes are 2400 s: 7.5 and 8 times off
    assert "data.time_unit: must be a unit of dates" in refusal(tmp_path / "own.parquet", time_unit="fortnight")


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
@pytest.mark.parametrize("what", ["dates", "durations", "numbers"])
def test_times_as_text_in_files_with_types_are_dates_or_durations_and_never_numbers(tmp_path, ending, what):
    own = {"dates": moments(BERLIN), "durations": table(), "numbers": table()}[what]
    if what == "durations":
        own["time"] = pd.to_timedelta(10 * own["time"], unit="min")
    own["time"] = own["time"].astype(str)
    path = tmp_path / f"own.{ending}"
    own.to_parquet(path) if ending == "parquet" else own.to_json(path, orient="records", lines=True)
    if what == "numbers":
        assert "must be numbers, got string values such as '0.0'" in refusal(path)
    else:
        splits = load(path, time_unit="minute", time_origin="sequence")
        assert splits.train.times.tolist() == [0, 15, 40] * len(splits.train)
        assert f"{what} (text)" in splits.notes[-1] or "dates with their zone (text)" in splits.notes[-1]


@pytest.mark.parametrize("form", ["%Y%m%d", "%Y%m%d%H%M", "%Y%m%d%H%M%S"])
@pytest.mark.parametrize("origin", ["auto", "sequence"])
def test_dates_without_signs_between_their_parts_are_not_subtracted_as_numbers(tmp_path, form, origin):
    own = table(time=lambda rows: [int(f"{START + timedelta(days=i):{form}}") for i in range(len(rows))])
    own.to_csv(tmp_path / "own.csv", index=False)
    line = refusal(tmp_path / "own.csv", time_origin=origin)
    assert (
        f"must be times, got whole numbers such as {own['time'][0]}, which read as dates. Write them as 2024-" in line
    )


@pytest.mark.parametrize("unit", ["ns", "us", "ms", "s"])
@pytest.mark.parametrize("kind", ["parquet", "csv", "npz"])
def test_whole_numbers_since_1970_are_subtracted_before_they_are_rounded(tmp_path, unit, kind):
    per_second = {"ns": 10**9, "us": 10**6, "ms": 10**3, "s": 1}[unit]
    first = int(START.timestamp()) * per_second
    own = table(time=lambda rows: [first + i for i in range(len(rows))])
    path = tmp_path / f"own.{kind}"
    {
        "parquet": lambda: own.to_parquet(path),
        "csv": lambda: own.to_csv(path, index=False),
        "npz": lambda: np.savez(path, **{name: np.array(own[name].tolist()) for name in own}),
    }[kind]()
    splits = load(path, time_unit=unit if unit != "s" else "second")
    assert splits.train.times.tolist() == [0, 1, 2] * len(splits.train)  # float64 keeps 256 ns apart, float32 128 s
    assert f"were taken as {unit} since 1970" in splits.notes[0]


@pytest.mark.parametrize("kind", ["duration", "clock", "npz"])
def test_durations_are_read_in_a_stated_unit(tmp_path, kind):
    own = table(time=lambda rows: pd.to_timedelta(rows["time"], unit="s"))
    path = tmp_path / {"duration": "own.parquet", "clock": "own.csv", "npz": "own.npz"}[kind]
    if kind == "duration":
        own.to_parquet(path)
    elif kind == "clock":
        own.to_csv(path, index=False)
    else:
        np.savez(path, id=own["id"], time=own["time"].to_numpy(), label=own["label"].to_numpy(str))
    splits = load(path, time_unit="ms")
    assert sorted(splits.train.times.unique().tolist())[:2] == [0, 1000]
    assert splits.train.time_unit == "ms"


def test_times_that_would_merge_are_refused_with_the_unit(tmp_path):
    own = table(time=lambda rows: [START + timedelta(days=9 * i, microseconds=i) for i in range(len(rows))])
    own.loc[1, "time"] = own.loc[0, "time"] + timedelta(microseconds=1)
    own.loc[2, "time"] = own.loc[0, "time"] + timedelta(days=10)
    own.loc[1, "time"] = own.loc[2, "time"] - timedelta(microseconds=1)
    own.to_parquet(tmp_path / "own.parquet")
    assert "must keep its times apart within a sequence" in refusal(tmp_path / "own.parquet")


def test_fractions_after_whole_numbers_and_a_shuffled_file_give_the_same_data(tmp_path, monkeypatch, plain):
    monkeypatch.setattr("pipeline.data.files.delimited.BLOCK_BYTES", 64)
    monkeypatch.setattr("pipeline.data.scratch.BLOCK", 7)
    own = table()
    own["time"] = own["time"].map(lambda time: int(time) if time == int(time) else time).astype(object)
    late = pd.concat([own[::3], own[2::3], own[1::3]])
    late.to_csv(tmp_path / "own.csv", index=False)
    assert load(tmp_path / "own.csv").digest == plain


OBJECTS = {
    "label": lambda own: own["label"].to_numpy(object),
    "time": lambda _: np.array([np.arange(3), np.arange(2)], dtype=object),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_arrays_of_python_objects_are_refused_with_a_way_that_works(tmp_path, name):
    own = table()
    arrays = {column: own[column].to_numpy() for column in ("id", "time")} | {"label": own["label"].to_numpy(str)}
    np.savez(tmp_path / "own.npz", **{**arrays, name: OBJECTS[name](own)}, allow_pickle=True)
    line = refusal(tmp_path / "own.npz")
    assert f"{name}.npy: must be an array of numbers or text, got one of Python objects" in line
    assert "array.astype(str)" in line
    np.savez(tmp_path / "own.npz", **arrays)
    load(tmp_path / "own.npz")
    np.savez(tmp_path / "own.npz", **{**arrays, "time": own["time"].to_numpy().reshape(-1, 3)})
    assert "time.npy: must have a value for each event, got an array of shape (24, 3). Write" in refusal(
        tmp_path / "own.npz"
    )


REFUSED = {
    "numbers to predict": (
        lambda: table(label=np.linspace(0, 1, 3 * SEQUENCES).round(3)),
        "platform tells classes apart",
    ),
    "a label for each sequence": (
        lambda: table(label=lambda rows: rows["id"]),
        "got 24 labels for 24 sequences. The platform",
    ),
    "lists of labels": (
        lambda: table(label=[["a", "b"]] * 3 * SEQUENCES),
        "predicts neither numbers nor several labels",
    ),
    "several labels in one sequence": (
        lambda: table(label=["a", "b", "c"] * SEQUENCES),
        "make each combination a class",
    ),
    "a sequence in each row": (
        lambda: table(time=[[0.0, 1.0]] * 3 * SEQUENCES),
        "values such as [0.0, 1.0]. Give each event a row of its own, as explode of pandas and polars does.",
    ),
    "times of day": (lambda: table(time=START.time()), "must be dates, durations or numbers, got time64"),
    "dates as labels": (lambda: table(label=START), "must be whole numbers or text, got timestamp values"),
    "negative durations": (lambda: table(time=pd.Timedelta("-1s")), "must not be negative"),
    "dates and nothing": (
        lambda: table(time=[pd.NaT] + [pd.Timestamp(START)] * (3 * SEQUENCES - 1)),
        "(row 1), got none",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_told_apart_is_refused_in_one_line(tmp_path, case):
    make, message = REFUSED[case]
    make().to_parquet(tmp_path / "own.parquet")
    assert message in refusal(tmp_path / "own.parquet")


TEXT_REFUSED = {
    "one comma among points": ("id;time;label\n0;1,5;a\n0;2.5;a\n", "must be numbers with one sign for the fraction"),
    "mixed forms of dates": (
        "id,time,label\n0,2024-01-01,a\n0,02/01/2024,a\n",
        "with a zone in all or in none (row 2), got '02/01/2024'. Correct it.",
    ),
    "a date that is none": (
        "id,time,label\n0,2024-02-28,a\n0,2024-02-29,a\n0,2024-02-30,a\n0,2024-03-01,a\n",
        "must be dates or durations of one form, with a zone in all or in none (row 3), got '2024-02-30'",
    ),
    "a zone in some": (
        "id,time,label\n0,2024-02-28T00:00:00Z,a\n0,2024-02-28T00:00:00,a\n",
        "with a zone in all or in none (row 2), got '2024-02-28T00:00:00'",
    ),
    "durations and none": ("id,time,label\n0,00:00:01,a\n0,soon,a\n", "(row 2), got 'soon'"),
    "dates of an unknown order": (
        "id,time,label\n0,03/02/2024,a\n",
        "must be numbers, got string values such as '03/02/2024'",
    ),
    "parted thousands": ('id,time,label\n0,"1,000",a\n', "must be numbers, got string values such as '1,000'"),
    "one name in two forms of Unicode": (
        "id,time,label\n"
        + "".join("{},{},caf{}\n".format(i // 2, i, ("e\u0301", "\u00e9")[i // 2 % 2]) for i in range(12)),
        "must have labels that differ in more than how Unicode composes a letter",
    ),
    "a header alone": ("id,time,label", "rows: must be at least one, got none"),
    "two bytes a letter": ("i\0d\0,\0t\0i\0m\0e\0", "Set data.encoding to what it was saved in"),
    "a Parquet file": ("PAR1...", "must be text, got a Parquet file. Give it the ending of what it is."),
    "a column twice": ("id,time,time,label\n0,1,2,a\n", "column time: must be in the file once, got it twice"),
    "an open quote": ('id,time,label\n0,1,"a\n0,2,a\n' + "0,3,a\n" * 9, "got 1 sequences of one event"),
}


@pytest.mark.parametrize("case", TEXT_REFUSED)
def test_text_that_can_be_read_in_two_ways_is_refused(tmp_path, case):
    content, message = TEXT_REFUSED[case]
    (tmp_path / "own.csv").write_text(content)
    assert message in refusal(tmp_path / "own.csv")


@pytest.mark.parametrize(
    ("name", "remedy"), [("a.xlsx", "Save it as CSV"), ("a.pkl", "A pickle runs"), ("a.npz.gz", "Give a")]
)
def test_other_kinds_are_refused_with_a_conversion(tmp_path, name, remedy):
    (tmp_path / name).write_bytes(b"anything")
    assert remedy in refusal(tmp_path / name)


@pytest.mark.parametrize("content", [b"{", b"[1]\n", b'{"id": 1}\n{"id": "1"}\n', b"\xff\n"])
def test_lines_that_are_no_objects_are_refused(tmp_path, content):
    (tmp_path / "own.jsonl").write_bytes(content)
    assert refusal(tmp_path / "own.jsonl")


def test_whole_numbers_that_64_bits_do_not_hold_are_refused_where_they_are_not_text(tmp_path):
    own = table(id=lambda rows: [2**63 + i for i in rows["id"]])
    path = tmp_path / "own.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in own.to_dict("records")))
    assert f"key id: must be whole numbers of 63 bits, got {2**63 + 23}. Write names as text" in refusal(path)
    own.astype({"id": str}).to_json(path, orient="records", lines=True)
    assert load(path).train.class_names == ("high", "low")


def test_an_older_form_of_feather_is_named(tmp_path):
    (tmp_path / "own.feather").write_bytes(b"FEA1" + bytes(100))
    assert "got the first version of Feather, which is no longer read. Write it again." in refusal(
        tmp_path / "own.feather"
    )


def test_an_address_in_place_of_a_file_is_refused(tmp_path):
    assert "must be a file, got 's3://mine/own.parquet', where there is none. Download it." in refusal(
        "s3://mine/own.parquet"
    )
    assert "Check the path." in refusal(tmp_path / "own.parquet")


def test_a_cut_archive_is_refused(tmp_path):
    (tmp_path / "own.csv.gz").write_bytes(gzip.compress(text_of(table()).encode())[:-20])
    assert "must be a whole .csv.gz file, got" in refusal(tmp_path / "own.csv.gz")


class Stream:
    """A frame of another library: polars and DuckDB have this method, too."""

    def __arrow_c_stream__(self, schema=None):
        return pa.Table.from_pandas(table()).__arrow_c_stream__(schema)


@pytest.mark.parametrize(
    "made", [table, lambda: pa.Table.from_pandas(table()), Stream, lambda: table().to_dict("list")]
)
def test_a_table_in_memory_goes_through_the_same_door(plain, made):
    config = EventsFileConfig.of(made(), validation_size=4)
    assert config.load().digest == plain
    Path(config.path).write_bytes(b"changed")
    assert EventsFileConfig.of(made(), validation_size=4).load().digest == plain
    with pytest.raises(DataError, match=r"table: must be a frame or columns of one type each, got"):
        EventsFileConfig.of({"id": ["a", 1]})


def test_features_are_standardised_by_the_training_split_and_a_constant_one_is_said(tmp_path):
    own = table(size=lambda rows: 1e9 + rows["size"], same=5.0)
    own.to_parquet(tmp_path / "own.parquet")
    splits = load(tmp_path / "own.parquet", feature_columns=("size", "same"))
    size, same = splits.train.features.double().unbind(1)
    assert size.mean().item() == pytest.approx(0, abs=1e-6)
    assert size.square().mean().item() == pytest.approx(1, abs=1e-6)  # float32 keeps 64 apart at 1e9
    assert same.abs().max() == 0
    assert splits.notes == (
        "column same: has one value in the training split, so it tells nothing and is 0 everywhere",
    )
    raw = splits.standardization.undo(splits.test.features.numpy())
    assert sorted(raw[:, 0].round(3).tolist()) == [
        value for value in sorted(own["size"]) if value in set(raw[:, 0].round(3))
    ]
    as_given = load(tmp_path / "own.parquet", feature_columns=("size",), standardize=False)
    assert as_given.standardization is None
    assert as_given.train.features.min() >= 1e9


def test_standardisation_is_part_of_the_identity_only_where_there_are_features():
    def told(**fields):
        return EventsFileConfig(path="x.csv", **fields).identity()

    assert told() == told(standardize=False)
    assert told(feature_columns=("a",)) != told(feature_columns=("a",), standardize=False)
    assert "standardize" not in told(feature_columns=("a",), standardize=False)


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_large_file_is_read_once_and_kept_under_its_content(tmp_path, monkeypatch, shuffled):
    own = table().sample(frac=1, random_state=0) if shuffled else table()
    own.to_parquet(tmp_path / "own.parquet")
    small = load(tmp_path / "own.parquet", feature_columns=("size",)).digest
    monkeypatch.setattr(events_file, "LARGE_BYTES", 0)
    monkeypatch.setattr("pipeline.data.files.arrow.BATCH_ROWS", 10)
    events_file._grouped.cache_clear()
    _load.cache_clear()
    assert load(tmp_path / "own.parquet", feature_columns=("size",)).digest == small
    [place] = (tmp_path / "data/events").iterdir()
    assert {file.name for file in place.iterdir()} == {
        "times.npy", "offsets.npy", "labels.npy", "features.npy", "groups.npy", "about.json", "digests.json",
    }  # fmt: skip
    monkeypatch.setattr(events_file, "open_table", None)  # it is not opened again
    (tmp_path / "own.parquet").rename(tmp_path / "moved.parquet")
    assert load(tmp_path / "moved.parquet", feature_columns=("size",)).digest == small
    for file in place.iterdir():
        whole = file.read_bytes()
        file.write_bytes(
            whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:]
        )  # a label or a time that is as likely as the true one
        _load.cache_clear()
        events_file._grouped.cache_clear()
        assert "Delete the folder" in refusal(tmp_path / "moved.parquet", feature_columns=("size",)), file
        file.write_bytes(whole)
    assert load(tmp_path / "moved.parquet", feature_columns=("size",)).digest == small


def test_a_decimal_is_rounded_once(tmp_path):
    own = table(size=[Decimal("7.1")] * 3 * SEQUENCES)
    own.to_parquet(tmp_path / "own.parquet")
    splits = load(tmp_path / "own.parquet", feature_columns=("size",), standardize=False)
    assert splits.train.features.unique().tolist() == [torch.tensor(7.1).item()]
