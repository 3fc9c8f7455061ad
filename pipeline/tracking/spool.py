"""The spool of a cell: a file with everything that its run records, in order, until the store is known to have it.

`CHECKPOINTS/CELL/spool.jsonl` has one line for each entry; the files of entries lie in `spool/` beside it until they are sent.
"""

import errno
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from shutil import copyfile, rmtree
from typing import Any, Self
from uuid import uuid4

import pandas as pd

from pipeline.errors import UsageError, writing
from pipeline.tracking.base import Recorder
from pipeline.tracking.ownership import ByLocks, Check, FileLocks, Waits
from pipeline.tracking.run import Status

FILE = "spool.jsonl"
FILES = "spool"
MARK = "spool"
"""The tag of a run that holds the token of the spool that it was recorded from."""

Entry = dict[str, Any]
"""One recorded call: its `verb`, and its arguments."""


class Spool(Recorder):
    """What one process records of one run. The run's id may not be known yet: the `run_id` of every call is ignored."""

    def __init__(self, folder: Path) -> None:
        """Write to `folder`, the folder of the cell's checkpoint."""
        self.file = folder / FILE
        self._files = folder / FILES
        self.news = threading.Condition()
        """Notified when an entry was added or sent."""
        self.entries: list[Entry] = []
        self.sent = 0
        """How many of the entries are known to be in the store."""
        self.problem: Exception | None = None
        """The error because of which the rest can never be sent."""
        self.run_id = ""
        """The run that the spool was sent to; empty until everything is sent."""

    @classmethod
    def begin(cls, folder: Path, **head: object) -> Self:
        """Begin a spool whose `head` identifies its run.

        A spool that was left in the folder is removed: the checkpoint has its content.
        """
        spool = cls(folder)
        spool.discard()
        folder.mkdir(parents=True, exist_ok=True)
        spool._append("begin", token=uuid4().hex, **head)
        return spool

    @classmethod
    def left(cls, folder: Path) -> Self:
        """Return the spool that a process left in a folder; an incomplete last line counts as not written.

        UsageError if the file is no spool.
        """
        spool = cls(folder)
        lines = spool.file.read_text(encoding="utf-8").split("\n")
        try:
            spool.entries = [json.loads(line) for line in lines[:-1]]
            assert all(entry["verb"] == "begin" for entry in spool.entries[:1])  # noqa: S101 - as below
        except (ValueError, LookupError, TypeError, AssertionError):
            raise UsageError(
                f"{spool.file}: must be a spool as it was written, got something else. "
                "Delete it: the same command records its run anew, from the checkpoint beside it."
            ) from None
        return spool

    @property
    def head(self) -> Entry:
        """The identity of the run: token, name, cell, tags, parent; and, if known, its id and the lease that owned it."""
        return self.entries[0]

    @property
    def complete(self) -> bool:
        """Whether the run has come to its end."""
        return any(entry.get("status") == "FINISHED" for entry in self.entries)

    @property
    def leases(self) -> list[str]:
        """The leases of the processes that worked on the run or began to send the spool."""
        return [entry["lease"] for entry in self.entries if "lease" in entry]

    def taken(self, lease: str) -> None:
        """Note the lease of a process that sends the spool: if that process dies, the next one need not wait for the lease."""
        self._append("taken", lease=lease)

    @property
    def idle(self) -> bool:
        """Whether everything is sent."""
        return self.sent == len(self.entries)

    @property
    def takes_copies(self) -> bool:
        """Whether no file waits to be sent: copies must not pile up while a server is unreachable."""
        with self.news:
            return not any("folder" in entry for entry in self.entries[self.sent :])

    def check(self) -> None:
        """Raise the error that keeps the spool from ever being sent: the run was lost, say, or the store refuses an entry."""
        if self.problem:
            raise self.problem

    def discard(self) -> None:
        """Remove the spool and its files."""
        self.file.unlink(missing_ok=True)
        rmtree(self._files, ignore_errors=True)

    def place(self, entry: Entry, name: str) -> Path:
        """Return where a file of an entry lies."""
        return self._files / str(entry["folder"]) / name

    def forget(self, entries: Sequence[Entry]) -> None:
        """Remove the files of entries that are sent."""
        for entry in entries:
            if "folder" in entry:
                rmtree(self._files / str(entry["folder"]), ignore_errors=True)

    def _append(self, verb: str, **told: object) -> None:
        entry = {"verb": verb, **told}
        line = f"{json.dumps(entry, default=float)}\n".encode()
        with self.news:
            with writing(self.file), self.file.open("ab", buffering=0) as file:
                begin, left = file.tell(), memoryview(line)
                try:
                    while left:
                        left = left[file.write(left) :]
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(begin)  # otherwise the next entry would continue this line
                    raise
            self.entries.append(entry)
            self.news.notify_all()

    @contextmanager
    def _filling(self) -> Iterator[Path]:
        """Give the folder of the next entry, to be filled within: the disk has its files before the line that names them."""
        folder = self._files / str(len(self.entries))
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            yield folder
            for path in (*folder.iterdir(), folder, self._files, self.file.parent):
                _flush(path)

    def set_status(self, run_id: str, status: Status) -> None:
        """Note the status."""
        del run_id
        self._append("set_status", status=status)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Note the tags."""
        del run_id
        self._append("set_tags", tags=dict(tags))

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Note the params."""
        del run_id
        self._append("log_params", params=dict(params))

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        """Note a row with the current time."""
        del run_id
        self._append("log_metrics", step=step, milliseconds=int(time.time() * 1000), metrics=dict(metrics))

    def log_scalars(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        """Note metrics that have one value each."""
        del run_id
        self._append("log_scalars", step=step, metrics=dict(metrics))

    def log_dataset(self, run_id: str, *, name: str, digest: str, profile: Mapping[str, Any]) -> None:
        """Note the data set."""
        del run_id
        self._append("log_dataset", name=name, digest=digest, profile=dict(profile))

    def log_text(self, run_id: str, path: str, text: str) -> None:
        """Keep text as a file."""
        del run_id
        name = Path(path).name
        with self._filling() as folder:
            (folder / name).write_text(text, encoding="utf-8")
        self._append("log_file", name=name, into=path.rpartition("/")[0], folder=folder.name)

    def log_file(self, run_id: str, file: Path, folder: str = "") -> None:
        """Keep a copy of the file."""
        del run_id
        with self._filling() as kept:
            copyfile(file, kept / file.name)
        self._append("log_file", name=file.name, into=folder, folder=kept.name)

    def log_table(self, run_id: str, path: str, table: pd.DataFrame) -> None:
        """Keep a table as a file, and note that the file is a table."""
        self.log_text(run_id, path, self.table_text(table))
        self._append("show_table", path=path)

    def log_model(
        self, run_id: str, *, name: str, card: str, weights: Path, config: Path, example: pd.DataFrame
    ) -> None:
        """Keep copies of the files that the model is made of."""
        del run_id
        with self._filling() as kept:
            for file in (weights, config):
                copyfile(file, kept / file.name)
        self._append(
            "log_model", name=name, card=card, weights=weights.name, config=config.name, folder=kept.name,
            example={str(name): column.tolist() for name, column in example.items()},
        )  # fmt: skip


def _flush(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder where its file system can say that."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(opened)


def alone(checkpoints: Path, cell: str, patience: float, waits: Waits) -> AbstractContextManager[Check]:
    """Lock the spool of a cell against other processes of this machine while the context is open.

    BusyError if another process holds it for longer than `patience` seconds.
    """
    return ByLocks("files", FileLocks(checkpoints / "locks")).own(cell, patience, waits)
