"""Delivery of spools to the store: by a thread while they are written, or later, by any process that finds them."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from math import inf
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config import digest_of_file
from pipeline.errors import AwayError, RunError, UsageError
from pipeline.tracking import link
from pipeline.tracking.base import Tracker, ending
from pipeline.tracking.ownership import BusyError, Check
from pipeline.tracking.run import SEALED, Row, Run
from pipeline.tracking.spool import FILE, MARK, Entry, Spool, alone

HURRY_SECONDS = 5.0
"""How long an interrupted process continues sending."""
DELIVER = "`python -m pipeline deliver`"


class UnsentError(RunError):
    """A cell was trained completely, but its records are not in the store yet."""


class OvertakenError(UsageError):
    """Another process finished the cell, and its run is the one that counts."""


@contextmanager
def spooled(folder: Path, tracker: Tracker, run: Run, check: Check, head: Mapping[str, Any]) -> Iterator[Spool]:
    """Work on a run through a spool in `folder`, which a thread sends at the same time.

    At the end everything is in the store, or UnsentError is raised. A run without an id could not be looked up, because the store
    is unreachable: it is looked up, or created, at the end, from `head`: its cell, its tags, its parent, the run that it adopts.
    An error that the spool's `check` raises ends the work.
    """
    lease = tracker.ownership.tags().get("lease", "")
    spool = Spool.begin(folder, run=run.id, name=run.name, lease=lease, **head)
    owner = {tag: value for tag, value in tracker.ownership.tags().items() if tag in ("ownership", "owner")}
    delivery = _Delivery(spool, tracker, run.id, check) if run.id else None
    try:
        with ending(spool, run, spool.check, {**owner, MARK: spool.head["token"]}):
            yield spool
    except BaseException as error:
        hurries = not isinstance(error, Exception)
        with suppress(Exception):  # the error that ended the work is the one to report
            if delivery and delivery.finish(*((0.0, HURRY_SECONDS) if hurries else (link.PATIENCE_SECONDS, inf))):
                spool.discard()
        raise
    try:
        if delivery is None:
            spool.run_id = deliver(spool, tracker).id
            return
        if not delivery.finish(link.PATIENCE_SECONDS, inf):
            raise AwayError("nothing came through")  # noqa: TRY301 - one way out for both
    except (AwayError, BusyError, OvertakenError) as error:
        why = f"{tracker.uri} does not answer" if isinstance(error, AwayError) else str(error).rstrip(".")
        raise UnsentError(
            f"{run.name}: must be in the store at its end, got it trained and not sent: {why}. It waits in {spool.file}; "
            f"{DELIVER} sends it."
        ) from None
    spool.discard()
    spool.run_id = run.id


class _Delivery:
    """A thread that sends a spool to its owned run while the spool is written."""

    def __init__(self, spool: Spool, tracker: Tracker, run_id: str, check: Check) -> None:
        self._spool, self._tracker, self._run_id, self._check = spool, tracker, run_id, check
        self._stuck: float | None = None
        self._ends = False
        self._abandoned = threading.Event()
        threading.Thread(target=self._work, name=f"delivery of {spool.file}", daemon=True).start()

    def finish(self, patience: float, limit: float) -> bool:
        """Send the rest, and return whether everything was sent.

        Sending stops when nothing has come through for `patience` seconds, or after `limit` seconds in all.
        """
        spool, began = self._spool, time.monotonic()

        def over() -> bool:
            now = time.monotonic()
            stuck = self._stuck is not None and now - self._stuck >= patience
            return spool.idle or spool.problem is not None or stuck or now - began >= limit

        with spool.news:
            self._ends = True
            spool.news.notify_all()
            while not over():
                spool.news.wait(0.2)
            self._abandoned.set()
            spool.news.notify_all()
        spool.check()
        return spool.idle

    def _work(self) -> None:
        spool = self._spool
        while not self._abandoned.is_set():
            with spool.news:
                spool.news.wait_for(lambda: not spool.idle or self._ends)
                entries = spool.entries[spool.sent :]
            if not entries:
                return
            began = time.monotonic()
            try:
                self._check()
                for count in send(spool, entries, self._tracker, self._run_id):
                    with spool.news:
                        spool.sent += count
                        self._stuck = None
                        spool.news.notify_all()
                    if self._abandoned.is_set():
                        return
                    began = time.monotonic()
            except AwayError:
                with spool.news:
                    self._stuck = began if self._stuck is None else self._stuck
                    spool.news.wait_for(self._abandoned.is_set, link.RETRY_SECONDS)
            except Exception as error:  # noqa: BLE001 - raised by `Spool.check`, where the run is worked on
                spool.problem = error
                return


def send(spool: Spool, entries: Sequence[Entry], tracker: Tracker, run_id: str) -> Iterator[int]:
    """Send entries to a run in few calls, and yield the size of each group of entries once it is sent.

    Sending an entry again changes nothing: a file that is gone was sent before, and only rows that the run lacks are sent.
    """
    for kind, group in groupby(entries, _kind):
        items = list(group)
        _SENDERS[kind](spool, items, tracker, run_id)
        spool.forget(items)
        yield len(items)


def _send_status(_spool: Spool, entries: Sequence[Entry], tracker: Tracker, run_id: str) -> None:
    tracker.set_status(run_id, entries[-1]["status"])


def _send_tags(_spool: Spool, entries: Sequence[Entry], tracker: Tracker, run_id: str) -> None:
    tracker.set_tags(run_id, {tag: value for entry in entries for tag, value in entry["tags"].items()})


def _send_params(_spool: Spool, entries: Sequence[Entry], tracker: Tracker, run_id: str) -> None:
    for entry in entries:
        tracker.log_params(run_id, entry["params"])


def _send_rows(_spool: Spool, entries: Sequence[Entry], tracker: Tracker, run_id: str) -> None:
    logged = tracker.get(run_id).epochs
    rows = [Row(entry["step"], entry["milliseconds"], entry["metrics"]) for entry in entries if entry["step"] > logged]
    if rows:
        tracker.log_rows(run_id, rows)


def _send_scalars(_spool: Spool, entries: Sequence[Entry], tracker: Tracker, run_id: str) -> None:
    for entry in entries:
        tracker.log_scalars(run_id, entry["metrics"], entry["step"])


def _send_dataset(_spool: Spool, entries: Sequence[Entry], tracker: Tracker, run_id: str) -> None:
    for entry in entries:
        tracker.log_dataset(run_id, name=entry["name"], digest=entry["digest"], profile=entry["profile"])


def _send_files(spool: Spool, entries: Sequence[Entry], tracker: Tracker, run_id: str) -> None:
    files = [(spool.place(entry, entry["name"]), entry["into"]) for entry in entries if entry["verb"] == "log_file"]
    tracker.log_files(run_id, [(file, folder) for file, folder in files if file.is_file()])
    if tables := [entry["path"] for entry in entries if entry["verb"] == "show_table"]:
        tracker.show_tables(run_id, tables)


def _send_model(spool: Spool, entries: Sequence[Entry], tracker: Tracker, run_id: str) -> None:
    for entry in entries:
        weights, config = (spool.place(entry, entry[what]) for what in ("weights", "config"))
        if weights.is_file():
            named = {
                "name": entry.get("name", "model"),
                "card": entry.get("card", ""),
            }  # earlier versions wrote neither
            example = pd.DataFrame(entry["example"])
            tracker.log_model(run_id, **named, weights=weights, config=config, example=example)


def _kind(entry: Entry) -> str:
    return "log_file" if entry["verb"] == "show_table" else str(entry["verb"])


_SENDERS: dict[str, Callable[[Spool, Sequence[Entry], Tracker, str], None]] = {
    "begin": lambda *_: None,
    "taken": lambda *_: None,
    "set_status": _send_status,
    "set_tags": _send_tags,
    "log_params": _send_params,
    "log_metrics": _send_rows,
    "log_scalars": _send_scalars,
    "log_dataset": _send_dataset,
    "log_file": _send_files,
    "log_model": _send_model,
}


# -------------------------------------------------------------------------------------------------------- what was left


@dataclass(frozen=True)
class Delivered:
    """The outcome for one spool that was found."""

    name: str
    run: Run | None
    """The run that the spool was sent to; None if the spool was kept."""
    said: str
    """What was sent, or why the spool was kept."""


def deliver(spool: Spool, tracker: Tracker) -> Run:
    """Send a spool whose process no longer sends it, remove it, and return its run, which is owned during that.

    UsageError where files are gone that were not sent, OvertakenError where another process has finished the cell, BusyError where
    one works on it.
    """
    head = spool.head
    runs = {run.id: run for run in tracker.find(cell=head["cell"])}
    for run in runs.values():
        if run.status == "FINISHED" and run.tags.get(MARK) != head["token"]:
            raise _overtaken(spool, run)
    if head["run"] and head["run"] not in runs:
        raise UsageError(
            f"{spool.file}: must be of a run in {tracker.uri}, got {head['run']}, which is not there. Name its store, or "
            "delete the file: the same command records the run anew, from the checkpoint beside it."
        )
    owned = {"cell": head["cell"]}
    known = head["run"] or (list(runs)[-1] if runs else "")
    if not known or runs[known].status != "FINISHED":
        _check_files(spool, tracker, known)
    run_id = known or tracker.sole(
        head["name"], owned, tags=head["tags"], parent=head["parent"], adopted=head["adopted"]
    )
    tracker.ownership.inherit(spool.leases)
    spool.taken(tracker.ownership.tags().get("lease", ""))
    with tracker.own(run_id) as check:
        run = tracker.get(run_id)
        if run.status == "FINISHED" and run.tags.get(MARK) != head["token"]:
            raise _overtaken(spool, run)
        if run.status != "FINISHED":
            for _ in send(spool, spool.entries, tracker, run_id):
                check()
            run = tracker.get(run_id)
    spool.discard()
    return run


def _check_files(spool: Spool, tracker: Tracker, run_id: str) -> None:
    """Refuse a spool that says of files what neither it nor the run holds, as after a power failure."""
    tags = {tag: value for entry in spool.entries for tag, value in entry.get("tags", {}).items()}
    sealed = {tag.removeprefix(SEALED): digest for tag, digest in tags.items() if tag.startswith(SEALED)}
    noted = [entry for entry in spool.entries if entry["verb"] == "log_file"]
    files = {f"{entry['into']}/{entry['name']}".removeprefix("/"): spool.place(entry, entry["name"]) for entry in noted}
    files = {path: file for path, file in files.items() if file.is_file()}
    if run_id and (sent := sealed.keys() - files.keys()):
        files |= tracker.fetch_all(run_id, sent)
    for path, digest in sealed.items():
        if path not in files or digest_of_file(files[path]) != digest:
            raise UsageError(
                f"{spool.file}: must be there with the files of its run, got {'another' if path in files else 'no'} {path}. "
                "The command that trained it records the run anew, from the checkpoint beside that file."
            )


def _overtaken(spool: Spool, run: Run) -> OvertakenError:
    return OvertakenError(
        f"{run.name}: must not be finished elsewhere, got run {run.id}, finished meanwhile by "
        f"{run.tags.get('owner', 'another process')}. {spool.file} is kept and not sent; delete it."
    )


def deliver_all(tracker: Tracker) -> Iterator[Delivered]:
    """Send the spools below the folder of checkpoints that no process works on, and yield the outcome of each."""
    for file in sorted(tracker.checkpoints.glob(f"*/{FILE}")):
        with suppress(_InUse, FileNotFoundError):  # another process uses it, or has removed it since the search
            if delivered := _deliver_left(file.parent, tracker):
                yield delivered


class _InUse(Exception):  # noqa: N818 - not an error
    pass


def _deliver_left(folder: Path, tracker: Tracker) -> Delivered | None:
    def in_use() -> None:
        raise _InUse

    with alone(tracker.checkpoints, folder.name, 0, in_use):
        spool = Spool.left(folder)
        if not spool.entries:  # its process ended before it wrote a line
            spool.discard()
            return None
        name, what = spool.head["name"], _described(spool.entries)
        try:
            run = deliver(spool, tracker)
        except AwayError:
            raise
        except (UsageError, RunError) as error:
            if isinstance(error, OvertakenError) and not spool.complete:
                spool.discard()  # part of a run is worth nothing once another process has finished the cell
                return None
            return Delivered(name, None, str(error))
    return Delivered(name, run, what)


def _described(entries: Sequence[Mapping[str, Any]]) -> str:
    count = {verb: sum(entry["verb"] == verb for entry in entries) for verb in ("log_metrics", "log_file")}
    ends = [entry["status"] for entry in entries if entry["verb"] == "set_status"]
    return f"{count['log_metrics']} epochs, {count['log_file']} files, {ends[-1] if ends else 'no status'}"
