"""Evidence: the files from which numbers are computed, stored with digests that are checked before each reading.

The SHA-256 of a file is a tag of its run, such as `sha256/predictions.parquet`: the file lies with the artifacts, its digest in
the database, so a file of another run or a changed file is detected. Runs of older code have no such tags; their files are
accepted as they are, and readers report that.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from math import isclose
from pathlib import Path

import pandas as pd

from pipeline.config import digest_of_file
from pipeline.errors import UNREACHED, UsageError, one_line
from pipeline.tracking import SEALED, Recorder, Run, Tracker

MANIFEST_FILE = "study.json"
"""Artifact of the parent run of a study: which run holds each of its cells."""
PLAN_FILE = "plan.json"
"""Artifact of the parent run: the declaration from before the first training."""
LEDGER_FILE = "looks.json"
"""Artifact of the parent run of a study with looks: the results and decisions of each look, as a table of the tracking UI."""
ADVICE_FILE = "advice.json"
"""Artifact of the parent run: the encoding doctor's advice from before the first training, as a table of the tracking UI."""
OUTPUTS_FILE = "digests.json"
"""Artifact of the parent run: the digests of all files that analyses stored with it, by path."""
LEFT_OUT = "left_out"
"""Tag of a run that was imported without its weights: the path of that file. The run has a digest of it nevertheless."""
SAME = 1e-9
"""Largest absolute difference between two values of the same score that were summed in different orders."""
PROBE_FOLDER = "probes/"
"""Folder of artifacts with measurements on a trained model, which can be repeated."""


class Evidence:
    """Stores files of a run, and sets their digests as tags of the run once all files are stored."""

    def __init__(self, recorder: Recorder, run_id: str) -> None:
        """Store files with the run `run_id`."""
        self.recorder, self.run_id = recorder, run_id
        self._digests: dict[str, str] = {}

    def log_text(self, path: str, text: str) -> None:
        """Store text as the artifact `path`."""
        self.recorder.log_text(self.run_id, path, text)
        self._digests[SEALED + path] = digest_of_text(text)

    def log_file(self, file: Path, folder: str = "") -> None:
        """Store a file as an artifact of the same name."""
        self.recorder.log_file(self.run_id, file, folder)
        self._digests[SEALED + (f"{folder}/{file.name}" if folder else file.name)] = digest_of_file(file)

    def log_table(self, path: str, table: pd.DataFrame) -> None:
        """Store a table as the JSON artifact `path` that the tracking UI shows as a table."""
        self.recorder.log_table(self.run_id, path, table)
        self._digests[SEALED + path] = digest_of_text(self.recorder.table_text(table))

    def seal(self) -> None:
        """Set the digests of the stored files as tags of the run."""
        if self._digests:
            self.recorder.set_tags(self.run_id, self._digests)


def replace_text(run_id: str, path: str, text: str, tracker: Tracker) -> None:
    """Store text as the artifact `path` in place of an earlier one.

    The tag holds both digests until the new file is stored: if the process is killed in between, either file fits the tag.
    """
    tag, digest = SEALED + path, digest_of_text(text)
    before = tracker.get(run_id).tags.get(tag, "")
    tracker.set_tags(run_id, {tag: f"{digest} {before}".strip()})
    tracker.log_text(run_id, path, text)
    tracker.set_tags(run_id, {tag: digest})


def read(run: Run, paths: Collection[str], tracker: Tracker) -> dict[str, Path]:
    """Return local files with these artifacts of a run; UsageError if one is missing or has changed."""
    files = found(run, paths, tracker)
    for path in paths:
        if path not in files:
            raise _missing(run, path, tracker)
    return files


def found(run: Run, paths: Collection[str], tracker: Tracker) -> dict[str, Path]:
    """Return local files with the artifacts that the run has.

    UsageError if one has changed, or is missing although the run has its digest.
    """
    files = tracker.fetch_all(run.id, paths)
    for path in paths:
        if SEALED + path in run.tags and path not in files and not left_out(run, path):
            raise _missing(run, path, tracker)
        if path in files:
            check(run, path, files[path], tracker)
    return files


