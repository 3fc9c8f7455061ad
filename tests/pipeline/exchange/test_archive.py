"""The ZIP file of an archive: the same bytes each time, and nothing that is read unseen."""

import struct
import warnings
import zipfile

import pytest

from pipeline.errors import UsageError
from pipeline.exchange import archive

MEMBERS = {"b/two.json": b"{}", "a.txt": b"one" * 100, "b/one.parquet": b"\x00\xff"}


def test_members_come_back_and_their_order_and_the_time_change_no_byte(tmp_path, monkeypatch):
    archive.write(tmp_path / "one.zip", MEMBERS)
    monkeypatch.setattr("time.time", lambda: 2e9)
    archive.write(tmp_path / "two.zip", dict(reversed(MEMBERS.items())))
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert archive.read(tmp_path / "one.zip") == MEMBERS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.zip", "two.zip"]


def test_an_archive_that_was_packed_anew_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "anew.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.mkdir("b")
        for name, content in MEMBERS.items():
            packed.writestr(name, content)
    assert archive.read(tmp_path / "anew.zip") == MEMBERS


@pytest.mark.parametrize(
    "name",
    [
        "../up.txt",
        "/etc/passwd",
        "a/../../b",
        "a//b",
        "C:/x",
        "a\\..\\b",
        ".hidden",
        "a/.ssh/key",
        "a\nb",
        "~/x",
        "a/./b",
    ],
)
def test_a_member_outside_of_the_archive_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "slip.zip", "w") as packed:
        packed.writestr(name, b"x")
    with pytest.raises(UsageError, match="must have members within itself, got "):
        archive.read(tmp_path / "slip.zip")


def test_a_member_that_is_there_twice_is_refused(tmp_path):
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "twice.zip", "w") as packed:
        warnings.simplefilter("ignore")
        packed.writestr("a", b"one")
        packed.writestr("a", b"two")
    with pytest.raises(UsageError, match="must have each member once, got a twice"):
        archive.read(tmp_path / "twice.zip")


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("LARGEST_MEMBER", "members of at most 100 bytes, got a.txt with 300"),
        ("MOST_BYTES", "hold at most 100 bytes, got 304"),
    ],
)
def test_what_would_be_too_large_is_refused_before_it_is_unpacked(tmp_path, monkeypatch, limit, said):
    with zipfile.ZipFile(tmp_path / "large.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in MEMBERS.items():
            packed.writestr(name, content)
    monkeypatch.setattr(archive, limit, 100)
    monkeypatch.setattr(zipfile.ZipFile, "read", None)
    with pytest.raises(UsageError, match=said):
        archive.read(tmp_path / "large.zip")


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    archive.write(tmp_path / "many.zip", MEMBERS)
    monkeypatch.setattr(archive, "MOST_MEMBERS", 2)
    with pytest.raises(UsageError, match="at most 2 members, got 3"):
        archive.read(tmp_path / "many.zip")


def test_a_size_that_is_a_lie_brings_no_more_bytes_than_it_says(tmp_path):
    with zipfile.ZipFile(tmp_path / "lie.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a", b"\x00" * 10_000)
    content = (tmp_path / "lie.zip").read_bytes()
    (tmp_path / "lie.zip").write_bytes(content.replace(struct.pack("<L", 10_000), struct.pack("<L", 10)))
    with pytest.raises(UsageError, match="must be a whole ZIP file, got one that is not"):
        archive.read(tmp_path / "lie.zip")


def cut(content):
    return content[: len(content) // 2]


def damage(content):
    place = content.index(b"oneone")
    return content[:place] + b"x" + content[place + 1 :]


def encrypted(content):
    """Set the flag of a password in the directory."""
    place = content.index(b"PK\x01\x02") + 8
    return content[:place] + b"\x01" + content[place + 1 :]


@pytest.mark.parametrize("change", [cut, damage, encrypted, lambda _: b"", lambda _: b"no archive"])
def test_a_file_that_is_no_whole_archive_is_one_line(tmp_path, change):
    archive.write(tmp_path / "one.zip", MEMBERS)
    (tmp_path / "bad.zip").write_bytes(change((tmp_path / "one.zip").read_bytes()))
    with pytest.raises(
        UsageError, match=r"bad.zip: must be (a whole ZIP file|readable), got .*\. Ask for another copy\.$"
    ):
        archive.read(tmp_path / "bad.zip")


def test_a_file_that_is_not_there_and_a_folder_that_is_not_there_are_one_line(tmp_path):
    with pytest.raises(UsageError, match="must be a readable file, got No such file"):
        archive.read(tmp_path / "nothere.zip")
    with pytest.raises(UsageError, match="must be in a folder that exists"):
        archive.write(tmp_path / "nothere" / "one.zip", MEMBERS)


def test_what_cannot_be_written_whole_leaves_the_file_as_it_was(tmp_path):
    archive.write(tmp_path / "one.zip", MEMBERS)
    before = (tmp_path / "one.zip").read_bytes()
    with pytest.raises(TypeError):
        archive.write(tmp_path / "one.zip", {**MEMBERS, "c": None})
    assert (tmp_path / "one.zip").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["one.zip"]
