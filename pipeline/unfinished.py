"""The checkpoint of a cell that is being trained, where whoever takes the cell over finds it.

It lies in `CHECKPOINTS/CELL/` of the store's folder, with the one before it: a checkpoint that has changed since it was
written, or is of another cell, is not taken, and training goes on from the other one, or from the start.

Where others do not see that folder, a copy goes into the run as an artifact after each epoch that ends more than
`UPLOAD_SECONDS` after the last copy: in turn under one of two names, and named with its digest by a tag of the run when it
is there, so that a copy that was broken off is never taken. All go when the run is finished, or, where that was broken off,
as soon as somebody finds the run finished.
"""

import json
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from shutil import copyfile, rmtree
from tempfile import TemporaryDirectory
from typing import Any

from pipeline import checkpoint
from pipeline.config import digest_of_file
from pipeline.console import say
from pipeline.errors import AwayError, UsageError
from pipeline.tracking import SPOOL, Recorder, Run, Tracker

FILE = "last.pt"
EARLIER = "previous.pt"
"""The checkpoint before the last."""
UPLOAD_SECONDS = 60.0
"""How old the copy in the store may become before an epoch that ends is copied."""
COPIES = "unfinished"
"""Folder of artifacts for the copies."""
TAG = "checkpoint"
"""Tag of a run: name, SHA-256 and epoch of the copy that holds, as JSON; empty where there is none."""


class Unfinished:
    """The checkpoint of one cell, for the process that owns its run."""

    def __init__(self, cell: str, tracker: Tracker, run: Run, recorder: Recorder | None = None) -> None:
        """Look for what was left of the cell; `run` is as the store has it now. `recorder`, or else the tracker, gets copies."""
        self.folder = tracker.checkpoints / cell
        self.cell, self._tracker, self._run_id = cell, tracker, run.id
        self._copy = json.loads(run.tags.get(TAG) or "{}")
        self._copied = time.monotonic()
        self._recorder = recorder or tracker

    def load(self) -> dict[str, Any]:
        """Return the newest state that can be reached and is as it was written; an empty one where there is none.

        A line says what was not taken, and from where training goes on.
        """
        state, wrong = newest(self.folder, self.cell)
        moved = False
        if self._copy and self._copy["epoch"] > state.get("epoch", 0):
            copy: dict[str, Path] = {}
            with suppress(AwayError):  # training what it would have saved brings the same bits
                copy = self._tracker.fetch_all(self._run_id, [f"{COPIES}/{self._copy['name']}"])
            better, refused = _first(list(copy.values()), self.cell, self._copy["sha256"])
            state, wrong, moved = better or state, wrong + refused, bool(better)
        if state and (wrong or moved):
            checkpoint.save(self.folder / FILE, state)  # in place of what is not taken
        if wrong:
            start = f"epoch {state['epoch']}" if state else "the start"
            say(f"{' '.join(wrong)} Training goes on from {start}.")
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Keep the state after an epoch, and the one before it."""
        file = self.folder / FILE
        if file.is_file():
            file.replace(self.folder / EARLIER)
        checkpoint.save(file, {**state, "cell": self.cell})
        due = self._tracker.remote and time.monotonic() - self._copied > UPLOAD_SECONDS
        if due and self._recorder.takes_copies:
            self._upload(state["epoch"])

    def _upload(self, epoch: int) -> None:
        name = "b.pt" if self._copy.get("name") == "a.pt" else "a.pt"
        with TemporaryDirectory() as scratch:
            file = Path(scratch) / name
            copyfile(self.folder / FILE, file)
            self._recorder.log_file(self._run_id, file, COPIES)
            self._copy = {"name": name, "sha256": digest_of_file(file), "epoch": epoch}
        self._recorder.set_tags(self._run_id, {TAG: json.dumps(self._copy)})
        self._copied = time.monotonic()


def newest(folder: Path, cell: str) -> tuple[dict[str, Any], list[str]]:
    """Return the newest state of a cell in a folder that is as it was written, if any, and what is wrong with others."""
    return _first([file for name in (FILE, EARLIER) if (file := folder / name).is_file()], cell)


def _first(files: Sequence[Path], cell: str, digest: str = "") -> tuple[dict[str, Any], list[str]]:
    """Return the first state that holds, if any, and what is wrong with the files before it."""
    wrong: list[str] = []
    for file in files:
        try:
            if digest and digest_of_file(file) != digest:
                raise _refused(file, "got another than its tag says")
            return _read(file, cell), wrong
        except UsageError as error:
            wrong.append(str(error).removesuffix(checkpoint.REMEDY).rstrip())
    return {}, wrong


def _read(file: Path, cell: str) -> dict[str, Any]:
    state = checkpoint.load(file, older=False)
    if state.get("cell") != cell:
        raise _refused(file, f"got one of {state.get('cell', 'no cell')}")
    if not isinstance(state.get("epoch"), int):
        raise _refused(file, f"got one of epoch {state.get('epoch')!r}")
    return state


def _refused(file: Path, got: str) -> UsageError:
    return UsageError(f"{file}: must be a checkpoint of its cell, {got}. {checkpoint.REMEDY}")


def clear(finished: Iterable[Run], tracker: Tracker) -> None:
    """Remove what is left of the checkpoints of runs that are finished: one look at the folder, and none at the store."""
    there = {path.name for path in tracker.checkpoints.iterdir()} if tracker.checkpoints.is_dir() else set()
    for run in finished:
        if run.tags.get(TAG):
            tracker.delete_artifacts(run.id, COPIES)
            tracker.set_tags(run.id, {TAG: ""})
        # A spool is there whose run another process has finished meanwhile: `deliver` says so, and people decide.
        if run.tags.get("cell") in there and not (tracker.checkpoints / run.tags["cell"] / SPOOL).is_file():
            rmtree(tracker.checkpoints / run.tags["cell"], ignore_errors=True)  # another may do the same
