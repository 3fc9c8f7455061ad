"""Deletion of studies: of the runs that no other study uses, with their files in a store on this machine."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from analysis.wording import plural
from pipeline.ablation.queue import forget, runs_of_trials
from pipeline.console import say
from pipeline.stored_study import ABLATION_KIND, STUDY_KIND, find_parent, read_manifest
from pipeline.tracking import SPOOL, MemoryTracker, Run, Tracker

NESTED = "mlflow.parentRunId"
CELL = re.compile(r"[0-9a-f]{12,64}")
"""Name of the folder of a cell's checkpoint."""
ENDED = {"FINISHED", "DELETED"}
"""Statuses of runs that need no checkpoint."""
MIB = 2**20


@dataclass(frozen=True)
class Removal:
    """The runs that are deleted with a study, and those that are kept."""

    parent: Run
    runs: tuple[Run, ...]
    """Runs that only this study uses."""
    kept: Mapping[str, tuple[str, ...]]
    """Other studies and registered models that use a run of this study, by the run's id; empty for a run that `train` made."""


def plan_removal(tracker: Tracker, wanted: str, storage: str) -> Removal:
    """Find the runs that only this study uses; `wanted` is its name or id, `storage` the URL of the trials' database."""
    parent = find_parent(tracker, wanted)
    others = [run for kind in (STUDY_KIND, ABLATION_KIND) for run in tracker.find(kind=kind) if run.id != parent.id]
    trials = runs_of_trials(storage)
    users: dict[str, list[str]] = {}
    for other in others:
        for run_id in _used(other, tracker, trials):
            users.setdefault(run_id, []).append(f"{other.name} ({other.tags['study']})")
    nested = {run.id for run in _nested(parent.id, tracker)}
    own = tracker.get_all([run_id for run_id in _used(parent, tracker, trials) if run_id != parent.id])
    for version in tracker.registry.of_runs(list(own)):
        users.setdefault(version.run_id, []).append(f"{version.name} version {version.number}")
    alone = {run_id for run_id, run in own.items() if run_id not in users and (run_id in nested or NESTED in run.tags)}
    kept = {run_id: tuple(users.get(run_id, ())) for run_id in own if run_id not in alone}
    return Removal(parent, tuple(own[run_id] for run_id in own if run_id in alone), kept)


def _used(parent: Run, tracker: Tracker, trials: Mapping[str, set[str]]) -> set[str]:
    """Return the ids of the runs that a study uses: nested runs, runs of its manifest, and runs of its trials."""
    used = {run.id for run in _nested(parent.id, tracker)}
    if parent.tags["kind"] == ABLATION_KIND:
        used |= trials.get(parent.tags.get("study_name", parent.name), set())
    try:
        manifest = read_manifest(parent, tracker)
    except FileNotFoundError:  # a search, or a study that ended before its first run
        return used
    return used | {entry.run_id for entry in manifest.cells if entry.run_id}


def _nested(run_id: str, tracker: Tracker) -> Iterator[Run]:
    for run in tracker.find(**{NESTED: run_id}):
        yield run
        yield from _nested(run.id, tracker)


def remove(tracker: Tracker, wanted: str, *, storage: str, dry_run: bool) -> None:
    """Delete a study, or with `dry_run` print what that would delete.

    BusyError if another process works on the study or on one of its runs.
    """
    removal = plan_removal(tracker, wanted, storage)
    parent = removal.parent
    with ExitStack() as held:
        if not dry_run:
            held.enter_context(tracker.own(parent.id))
            for run in removal.runs:
                with tracker.own(run.id):  # checks that no process works on it
                    pass
        _say_kept(removal)
        freed = 0
        for run in (*removal.runs, parent):
            # Runs are deleted before their files: a finished run without files would be reused, whereas `clean` deletes files that
            # an interrupt leaves.
            if run.id != parent.id and not dry_run:
                tracker.delete(run.id)
            freed += _delete_files(run, tracker, dry_run=dry_run)
    if not dry_run:  # after its release, which may write to it
        tracker.delete(parent.id)
        if parent.tags["kind"] == ABLATION_KIND:
            forget(parent.tags.get("study_name", parent.name), storage)
    _say(f"study {parent.name} ({parent.tags['study']}) and {plural(len(removal.runs), 'run')}", freed, dry_run=dry_run)


