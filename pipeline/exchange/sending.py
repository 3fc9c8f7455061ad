"""Export: a study of a store as an archive."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from analysis.wording import plural
from pipeline.console import say
from pipeline.errors import UsageError
from pipeline.evidence import ADVICE_FILE, LEDGER_FILE, PLAN_FILE, PROBE_FOLDER, found, read
from pipeline.exchange import archive
from pipeline.exchange.contents import (
    ADVICE,
    FORMAT,
    INDEX,
    LOOKS,
    MANIFEST,
    PLAN,
    RUN,
    RUNS,
    VERSION,
    WEIGHTS,
    Contents,
    canonical,
)
from pipeline.exchange.crate import described
from pipeline.exchange.recount import evidence, report_of
from pipeline.exchange.signature import signed
from pipeline.manifest import CellEntry
from pipeline.probes.tables import table_paths
from pipeline.stored_study import STUDY_KIND, StoredStudy
from pipeline.tracking import SEALED, Run, Tracker

OF_STORE = frozenset(
    "ownership owner lease beat spool request checkpoint packaged imported left_out error stopped site".split()  # noqa: SIM905
)
"""Tags that say how a run came into its store, not what the run is."""
OF_MLFLOW = "mlflow."
COMMIT = "mlflow.source.git.commit"
"""The only tag of MLflow that says what a run is."""


def travels(tag: str) -> bool:
    """Return whether a tag is part of the evidence."""
    return tag not in OF_STORE and not tag.startswith(SEALED) and (tag == COMMIT or not tag.startswith(OF_MLFLOW))


def export_study(
    study: StoredStudy, tracker: Tracker, file: Path, *, weights: bool, key: Ed25519PrivateKey | None = None
) -> None:
    """Write a study to a file, signed if a key is given; the weights are included if `weights` is true.

    UsageError, before anything is written, if a check of the evidence fails, if no run is finished, or for an ablation study.
    """
    if study.parent.tags.get("kind") != STUDY_KIND:
        raise UsageError(f"export: must be a study of compare, got the ablation study {study.name}. Name another one.")
    stored = tracker.get_all([entry.run_id for entry in study.manifest.cells if entry.run_id])
    members = _of_study(study, tracker)
    for entry in study.manifest.cells:
        run = stored.get(entry.run_id or "")
        if run and run.status == "FINISHED":
            members |= _of_run(run, entry, tracker, weights=weights)
    contents = Contents(file, members)
    if not contents.runs:
        raise UsageError(f"export: must have a finished run, got none of study {study.id}. Run compare to train it.")
    for name, check in evidence(contents):
        if name != "files":  # the list of their digests does not exist yet
            check()
    contents = Contents(file, {**members, **report_of(contents)})
    members = {**contents.members, **described(contents)}
    members |= signed(members, key) if key else {}
    archive.write(file, members)
    size = f"{len(members)} members, {file.stat().st_size:,} bytes"
    say(f"{study.name} (study {study.id}): {plural(len(contents.runs), 'run')} and the report in {file}, {size}")
    say(f"whoever has it checks it with: python -m pipeline verify {file}")


def _of_study(study: StoredStudy, tracker: Tracker) -> dict[str, bytes]:
    parent = study.parent
    cells = tuple(entry.model_copy(update={"run_id": None}) for entry in study.manifest.cells)
    tags = {tag: value for tag, value in parent.tags.items() if travels(tag)}
    index = {"format": FORMAT, "version": VERSION, "tags": tags, "params": tracker.read_params(parent.id)}
    members = {
        INDEX: canonical(index),
        MANIFEST: study.manifest.model_copy(update={"cells": cells}).model_dump_json(indent=2).encode(),
        PLAN: read(parent, [PLAN_FILE], tracker)[PLAN_FILE].read_bytes(),
    }
    names = {LEDGER_FILE: LOOKS, ADVICE_FILE: ADVICE}
    stored = found(parent, list(names), tracker)
    return members | {names[path]: file.read_bytes() for path, file in stored.items()}


def _of_run(run: Run, entry: CellEntry, tracker: Tracker, *, weights: bool) -> dict[str, bytes]:
    """Return the record of a run and its files; of tables of probes, only those that the current code of a probe measured."""
    measured = set(table_paths().values())
    digests = {
        path: digest
        for tag, digest in run.tags.items()
        if tag.startswith(SEALED)
        and (not (path := tag.removeprefix(SEALED)).startswith(PROBE_FOLDER) or path in measured)
    }
    if not digests:
        raise UsageError(
            f"run {run.name} ({run.id}): must have digests of its files, got one from before there were any. Delete the run, and "
            "the same compare trains it anew."
        )
    files = read(run, [path for path in digests if weights or path != WEIGHTS], tracker)
    rows = {
        (name, row.step, row.milliseconds, float(value))
        for row in tracker.read_rows(run.id)
        for name, value in row.metrics.items()
    }
    record = {
        "name": run.name,
        "tags": {tag: value for tag, value in run.tags.items() if travels(tag)},
        "params": tracker.read_params(run.id),
        "metrics": sorted(rows),
        "files": digests,
    }
    place = f"{RUNS}{entry.cell}/"
    return {place + RUN: canonical(record)} | {place + path: file.read_bytes() for path, file in files.items()}
