"""Bad input, made from the schema of the configs: it is taken where it is valid, else refused with one line in one form."""

import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.plan import Plan
from models.config import ModelError
from pipeline.__main__ import VERBS, main, parse
from pipeline.ablation.reading import load_ablation
from pipeline.ablation.space import AblationConfig
from pipeline.data.events_file import EventsFileConfig
from pipeline.errors import UsageError
from pipeline.output import check_output
from pipeline.settings import ALIASES, build_run, fields_of, is_whole, known_paths, read_values, resolve_all
from pipeline.study import STUDY_KEYS, load_run, load_study

DEEP = "[" * 100_000 + "]" * 100_000
VALUES = [
    None, True, -1, 0, 1.5, 1e3, 10**18, 10**30, 10**400, float("nan"), float("inf"), -float("inf"), "", "5", "²", "①",
    "position\n", "a\0b", "\ud800", "x" * 5000, [], ["lete"], [[1]], {}, {"name": "synthetic"}, {"low": None},
]  # fmt: skip
NO_WHOLE = [-1, 1.5, 10**30, 10**400, float("inf"), "", "5", "²", "①", [], {}]
LEAKS = re.compile(r"Input should|NoneType|Traceback|invalid \w+ value|pydantic|expected one argument|invalid choice")


def said(call, *arguments, **named):
    """Return the line with which a call refuses its input, if it does; any other error than its own is raised."""
    try:
        call(*arguments, **named)
    except (UsageError, ModelError) as error:
        line = str(error)
        assert line.isprintable(), line
        assert re.fullmatch(r".*: must .*, got .*[.?]|.*(must|has) .*, got .*\.", line), line
        assert not LEAKS.search(line), line
        assert len(line) < 3000
        return line
    return ""


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    path = tmp_path_factory.mktemp("bad") / "study.json"

    def write(content):
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def names_for(path):
    """Return the names with which a config has the setting `path`."""
    kind = next(kind for other, kind, _ in fields_of(build_run({}).__class__) if other == path)
    parent = path.rpartition(".")[0]
    return {f"{parent}.name": kind.model_fields["name"].default} if "name" in kind.model_fields else {}


@pytest.mark.parametrize("path", known_paths())
def test_each_setting_takes_what_is_valid_and_refuses_the_rest_in_one_line(path):
    # 26 values for each of some 90 settings.
    for value in VALUES:
        line = said(lambda value=value: build_run(resolve_all({**names_for(path), path: value})))
        if is_whole(path) and (value in NO_WHOLE or value is True):
            assert line, value


@pytest.mark.parametrize("key", [*STUDY_KEYS, "model.embedding.name", "normalize", "seed", "x\ny", *ALIASES])
def test_each_key_of_a_study_file_refuses_what_is_wrong_in_one_line(write, key):
    for value in VALUES:
        said(load_study, write({key: value}))
        said(load_study, write({"variants": {"a": {"model.embedding.name": "lete"}}, key: value}))


@pytest.mark.parametrize("key", [*AblationConfig.model_fields, "rows", "base", "plan", "seeds", "model.hidden_dim"])
def test_each_key_of_an_ablation_file_refuses_what_is_wrong_in_one_line(write, key):
    for value in VALUES:
        said(load_ablation, write({"dim": [8, 16], key: value}))


@pytest.mark.parametrize("value", [5, None, ["lete"], "position\n", True, {}])
def test_a_name_that_no_variant_uses_is_refused_too(write, value):
    if value != {}:
        assert said(load_study, write({"model.embedding.name": value})).startswith(
            "model.embedding.name: must be a known"
        )


@pytest.mark.parametrize(
    "text", [f'{{"train.epochs": {"9" * 5000}}}', f'{{"seeds": {DEEP}}}', '{"a":' * 990 + "1" + "}" * 990, "null"]
)
def test_a_file_without_end_is_refused_in_one_line(write, text):
    assert "study.json: must be" in said(load_study, write(text))


def test_a_file_that_never_ends_is_refused():
    assert said(load_study, Path("/dev/zero")).startswith("/dev/zero: must have at most 67,108,864 bytes")


def test_a_path_of_any_characters_is_shown_in_one_line(tmp_path):
    for name in ("no\nfile.json", "no\0file.json", "no\udcfffile.json", "n" * 5000):
        assert said(load_study, tmp_path / name)


@pytest.mark.parametrize("text", ["9" * 5000, DEEP, "1e3", "²", '{"a": 1}', "NaN"])
def test_a_flag_of_a_whole_number_refuses_other_text(text):
    assert said(lambda: load_run(None, read_values({"model.hidden_dim": text})))


