"""Files of events that are wrong in each kind: they are refused in one line, or they are valid, and nothing in them runs."""

import gzip
import io
import json
import pickle
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import feather

from pipeline.__main__ import main
from pipeline.data.events_file import EventsFileConfig
from pipeline.errors import UsageError, printable

ROWS = 60
HEADER = "id,time,label,value"
NUMBERS = ("time", "value")
NO_NUMBERS = [
    "", "nan", "NaN", "inf", "-Infinity", "1e400", "9" * 5000, "²", "①", "٣", "0x10", "1_000", "True", "x", '"1,5"', "1 2",
    "<script>", "\x00", "\x1b[31m",
]  # fmt: skip


def lines():
    return [HEADER, *(f"{row // 2},{1 + row % 2},{row // 2 % 2},0.5" for row in range(ROWS))]


def csv(row=None, column=None, value=None):
    """Return a valid CSV file, with another value in one cell."""
    cells = [line.split(",") for line in lines()]
    if column:
        cells[row][HEADER.split(",").index(column)] = value
    return "".join(f"{','.join(line)}\n" for line in cells).encode()


def table(**columns):
    """Return the same as a table, with other columns in place of its own."""
    place = np.arange(ROWS)
    own = {"id": place // 2, "time": 1 + place % 2, "label": place // 2 % 2, "value": np.full(ROWS, 0.5)}
    return pa.table({**own, **columns})


def parquet(content, **options):
    stream = io.BytesIO()
    pq.write_table(content, stream, **options)
    return stream.getvalue()


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")

    def load(content, ending):
        """Return the splits of a file, or the line with which it is refused."""
        path = folder / f"own{ending}"
        path.write_bytes(content)
        config = EventsFileConfig(path=str(path), feature_columns=("value",), validation_size=8)
        try:
            return config.load()
        except UsageError as error:
            line = str(error)
            assert line == printable(line)
            assert ": must " in line or ", column" in line, line
            assert ", got " in line, line
            assert len(line) < 3000
            return line

    return load


def refused(answer):
    return isinstance(answer, str)


def test_the_valid_files_are_taken(load):
    of_csv, of_parquet = load(csv(), ".csv"), load(parquet(table()), ".parquet")
    assert not refused(of_csv)
    assert of_csv.digest == of_parquet.digest


@pytest.mark.parametrize("column", ["id", "time", "label", "value"])
def test_a_cell_that_is_no_such_thing_is_refused(load, column):
    for value, row in [(value, row) for value in NO_NUMBERS for row in (1, ROWS)]:
        answer = load(csv(row, column, value), ".csv")
        # An id of other text names another sequence, which is valid.
        assert refused(answer) or (column == "id" and value not in ("", "nan", "NaN")), (value, row)


@pytest.mark.parametrize("value", ["-1", "16777217", "1e300"])
def test_a_time_out_of_range_is_refused(load, value):
    assert "column time" in load(csv(5, "time", value), ".csv")


@pytest.mark.parametrize("column", ["id", "time", "label", "value"])
def test_a_column_that_is_missing_is_refused(load, column):
    place = HEADER.split(",").index(column)
    cut = "\n".join(",".join(line.split(",")[:place] + line.split(",")[place + 1 :]) for line in lines())
    assert f"column {column}" in load(cut.encode(), ".csv")
    assert f"column {column}" in load(parquet(table().drop_columns(column)), ".parquet")


BODY = csv().decode()
WRONG_CSV = {
    "empty": b"", "blank": b"\n\n\n", "header": f"{HEADER}\n".encode(), "no header": BODY.partition("\n")[2].encode(),
    "long row": BODY.replace("\n3,1", "\n3,1,7,7,7", 1).encode(), "short row": BODY.replace("\n3,1,1,0.5", "\n3,1", 1).encode(),
    "longer rows": BODY.replace("0.5\n", "0.5,1\n").encode(), "open quote": BODY.replace("\n3,", '\n"3,', 1).encode(),
    "Latin-1": BODY.replace("time", "tim\xe9").encode("latin-1"),
    "other bytes": b"\xff\xfe\xfd" * 50, "a null": BODY.replace("time", "ti\x00me").encode(), "cut in a row": csv()[:-6],
    "Parquet": parquet(table()), "archive": gzip.compress(csv()), "pickle": pickle.dumps(lines()), "one line": b"x" * 100_000,
    "page": b"<!doctype html><html><body>404</body></html>", "JSON": b'[{"id": 1, "time": 2}]', "many columns": b"a," * 2_000 + b"\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG_CSV)
def test_a_text_that_is_no_such_table_is_refused(load, kind):
    assert refused(load(WRONG_CSV[kind], ".csv"))


TAKEN = {("time", "dates"), ("time", "durations"), ("time", "truth"), ("value", "truth")}
"""Columns of other types that are numbers all the same."""
WRONG_COLUMNS = {
    "text": ["x"] * ROWS, "digits": ["5"] * ROWS, "null": pa.nulls(ROWS), "one null": [None, *range(1, ROWS)],
    "one NaN": [float("nan"), *map(float, range(1, ROWS))], "one inf": [float("inf"), *map(float, range(1, ROWS))],
    "dates": pa.array(range(ROWS), pa.timestamp("s")), "lists": [[1]] * ROWS, "records": [{"a": 1}] * ROWS, "bytes": [b"1"] * ROWS,
    "truth": [True, False] * (ROWS // 2), "durations": pa.array(range(ROWS), pa.duration("s")),
    "categories": pa.array(["a", "b"] * (ROWS // 2)).dictionary_encode(),
    "dictionaries": pa.array([[("a", 1)]] * ROWS, pa.map_(pa.string(), pa.int64())),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG_COLUMNS)
def test_a_column_of_another_type_is_refused(load, kind):
    for column in NUMBERS:
        answer = load(parquet(table(**{column: WRONG_COLUMNS[kind]})), ".parquet")
        assert refused(answer) is ((column, kind) not in TAKEN), column
    for column in ("id", "label"):
        answer = load(parquet(table(**{column: WRONG_COLUMNS[kind]})), ".parquet")
        assert refused(answer) or kind in ("text", "digits", "truth"), column


WRONG_JSON = [
    "null", "NaN", "Infinity", "-Infinity", "1e400", "9" * 5000, "9" * 30, "-1", "[]", "[1]", "{}", '{"a": 1}', '""', '"x"', '"²"',
    '"\\ud800"', '"\\u0000"', "[" * 100_000 + "]" * 100_000, "1 2", "x", "", "'1'", "0x10", "01", "\x00",
]  # fmt: skip


def json_lines(row=None, column=None, value=None):
    """Return the same as JSON lines, with other text as one value."""
    rows = [dict(zip(HEADER.split(","), line.split(","), strict=True)) for line in lines()[1:]]
    if column:
        rows[row][column] = value
    return "".join(f"{{{', '.join(f'{json.dumps(key)}: {text}' for key, text in cells.items())}}}\n" for cells in rows)


@pytest.mark.parametrize("column", ["id", "time", "label", "value"])
def test_a_value_of_json_that_is_no_such_thing_is_refused(load, column):
    assert not refused(load(json_lines().encode(), ".jsonl"))
    for value, row in [(value, row) for value in WRONG_JSON for row in (0, ROWS - 1)]:
        answer = load(json_lines(row, column, value).encode(), ".jsonl")
        assert refused(answer) or (column != "time" and value == "-1"), (value, row)


WHOLE = parquet(table())
WRONG_PARQUET = {
    "empty": b"", "mark": b"PAR1", "marks": b"PAR1" * 2, "CSV": csv(), "text": b"x" * 1000, "pickle": pickle.dumps(lines()),
    "no rows": parquet(table().slice(0, 0)), "no columns": parquet(pa.table({})), "tail": WHOLE[100:],
    "endless footer": WHOLE[:-8] + b"\xff\xff\xff\x7fPAR1", "negative footer": WHOLE[:-8] + b"\xff\xff\xff\xffPAR1",
    **{f"cut at {share} %": WHOLE[: len(WHOLE) * share // 100] for share in (1, 25, 50, 75, 99)},
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG_PARQUET)
def test_bytes_that_are_no_such_table_are_refused(load, kind):
    assert refused(load(WRONG_PARQUET[kind], ".parquet"))


def arrow(**options):
    stream = io.BytesIO()
    feather.write_feather(table(), stream, **options)
    return stream.getvalue()


WHOLE_FILES = {
    ".csv": csv(), ".tsv": csv().replace(b",", b"\t"), ".csv.gz": gzip.compress(csv(), mtime=0), ".jsonl": json_lines().encode(),
    ".parquet": WHOLE, ".feather": arrow(compression="uncompressed"), ".arrow": arrow(compression="zstd"),
}  # fmt: skip


@pytest.mark.parametrize("ending", WHOLE_FILES)
def test_a_file_that_is_cut_anywhere_is_refused_or_a_shorter_one(load, ending):
    content = WHOLE_FILES[ending]
    assert not refused(load(content, ending))
    for share in range(20):
        load(content[: len(content) * share // 20], ending)
    assert refused(load(content[: len(content) // 20], ending))


@settings(max_examples=200, derandomize=True, deadline=None, database=None)
@given(
    st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=8),
    st.sampled_from(list(WHOLE_FILES)),
)
def test_no_bytes_of_a_file_raise_anything_else(load, changes, ending):
    content = bytearray(WHOLE_FILES[ending])
    for place, byte in changes:
        content[place % len(content)] = byte
    load(bytes(content), ending)


def test_code_in_a_file_of_events_is_not_run(load, trap):
    objects = io.BytesIO()
    np.save(objects, np.array([trap] * ROWS, dtype=object), allow_pickle=True)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as parts:
        parts.writestr("time.npy", objects.getvalue())
    assert refused(load(archive.getvalue(), ".npz"))
    # The way in which Arrow once stored types of Python's own.
    planted = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickle.dumps(trap)}
    field = pa.field("time", pa.int64(), metadata=planted)
    content = table()
    load(parquet(content.set_column(1, field, content["time"])), ".parquet")
    for ending in (".csv", ".parquet", ".npz"):
        assert refused(load(pickle.dumps(trap), ending))


def test_the_command_line_says_it_in_one_line_and_writes_nothing(workplace, capsys):
    files = {
        "own.csv": csv(5, "time", "x"),
        "own.parquet": WHOLE[:50],
        "own\n.csv": b"",
        "own.npz": b"PK",
        "own.txt": csv(),
    }
    for name, content in files.items():
        (workplace / name).write_bytes(content)
        assert main(["train", "--data.name", "events_file", f"--data.path={name}"]) == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
        assert captured.err.startswith("error: ")
        assert captured.out == "loading the data ...\n"
    assert sorted(path.name for path in workplace.iterdir()) == sorted(files)


def test_pandas_columns_of_two_names_are_refused(load):
    pandas = pd.DataFrame(np.zeros((2, 2)), columns=pd.MultiIndex.from_tuples([("id", "a"), ("time", "b")]))
    stream = io.BytesIO()
    pandas.to_parquet(stream)
    assert refused(load(stream.getvalue(), ".parquet"))
