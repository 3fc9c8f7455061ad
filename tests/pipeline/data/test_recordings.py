"""Folders of recordings as data sets, made of files that are written here."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.__main__ import main
from pipeline.config import config_hash
from pipeline.data import DataError
from pipeline.data.recordings import RecordingsConfig
from pipeline.errors import UsageError
from pipeline.settings import build_run
from pipeline.tracking import connect


def events(*rows):
    """Return events of five bytes, from x, y, polarity and microseconds each."""
    return b"".join(
        struct.pack(">BBBH", x, y, polarity << 7 | time >> 16, time & 0xFFFF) for x, y, polarity, time in rows
    )


def recording(number):
    """Return recording `number`: three events, 1.5 and `number` + 2 ms after its start at 700 us."""
    return events((number, 9, 1, 700), (2, number, 0, 2200), (3, 4, 1, 2700 + 1000 * number))


@pytest.fixture
def folder(tmp_path):
    """A function that writes recordings of some classes: number i has i, so that the content of each is another one."""

    def folder(place="", classes=("0", "1"), count=10, first=0):
        for number in range(count * len(classes)):
            path = tmp_path / "own" / place / classes[number % len(classes)] / f"{number:05}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(recording(first + number))
        return tmp_path / "own"

    return folder


def load(path, **fields):
    return RecordingsConfig(**{"path": str(path), "validation_size": 4, **fields}).load()


def given(split):
    """Return the number of each recording, which its last time tells."""
    return [int(split.times[end - 1]) - 2 for end in split.offsets[1:]]


def test_a_recording_is_a_sequence_and_times_are_whole_milliseconds_since_its_first_event(folder):
    splits = load(folder())
    parts = (splits.train, splits.validation, splits.test)
    assert [len(part) for part in parts] == [12, 4, 4]
    assert sorted(number for part in parts for number in given(part)) == list(range(20))
    assert (splits.train.horizon, splits.train.time_unit, splits.train.times.dtype) == (22, "ms", torch.int16)
    for part in parts:
        assert part.class_names == ("0", "1")
        assert part.labels.tolist() == [number % 2 for number in given(part)]
        # 1,500 us after the first are 1 ms and a half.
        assert part.times.reshape(-1, 3).tolist() == [[0, 1, number + 2] for number in given(part)]


def test_place_and_polarity_are_features_that_the_training_split_standardises(folder):
    splits = load(folder())

    def features(split):
        return np.array([row for n in given(split) for row in ((n, 9, 1), (2, n, 0), (3, 4, 1))], dtype=np.float64)

    trained = features(splits.train)
    for split in (splits.train, splits.validation, splits.test):
        expected = (features(split) - trained.mean(0)) / trained.std(0)
        np.testing.assert_allclose(split.features.numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(splits.standardization.means, trained.mean(0), rtol=1e-12)
    assert splits.time_origin == "sequence"
    assert splits.notes == ("times are whole units of 1000 us since the first event of the recording, rounded down",)


@pytest.mark.parametrize(
    ("step", "unit", "times", "horizon"),
    [(1, "us", [0, 1500, 21000], 21001), (250, "250 us", [0, 6, 84], 85), (10**6, "second", [0, 0, 0], 1)],
)
def test_the_unit_of_time_can_be_chosen(folder, step, unit, times, horizon):
    splits = load(folder(), time_step=step)
    everything = torch.cat([part.times.reshape(-1, 3) for part in (splits.train, splits.validation, splits.test)])
    assert everything[everything[:, 2].argmax()].tolist() == times
    assert (splits.train.time_unit, splits.train.horizon) == (unit, horizon)


def test_long_times_are_kept_as_whole_floats(folder):
    own = folder()
    (own / "0" / "long.bin").write_bytes(events((1, 1, 0, 0), (1, 1, 0, 8_000_001)))
    splits = load(own, time_step=1)
    assert splits.train.times.dtype == torch.float32
    assert splits.train.horizon == 8_000_002


def test_folders_called_train_and_test_are_the_splits(folder):
    folder("Train", first=20)
    own = folder("Test", count=3)
    splits = load(own)
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [16, 4, 6]
    assert sorted(given(splits.test)) == list(range(6))
    assert min(given(splits.train) + given(splits.validation)) == 20
    (own / "Train").rename(own / "TRAIN")
    (own / "Test").rename(own / "test")
    assert load(own).digest == splits.digest


def test_a_class_may_be_called_train(folder):
    splits = load(folder(classes=("train", "bus")))
    assert splits.test.class_names == ("bus", "train")


def test_classes_that_are_numbers_are_in_the_order_of_numbers(folder):
    assert load(folder(classes=("10", "9"))).test.class_names == ("9", "10")
    assert load(folder(classes=("10", "9", "a"))).test.class_names == ("10", "9", "a")


def test_long_recordings_are_cut_before_they_are_kept(folder):
    whole, cut = load(folder()), load(folder(), max_events=2)
    assert set(cut.train.lengths.tolist()) == {2}
    assert cut.train.horizon == 2  # of what is left
    assert cut.train.times.reshape(-1, 2).tolist() == whole.train.times.reshape(-1, 3)[:, :2].tolist()


def test_kinds_may_be_mixed_and_what_is_hidden_is_passed_over(folder):
    own = folder()
    expected = load(own).digest
    content = (own / "0" / "00000.bin").read_bytes()
    # The same three events with addresses of a DVS128.
    pairs = [((9 << 8) | (0 << 1) | 1, 700), ((0 << 8) | (2 << 1), 2200), ((4 << 8) | (3 << 1) | 1, 2700)]
    assert content == recording(0)
    (own / "0" / "00000.bin").unlink()
    (own / "0" / "00000.aedat").write_bytes(b"#!AER-DAT2.0\r\n" + b"".join(struct.pack(">II", *pair) for pair in pairs))
    (own / "0" / ".DS_Store").write_bytes(b"x")
    (own / ".git").mkdir()
    assert load(own).digest == expected


def test_names_of_files_may_be_of_any_bytes(folder):
    own = folder()
    Path(os.fsdecode(os.fsencode(own / "0" / "x") + b"\xff\n.bin")).write_bytes(recording(30))
    splits = load(own)
    assert 30 in given(splits.train) + given(splits.validation) + given(splits.test)
    assert RecordingsConfig(path=str(own)).identity()["path"]


def test_the_content_identifies_the_data_wherever_it_lies(folder, tmp_path):
    def identified(path, **fields):
        return config_hash(build_run({"data.name": "recordings", "data.path": str(path), **fields}))

    own = folder()
    first = identified(own)
    moved = own.rename(tmp_path / "moved")
    assert identified(moved) == first
    assert identified(moved, **{"data.time_step": 1}) != first
    assert identified(moved, **{"data.test_fraction": 0.5}) != first
    before = load(moved).digest
    (moved / "0" / "00000.bin").write_bytes(recording(77))
    assert identified(moved) != first
    assert load(moved).digest != before
    (moved / "0" / "00000.bin").write_bytes(recording(0))
    assert identified(moved) == first
    (moved / "0").rename(moved / "2")
    assert identified(moved) != first
    assert RecordingsConfig(path=str(tmp_path / "absent")).identity()["path"] == ""


def test_the_share_that_is_tested_counts_only_where_it_decides(folder):
    own = folder("Train")
    assert "test_fraction" in RecordingsConfig(path=str(own / "Train")).identity()
    assert "test_fraction" not in RecordingsConfig(path=str(folder("Test"))).identity()


def wrong(change, message, **fields):
    return change, message, fields


def written(place, content=b"x"):
    def write(own):
        (own / place).parent.mkdir(parents=True, exist_ok=True)
        (own / place).write_bytes(content)

    return write


MALFORMED = {
    "an empty class": wrong(lambda own: (own / "2").mkdir(), "own/2: must hold recordings, got an empty folder. Add some, or"),
    "a class of hidden files": wrong(written("__MACOSX/._a"), "own/__MACOSX: must hold recordings, got an empty folder."),
    "a folder in a class": wrong(
        written("0/deep/a.bin"), "own/0/deep: must be a file, got something else. Take it out of the folder."
    ),
    "a pipe": wrong(lambda own: os.mkfifo(own / "0" / "a.bin"), "own/0/a.bin: must be a file, got something else."),
    "a link to nothing": wrong(lambda own: (own / "a.h5").symlink_to("b"), "own/a.h5: must be a file, got something else."),
    "a file beside the classes": wrong(
        written("a.bin"), "own/a.bin: must lie in a folder that is called as its class, got none. Move it into one."
    ),
    "a file of another kind": wrong(
        written("0/a.mat"), "own/0/a.mat: must be a recording that ends in .bin, .aedat, .h5, .hdf5, got '.mat'. Take it out"
    ),
    "a file without an ending": wrong(written("0/README"), "that ends in .bin, .aedat, .h5, .hdf5, got no ending. Take"),
    "HDF5 in a class": wrong(written("0/a.h5"), "own/0/a.h5: must lie in no folder of a class, because it says its own, got '0'."),
    "a copy in a cache": wrong(written("12_1.hdf5"), "own/12_1.hdf5: must be the only copy of its recording, got a further one."),
    "a file that was cut off": wrong(written("0/b.bin", bytes(7)), "own/0/b.bin: must be a whole recording, got 7 bytes"),
    "one class": wrong(
        lambda own: (own / "0").rename(own.parent / "gone"), "own: must have at least 2 classes, got 1. Add recordings"
    ),
    "a class of two": wrong(
        lambda own: [path.unlink() for path in sorted((own / "0").iterdir())[:8]],
        "test split: must have sequences of each class, got none of class 0 in its 2. Raise data.test_size or data.test_fraction.",
    ),
    "a name of letters that are not shown": wrong(
        written("a\u202eb/a.bin", recording(1)), "must have a class of printable letters with single blanks between them, got"
    ),
    "a name of two lines": wrong(written("a\nb/a.bin", recording(1)), "must have a class of printable letters with single"),
    "a name of no letters": wrong(written(" /a.bin", recording(1)), "must have a class of printable letters with single"),
    "a name of bytes": wrong(written("\udcff/a.bin", recording(1)), "must have a class of printable letters with single"),
    "units that are too short": wrong(
        written("0/b.bin", events((1, 1, 1, 0), *[(1, 240, 0, 0)] * 2048, (1, 1, 1, 0), (1, 1, 1, 1))),
        "data.time_step: must be so many microseconds that a recording has at most 16777216 of them, got 1, of which ",
        time_step=1,
    ),
    "more validation than there is": wrong(lambda _: None, "data.validation_size: must leave sequences to train on", validation_size=16),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_folder_is_one_line_that_says_what_to_do(folder, case):
    change, message, fields = MALFORMED[case]
    own = folder()
    assert len(load(own).train) == 12
    change(own)
    with pytest.raises(DataError) as caught:
        load(own, **fields)
    assert message in str(caught.value)
    assert ", got " in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_time_of_exactly_the_largest_whole_float_is_taken(folder):
    own = folder()
    (own / "0/b.bin").write_bytes(events((1, 1, 1, 0), *[(1, 240, 0, 0)] * 2048, (1, 1, 1, 0)))
    assert load(own, time_step=1).train.horizon == 2**24 + 1


def test_a_class_in_one_of_train_and_test_alone_is_refused(folder):
    folder("Train")
    own = folder("Test", classes=("0", "1", "2"))
    with pytest.raises(
        DataError, match=r"own: must have the same classes in Train and Test, got '2' in one alone\. Correct"
    ):
        load(own)


def test_a_small_test_set_that_lacks_a_class_says_what_to_do(folder):
    folder("Train")
    with pytest.raises(
        DataError, match=r"test split: must have .* in its 1\. Add recordings of it, or raise data\.test_size"
    ):
        load(folder("Test"), test_size=1)


@pytest.mark.parametrize("path", ["", "absent", "a.zip", "x" * 5000, "a\0b"])
def test_a_path_must_lead_to_a_folder(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"data\.path: must be a folder (of recordings|that can be read), got '"):
        load(path)


def test_more_events_than_memory_holds_are_refused_before_any_is_read(folder):
    own = folder()
    with (own / "0" / "large.bin").open("wb") as file:
        file.truncate(2**40)  # takes no room on the disk
    with pytest.raises(
        UsageError, match=r"own: must fit into memory, got about 219,902,325,615 events, .* Set data\.max_events"
    ):
        load(own)
    with pytest.raises(
        UsageError, match=r"large\.bin: must fit into memory, got a recording of 1,099,511,627,776 bytes"
    ):
        load(own, max_events=10)


@pytest.mark.parametrize("case", ["an empty class", "a file that was cut off", "a name of two lines"])
def test_the_command_line_prints_the_line_and_ends_with_2(folder, workplace, capsys, case):
    change, message, _ = MALFORMED[case]
    own = folder()
    change(own)
    before = sorted(workplace.rglob("*"))
    assert main(["train", "--data.name", "recordings", f"--data.path={own}"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert sorted(workplace.rglob("*")) == before


def test_the_card_names_the_features(folder, workplace, capsys):
    del workplace
    assert main(["ls", "data", "recordings", f"--data.path={folder()}", "--data.validation_size=4"]) == 0
    said = capsys.readouterr().out
    assert "sequences: 20: 12 train, 4 validation, 4 test\n" in said
    assert "times: 0 to 21, horizon 22, in the unit ms, kept as int16\n" in said
    assert all(f"feature {name}: mean " in said for name in ("x", "y", "polarity"))


@pytest.mark.usefixtures("mlflow_store")
def test_a_model_learns_from_a_folder_of_recordings(folder):
    data = [
        "--data.name",
        "recordings",
        "--data.path",
        str(folder()),
        "--data.max_events",
        "2",
        "--data.validation_size",
        "4",
    ]
    sizes = ["--model.embedding.dim", "4", "--model.hidden_dim", "4", "--train.epochs", "1"]
    assert main(["train", *data, "--models", "sincos", *sizes]) == 0
    [run] = connect().find(model="sincos")
    assert (run.status, run.tags["dataset"]) == ("FINISHED", "recordings")


def cache(path, *, label, number):
    """Write a recording as tonic's cache has it."""
    h5py = pytest.importorskip("h5py")
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [(700, number, 9, True), (2200, 2, number, False), (2700 + 1000 * number, 3, 4, True)]
    with h5py.File(path, "w") as file:
        file["data/0"] = np.array(rows, [("t", "i8"), ("x", "i2"), ("y", "i2"), ("p", "?")])
        file["target/0"] = label


def test_a_cache_of_hdf5_gives_the_data_of_the_files_that_it_was_made_of(folder, tmp_path):
    for number in range(20):
        cache(tmp_path / f"cache/{number:05}_0.hdf5", label=number % 2, number=number)
    own, kept = load(folder()), load(tmp_path / "cache")
    assert kept.test.class_names == own.test.class_names == ("0", "1")
    # Files lie in another order, so the split is another one: together they hold the same.
    for data in (own, kept):
        parts = (data.train, data.validation, data.test)
        pairs = [(number, int(label)) for part in parts for number, label in zip(given(part), part.labels, strict=True)]
        assert sorted(pairs) == [(number, number % 2) for number in range(20)]


def test_a_cache_may_have_train_and_test(tmp_path):
    for part, first, count in (("train", 0, 10), ("test", 10, 4)):
        for number in range(count):
            cache(tmp_path / f"cache/{part}/{number}_0.hdf5", label=number % 2, number=first + number)
    splits = load(tmp_path / "cache")
    assert sorted(given(splits.test)) == [10, 11, 12, 13]
