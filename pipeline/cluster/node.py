"""What runs on the nodes of a cluster: tasks, and the examination of a node before the first of them."""

import hashlib
import os
import pickle
import platform
import signal
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from io import TextIOBase
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import ray

from pipeline.code import PACKAGES
from pipeline.errors import RunError, one_line
from pipeline.interrupts import interrupt_once, keep_interrupts
from pipeline.launch import Notify, attempt
from pipeline.place import ROOT

COMPARED = ("ray", "torch", "numpy", "numba", "scipy", "pykan", "mlflow")
"""Packages whose versions must be those of the driver."""


@cache
def versions() -> dict[str, str]:
    """Return what must be the same on all machines that share the work."""
    code = hashlib.sha256()
    for file in sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py")):
        code.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    found = {"Python": platform.python_version(), "code of the project": code.hexdigest()[:12]}
    for package in COMPARED:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def examine(
    environment: Mapping[str, str], folder: str, asked: bytes
) -> tuple[dict[str, str], tuple[str, str, str] | None]:
    """Return what a node has, and what is wrong with it: what must hold, what was got, what to do."""
    _prepare(environment, folder)
    found = versions()
    try:
        connection, marks, facts = pickle.loads(asked)  # noqa: S301 - of our own driver
        found = {**found, **facts()}
        for file, content in marks.items():
            if trouble := _unshared(file, content):
                return found, (
                    f"read and write the folder {file.parent} of the driver's machine", trouble,
                    "Use a tracking server or PostgreSQL (MLFLOW_TRACKING_URI, --storage), or put the folder on a shared disk.",
                )  # fmt: skip
        connection.tracker.find(cell="none")
    except Exception as error:  # noqa: BLE001 - whatever a machine lacks, in one line
        return found, ("reach the tracking store", one_line(error), "Name one by an address that all nodes know.")
    return found, None


def _unshared(file: Path, content: str) -> str:
    """Return why the folder of a file that the driver wrote is not shared with it, or nothing."""
    try:
        if not file.is_file() or file.read_text(encoding="utf-8") != content:
            return "another one or none"
        TemporaryFile(dir=file.parent).close()  # whoever trains there writes files, too
    except OSError as error:
        return one_line(error)
    return ""


def do(environment: Mapping[str, str], folder: str, payload: bytes, data: Sequence[Any], mailbox: Any) -> bytes:  # noqa: ANN401 - Ray's
    """Do a task, and return its result or the error that ended it."""
    _prepare(environment, folder)
    work, task, configs = pickle.loads(payload)  # noqa: S301 - of our own driver
    if configs:
        from pipeline.data.base import hand_over  # noqa: PLC0415 - imports torch, which reads the environment

        for config, ref in zip(configs, data, strict=True):
            hand_over(config, partial(_fetched, ref))

    def tell(message: object) -> None:
        ray.get(mailbox.put.remote(pickle.dumps(message)))  # at once, so that it is there before the task has ended

    with redirect_stdout(_Lines(tell)), _interrupted_once():
        result = attempt(work, task, tell)
    try:
        return pickle.dumps(result)
    except Exception as error:  # noqa: BLE001 - an error may hold anything
        return pickle.dumps(RunError(one_line(result if isinstance(result, Exception) else error)))


def _prepare(environment: Mapping[str, str], folder: str) -> None:
    """Make this process like a worker of the driver's machine. The folder may be one that this machine lacks."""
    os.environ.update(environment)
    with suppress(OSError):
        os.chdir(folder)


@contextmanager
def _interrupted_once() -> Iterator[None]:
    """Take the first of the interrupts that the driver sends, and then set the handlers back: Ray gives this process other tasks."""
    with ExitStack() as after:
        for kind in (signal.SIGTERM, signal.SIGINT):
            after.callback(signal.signal, kind, signal.getsignal(kind))
        signal.signal(signal.SIGINT, interrupt_once)
        with keep_interrupts(interrupt_once):
            yield


@cache
def _fetched(ref: Any) -> Any:  # noqa: ANN401 - Ray's
    return ray.get(ref)


@dataclass(frozen=True)
class Line:
    """A line that was printed on a node."""

    text: str


class _Lines(TextIOBase):
    """What is printed on a node, which goes to the driver line by line."""

    def __init__(self, tell: Notify) -> None:
        self._tell, self._begun = tell, ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._tell(Line(line))
        return len(text)


class Mailbox:
    """Keeps what tasks say until the driver asks for it; it is an actor."""

    def __init__(self) -> None:
        """Begin without a message."""
        self._messages: list[bytes] = []

    def put(self, message: bytes) -> None:
        """Keep a message."""
        self._messages.append(message)

    def take(self) -> list[bytes]:
        """Return the messages since the last time."""
        messages, self._messages = self._messages, []
        return messages


def share_tensors() -> None:
    """Let tensors go to Ray's store as arrays, which the workers of a node then share in memory."""
    import torch  # noqa: PLC0415 - reads the environment

    ray.util.register_serializer(torch.Tensor, serializer=lambda tensor: tensor.numpy(), deserializer=_shared)


def _shared(array: Any) -> Any:  # noqa: ANN401 - torch is not imported here
    import torch  # noqa: PLC0415 - as above

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it cannot be written to, and nobody writes to data
        return torch.from_numpy(array)
