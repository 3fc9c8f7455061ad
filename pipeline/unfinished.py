"""The checkpoint of a cell in training, kept where a process that takes over the cell finds it.

It lies in `CHECKPOINTS/CELL/` of the store's folder, together with the checkpoint before it. A checkpoint that has changed since
it was written, or that belongs to another cell, is not used: training then continues from the other one, or starts again.

If other processes may be unable to see that folder, a copy is stored as an artifact of the run after each epoch that ends more
than `UPLOAD_SECONDS` after the last copy. Two names are used in turn. A tag of the run names the latest complete copy and its
digest, so an incomplete copy is never used. All checkpoints are removed when the run is finished, or, if that was interrupted, by
the next process that finds the run finished.
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
"""Least seconds between two copies to the store."""
COPIES = "unfinished"
"""Folder of artifacts for the copies."""
TAG = "checkpoint"
"""Tag of a run: name, SHA-256 and epoch of the latest complete copy, as JSON; empty if there is none."""


class Unfinished:
    """The checkpoint of one cell, for the process that owns its run."""

    def __init__(self, cell: str, tracker: Tracker, run: Run, recorder: Recorder | None = None) -> None:
        """Use the folder of `cell`; `run` is the current state of its run. Copies go to `recorder`, by default the tracker."""
        self.folder = tracker.checkpoints / cell
        self.cell, self._tracker, self._run_id = cell, tracker, run.id
        self._copy = json.loads(run.tags.get(TAG) or "{}")
        self._copied = time.monotonic()
        self._recorder = recorder or tracker

    def load(self) -> dict[str, Any]:
        """Return the newest intact state, from the folder or from the copy in the store; empty if there is none.

        If a checkpoint is damaged, a line is printed that says so, and from which epoch training continues.
        """
        state, wrong = newest(self.folder, self.cell)
        moved = False
        if self._copy and self._copy["epoch"] > state.get("epoch", 0):
            copy: dict[str, Path] = {}
            with suppress(AwayError):  # training the lost epochs again gives the same bits
                copy = self._tracker.fetch_all(self._run_id, [f"{COPIES}/{self._copy['name']}"])
            better, refused = _first(list(copy.values()), self.cell, self._copy["sha256"])
            state, wrong, moved = better or state, wrong + refused, bool(better)
        if state and (wrong or moved):
            checkpoint.save(self.folder / FILE, state)  # replaces a damaged or missing file
        if wrong:
            start = f"epoch {state['epoch']}" if state else "the start"
            say(f"{' '.join(wrong)} Training goes on from {start}.")
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Save the state after an epoch, and keep the previous state; copy it to the store if a copy is due."""
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
    """Return the newest intact state of a cell in a folder, empty if there is none, and the problems of the files before it."""
    return _first([file for name in (FILE, EARLIER) if (file := folder / name).is_file()], cell)


def _first(files: Sequence[Path], cell: str, digest: str = "") -> tuple[dict[str, Any], list[str]]:
    """Return the first intact state, empty if there is none, and the problems of the files before it."""
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
    """Remove the checkpoints of finished runs; the folder is listed once, and the store is only asked for runs with copies."""
    there = {path.name for path in tracker.checkpoints.iterdir()} if tracker.checkpoints.is_dir() else set()
    for run in finished:
        if run.tags.get(TAG):
            tracker.delete_artifacts(run.id, COPIES)
            tracker.set_tags(run.id, {TAG: ""})
        # A spool that is still there belongs to a run that another process finished: `deliver` reports it, and the user decides.
        if run.tags.get("cell") in there and not (tracker.checkpoints / run.tags["cell"] / SPOOL).is_file():
            rmtree(tracker.checkpoints / run.tags["cell"], ignore_errors=True)  # another may do the same