def test_a_group_of_settings_is_no_flag():
    assert "--data: must be one setting" in said(load_run, None, read_values({"data": '{"name": "synthetic"}'}))


@pytest.mark.parametrize("field", [*Plan.model_fields, "no_field", "x\ny"])
def test_each_field_of_a_plan_refuses_what_is_wrong_in_one_line(write, field):
    own = {"variants": {"a": {"model.embedding.name": "lete"}, "b": {"model.embedding.name": "none"}}}
    for value in [*VALUES, "a", "none", 0.05, 10**6]:
        line = said(load_study, write({**own, "plan": {field: value}}))
        fits = field in Plan.model_fields and isinstance(value, type(Plan.model_fields[field].default))
        listed = (field in ("exclusions", "looks", "levels") and isinstance(value, list)) or (
            field == "pairs" and value == []
        )
        assert line or fits or listed, value
        assert not line or line.startswith(("plan.", "plan:")), line
        said(load_ablation, write({"rows": {"a": {}, "b": {"dim": 8}}, "plan": {field: value}}))


TEXTS = [
    "9" * 5000,
    "-1",
    "²",
    "①",
    "٣",
    "1e3",
    "1_0",
    "x",
    "NaN",
    "tru",
    "True",
    "x\ny",
    "\x1b[31m",
    "../..",
    "<b>",
    "\udcff",
]
TRUTHS = ("allow_missing", "quick", "all", "no_retrain", "dry_run", "weights")


@pytest.mark.parametrize(
    ("verb", "flag"),
    [(verb, flag) for verb, (_, flags) in VERBS.items() for flag in flags if flag in (*TRUTHS, "choice")],
)
def test_a_flag_of_truth_or_of_a_number_refuses_other_text(verb, flag, capsys):
    for text in TEXTS:
        if flag == "choice" and text == "9" * 5000:
            assert len(str(parse([verb, f"--{flag}={text}"]).choice)) == 20  # a number by which something is drawn
            continue
        with pytest.raises(SystemExit, match="2"):
            parse([verb, f"--{flag}={text}"])
        line = capsys.readouterr().err
        assert line.startswith(f"error: --{flag}")
        assert line.count("\n") == 1
        assert re.search(": must be (true or false|a whole number from 0 on), got ", line), line
        assert not LEAKS.search(line), line


@pytest.mark.parametrize(
    "arguments", [["analyze", "--study"], ["verify"], ["promote"]], ids=lambda arguments: arguments[0]
)
def test_a_study_that_there_is_not_is_refused_in_one_line(store, capsys, arguments):
    for text in [*TEXTS, "a\0b", "x" * 5000]:
        if not text.startswith("-"):
            assert main([*arguments, text]) == 2
            assert capsys.readouterr().err.startswith("error: --study: must be a study in memory")
    assert store.find(status="RUNNING") == []


@pytest.mark.parametrize("verb", ["train", "compare", "main", "ablate"])
def test_a_device_and_a_storage_that_there_is_not_are_refused_before_anything_is_recorded(
    memory, capsys, monkeypatch, verb
):
    monkeypatch.setattr("pipeline.verbs.open_store", lambda *_: (memory, None))
    Path("own.json").write_text(json.dumps({"rows": {"a": {}, "b": {"dim": 8}}} if verb == "ablate" else {}))
    small = ["--config", "own.json", "--data.name", "synthetic", "--output", "out"]
    small = small[: 4 if verb in ("train", "compare") else 6]
    for flag, texts in {
        "--device": [*TEXTS, "cuda:", "cuda:²", "cpu:0"],
        "--storage": [*TEXTS, "sqlite://", "mysql://a:b@c/d"],
    }.items():
        for text in texts:
            assert main([verb, *small, f"{flag}={text}"]) == 2, (flag, text)
            line = capsys.readouterr().err
            assert line.startswith(f"error: {flag}: must be"), line
            assert line.count("\n") == 1
    assert not memory._runs
    assert sorted(path.name for path in Path().iterdir() if path.is_file()) == ["own.json"]


@pytest.mark.parametrize("verb", [*VERBS, "no\nverb"])
def test_the_flags_of_each_verb_refuse_what_is_wrong_in_one_line(verb, capsys):
    wrong = [["--workers", text] for text in ("9" * 5000, "²", "①", "0", "-1", "1e3")]
    for arguments in [
        *wrong,
        ["--"],
        ["--", "x"],
        ["--=5"],
        ["word\nword"],
        ["--config"],
        ["--allow_missing", "²"],
        ["--epochs"],
    ]:
        if verb in {"ls", "verify", "rm", "promote"} and ("--" in arguments or arguments == ["word\nword"]):
            continue  # a topic or a study, which the verb itself looks up
        if verb == "doctor" and arguments == ["word\nword"]:
            continue  # a file
        with pytest.raises(SystemExit, match="2"):
            parse([verb, *arguments])
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert ", got " in line
        assert not LEAKS.search(line), line