def _say_kept(removal: Removal) -> None:
    by_user: dict[tuple[str, ...], int] = {}
    for names in removal.kept.values():
        by_user[names] = by_user.get(names, 0) + 1
    for names, count in by_user.items():
        why = f"used by {', '.join(names)}" if names else "made by train, not by a study"
        say(f"kept: {plural(count, 'run')} {why}")


def _delete_files(run: Run, tracker: Tracker, *, dry_run: bool) -> int:
    """Delete the files of a run on this machine, its models and its checkpoint; return their size in bytes."""
    folders = [tracker.checkpoints / run.tags["cell"]] if run.tags.get("cell") else []
    if isinstance(tracker, MemoryTracker):
        folders.append(tracker._folder / run.id)  # noqa: SLF001 - the twin for tests
    else:
        from pipeline.tracking.mlflow_tracker import MlflowTracker  # noqa: PLC0415 - it imports MLflow
        from pipeline.tracking.removal import delete_model, local_folder, models_of  # noqa: PLC0415

        assert isinstance(tracker, MlflowTracker)  # noqa: S101 - there is no third kind
        models = models_of(tracker, [run.id])
        folders += [folder for folder in (*models.values(), local_folder(tracker.artifacts(run.id), run.id)) if folder]
        for model in models if not dry_run else ():
            delete_model(tracker, model)
    return sum(_delete(folder, dry_run=dry_run) for folder in folders)


def _delete(folder: Path, *, dry_run: bool) -> int:
    found = [file.stat() for file in folder.rglob("*") if file.is_file()]
    size = sum(
        file.st_size // file.st_nlink for file in found
    )  # a file may have hard links, one in its run and one in its model
    if not dry_run and folder.is_dir():
        rmtree(folder)
    return size


def _say(what: str, freed: int, *, dry_run: bool) -> None:
    done = "would delete" if dry_run else "deleted"
    say(f"{done} {what}: {freed / MIB:,.1f} MiB of files on this machine")


def clean(tracker: Tracker, *, dry_run: bool) -> None:
    """Delete the files of runs that were deleted, and the checkpoints of cells whose runs are finished or deleted.

    A checkpoint of a cell that this store does not know stays: another store may share the folder.
    """
    if isinstance(tracker, MemoryTracker):
        statuses = {folder: {run.status for run in tracker.find(cell=folder.name)} for folder in _checkpoints(tracker)}
    else:
        from pipeline.tracking.mlflow_tracker import MlflowTracker  # noqa: PLC0415 - it imports MLflow
        from pipeline.tracking.removal import deleted_runs, statuses_of  # noqa: PLC0415

        assert isinstance(tracker, MlflowTracker)  # noqa: S101 - there is no third kind
        folders = deleted_runs(tracker)
        freed = sum(_delete(folder, dry_run=dry_run) for folder in folders.values())
        _say(f"the files of {plural(len(folders), 'deleted run')}", freed, dry_run=dry_run)
        statuses = {folder: statuses_of(tracker, folder.name) for folder in _checkpoints(tracker)}
    left = [folder for folder, of_cell in statuses.items() if of_cell and of_cell <= ENDED and not _waits(folder)]
    freed = sum(_delete(folder, dry_run=dry_run) for folder in left)
    _say(plural(len(left), "left checkpoint"), freed, dry_run=dry_run)


def _checkpoints(tracker: Tracker) -> list[Path]:
    if not tracker.checkpoints.is_dir():
        return []
    return sorted(folder for folder in tracker.checkpoints.iterdir() if CELL.fullmatch(folder.name))


def _waits(folder: Path) -> bool:
    """Say whether something in the folder waits for a server."""
    return (folder / SPOOL).is_file()
