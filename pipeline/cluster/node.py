"""The node's side of a cluster: tasks, and the examination of a node before the first task."""

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
"""Packages whose versions must equal those of the driver."""


@cache
def versions() -> dict[str, str]:
    """Return the versions that must be the same on all machines that share the work."""
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
    """Return the properties of a node, and its first problem, if any: what must hold, what was found, and what to do."""
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
    except Exception as error:  # noqa: BLE001 - any problem of a machine is reported in one line
        return found, ("reach the tracking store", one_line(error), "Name one by an address that all nodes know.")
    return found, None


def _unshared(file: Path, content: str) -> str:
    """Return why this node does not share the folder of a file that the driver wrote, or ""."""
    try:
        if not file.is_file() or file.read_text(encoding="utf-8") != content:
            return "another one or none"
        TemporaryFile(dir=file.parent).close()  # a node must also be able to write to the folder
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
        ray.get(mailbox.put.remote(pickle.dumps(message)))  # waits, so that the message arrives before the task ends

    with redirect_stdout(_Lines(tell)), _interrupted_once():
        result = attempt(work, task, tell)
    try:
        return pickle.dumps(result)
    except Exception as error:  # noqa: BLE001 - pickling an error may raise anything
        return pickle.dumps(RunError(one_line(result if isinstance(result, Exception) else error)))


def _prepare(environment: Mapping[str, str], folder: str) -> None:
    """Give this process the environment and the working folder of the driver, if this machine has that folder."""
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
    """A text stream that sends what is printed on a node to the driver, line by line."""

    def __init__(self, tell: Notify) -> None:
        self._tell, self._begun = tell, ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._tell(Line(line))
        return len(text)


class Mailbox:
    """An actor that keeps the messages of tasks until the driver asks for them."""

    def __init__(self) -> None:
        """Start without messages."""
        self._messages: list[bytes] = []

    def put(self, message: bytes) -> None:
        """Keep a message."""
        self._messages.append(message)

    def take(self) -> list[bytes]:
        """Return and forget the messages since the last call."""
        messages, self._messages = self._messages, []
        return messages


def share_tensors() -> None:
    """Serialise tensors to Ray's object store as arrays, which the workers of a node share in memory."""
    import torch  # noqa: PLC0415 - reads the environment

    ray.util.register_serializer(torch.Tensor, serializer=lambda tensor: tensor.numpy(), deserializer=_shared)


def _shared(array: Any) -> Any:  # noqa: ANN401 - torch is not imported here
    import torch  # noqa: PLC0415 - as above

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that the array is read-only, but data are never written to
        return torch.from_numpy(array)