def left_out(run: Run, path: str) -> bool:
    """Return whether a run was imported without this file."""
    return run.tags.get(LEFT_OUT) == path


def check(run: Run, path: str, file: Path, tracker: Tracker) -> None:
    """Raise UsageError if a file is not the stored artifact `path`; a file without a digest is accepted."""
    stored = run.tags.get(SEALED + path, "").split()
    if stored and (digest := digest_of_file(file)) not in stored:
        said = f"must be as it was stored (SHA-256 {stored[0][:12]}), got another file ({digest[:12]})"
        raise unfit(run, path, said, tracker)


@contextmanager
def reading(run: Run, path: str, tracker: Tracker) -> Iterator[None]:
    """Turn an error while an artifact is read into a UsageError that names it: files of older code have no digest to check."""
    try:
        yield
    except UsageError:
        raise
    except (ValueError, TypeError, LookupError, OSError) as error:
        raise unfit(run, path, f"must be readable, got {one_line(error).rstrip('.')}", tracker) from error


def check_scalars(run: Run, path: str, numbers: Mapping[str, float], tracker: Tracker) -> None:
    """Raise UsageError if the numbers computed from an artifact differ from the logged ones."""
    for name, number in numbers.items():
        if not isclose(number, run.metrics.get(name, number), rel_tol=0, abs_tol=SAME):
            said = f"must give the {name} that was logged, {run.metrics[name]:.10g}, got {number:.10g}"
            raise unfit(run, path, said, tracker)


def unfit(run: Run, path: str, said: str, tracker: Tracker) -> UsageError:
    """Return the error for an artifact, with the way to repair it."""
    delete = f"`MLFLOW_TRACKING_URI={tracker.uri} .venv/bin/mlflow runs delete --run-id {run.id}`"
    if path == MANIFEST_FILE:
        mend = "Run the same compare (or ablate) again, which writes it anew."
    elif path == OUTPUTS_FILE:
        mend = "Run analyze (or ablate) again, which writes it anew."
    elif path in (PLAN_FILE, LEDGER_FILE, ADVICE_FILE):
        mend = f"Restore the file; or {delete} and the same compare declare it anew, and the report says that runs were there before."
    elif path.startswith(PROBE_FOLDER):
        mend = "Delete the file: analyze measures it again."
    else:
        mend = f"Restore the file; or {delete} and the same compare (or train) again train the run anew."
    return UsageError(f"run {run.name} ({run.id}): {path} {said}. {mend}")


def _missing(run: Run, path: str, tracker: Tracker) -> UsageError:
    if left_out(run, path):
        return UsageError(
            f"run {run.name} ({run.id}): {path} must be there, got a run that was imported without it. Import an archive that was "
            "exported with --weights."
        )
    said = f"must be there, got none in {tracker.artifacts(run.id)}. If that folder was moved, move it back"
    return unfit(run, path, said, tracker)


def add_outputs(run_id: str, files: Mapping[str, Path], tracker: Tracker) -> None:
    """Add the digests of files that were stored with a run, by path, to the digests of earlier files."""
    digests = {path: digest_of_file(file) for path, file in files.items()}
    try:
        earlier = outputs(tracker.get(run_id), tracker)
    except UNREACHED:
        raise
    except UsageError:  # it has changed: what it says of earlier files is worth nothing
        earlier = {}
    replace_text(run_id, OUTPUTS_FILE, json.dumps({**earlier, **digests}, indent=2), tracker)


def outputs(run: Run, tracker: Tracker) -> dict[str, str]:
    """Return the digests of the files that analyses stored with a run, by path; empty if there are none."""
    files = found(run, [OUTPUTS_FILE], tracker)
    with reading(run, OUTPUTS_FILE, tracker):
        return dict(json.loads(files[OUTPUTS_FILE].read_text(encoding="utf-8"))) if files else {}


def digest_of_text(text: str) -> str:
    """Return the SHA-256 of text, encoded as it is stored, in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()