def test_seeds_and_devices_of_other_digits_are_refused(capsys):
    for flags in (["--seeds", "9" * 5000], ["--seeds", "²"], ["--seeds", "①"], ["--models", "²"]):
        assert main(["compare", *flags]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_an_output_that_cannot_be_made_is_refused_and_one_that_can_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    places = [tmp_path / "file", tmp_path / "file/x", tmp_path / "loop", tmp_path / "loop/x", tmp_path / ("x" * 5000)]
    for place in [*places, type(tmp_path)("/dev/null/x"), type(tmp_path)("/proc/nothing")]:
        assert said(check_output, place, "study").startswith("--output: must be a folder that can be written to")
    check_output(tmp_path / "a/b", "study")
    assert not (tmp_path / "a").exists()


def npz(changes=None, compression=zipfile.ZIP_STORED):
    ids = np.repeat(np.arange(30), 2)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, column in {"id": ids, "time": np.tile([1, 2], 30), "label": ids % 2}.items():
            part = io.BytesIO()
            np.save(part, column)
            archive.writestr(f"{name}.npy", (changes or {}).get(name, part.getvalue()))
    return stream.getvalue()


def column(dtype, shape, body=b""):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue() + body


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    path = tmp_path_factory.mktemp("events") / "own.npz"

    def load(content):
        path.write_bytes(content)
        return EventsFileConfig(path=str(path), validation_size=8).load()

    return load


@pytest.mark.parametrize(
    "time",
    [
        column("<i8", (10**15,)), column("<i8", (10**30,)), column("<i8", (-1,)), column("|V0", (10**9,)), b"", b"no array",
        column("|V8", (60,), bytes(480)), column("<i8", (60, 1), bytes(480)), b"\x93NUMPY\x01\x00\x10\x00" + b"[" * 16,
        b"\x93NUMPY\x02\x00\x28\x23\x00\x00" + b"-" * 9000,
    ],
)  # fmt: skip
def test_an_array_that_is_not_what_its_header_says_is_refused(load, time):
    assert said(load, npz({"time": time}))


def test_arrays_of_other_lengths_are_refused_before_they_are_unpacked(load, monkeypatch):
    bomb = npz({"time": column("<i8", (10**6,), bytes(8 * 10**6))}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 10**5
    monkeypatch.setattr(np, "frombuffer", lambda *_, **__: pytest.fail("it was unpacked"))
    assert "arrays of different lengths (id 60, time 1000000, label 60)" in said(load, bomb)


def test_big_endian_arrays_are_read_and_encrypted_and_unknown_archives_refused(load):
    assert (
        load(npz({"time": column(">i8", (60,), np.tile([1, 2], 30).astype(">i8").tobytes())})).digest
        == load(npz()).digest
    )
    for offsets in ((6, 8), (8, 10)):  # the flags, and the method, of both headers
        content = bytearray(npz())
        for mark, offset in zip((b"PK\x03\x04", b"PK\x01\x02"), offsets, strict=True):
            for found in re.finditer(re.escape(mark), bytes(content)):
                content[found.start() + offset] = 97
        assert said(load, bytes(content))


PATHS = st.sampled_from([*STUDY_KEYS, *known_paths()])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | PATHS,
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text() | PATHS, parts, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from([*STUDY_KEYS, *known_paths(), *ALIASES]) | st.text()


@settings(max_examples=80, derandomize=True, deadline=None, database=None)
@given(st.dictionaries(KEYS, JSON, max_size=3))
def test_no_study_file_raises_anything_else(write, tree):
    said(load_study, write(tree))
    said(load_ablation, write(tree))


@settings(max_examples=80, derandomize=True, deadline=None, database=None)
@given(st.dictionaries(KEYS, st.text() | JSON.map(json.dumps), max_size=3))
def test_no_flag_raises_anything_else(flags):
    said(lambda: load_run(None, read_values(flags)))


@settings(max_examples=150, derandomize=True, deadline=None, database=None)
@given(
    st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), min_size=1, max_size=8),
    st.sampled_from([0, 8, 12, 14]),
)
def test_no_bytes_of_an_archive_raise_anything_else(load, changes, compression):
    content = bytearray(npz(compression=compression))
    for place, byte in changes:
        content[place % len(content)] = byte
    said(load, bytes(content))
