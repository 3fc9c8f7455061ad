"""Import: an archive becomes a study of a store, whose cells count there as finished.

Everything is checked before anything is written. A run becomes FINISHED when all of it is written, and the manifest is written
last: an interrupted import is therefore no evidence, and the same command continues it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from analysis.plan import Declaration
from analysis.wording import listing, plural
from pipeline.console import say
from pipeline.errors import UsageError
from pipeline.evidence import ADVICE_FILE, LEDGER_FILE, LEFT_OUT, PLAN_FILE, left_out, read, replace_text
from pipeline.exchange.contents import (
    ADVICE,
    CONFUSION,
    ENVIRONMENT,
    LOOKS,
    PLAN,
    PREDICTIONS,
    RUNS,
    WEIGHTS,
    Contents,
    RunRecord,
    load,
)
from pipeline.exchange.recount import evidence
from pipeline.exchange.sending import travels
from pipeline.manifest import CellEntry, Manifest
from pipeline.stored_study import STUDY_KIND, declared_of, finished_runs, read_manifest, write_manifest
from pipeline.tracking import SEALED, Run, Tracker
from pipeline.tracking.run import Row

IMPORTED = "imported"
"""Tag of a run that came from an archive."""
TABLES = (CONFUSION, "classification_report.json")
"""Files of a run that the tracking UI shows as tables."""
PROCESSOR = "processor"
"""Tag of a run: the processor that it was trained on. Runs of earlier versions lack it."""
SAME_CODE = ("settings", "data_digest", "code_digest")
"""Parts of a variant's identity that must be the same in both halves of a study."""
MAY_DIFFER = ("torch_version", "precision", "device", "lstm_kernel")
"""Parts of a variant's identity that may differ; differences are reported."""


@dataclass(frozen=True)
class _Known:
    """The part of the study that the store has already."""

    parent: Run | None
    manifest: Manifest | None
    declaration: Declaration | None
    runs: Mapping[str, Run]
    """The finished runs of the archive's cells, by cell."""


def import_file(file: Path, tracker: Tracker) -> None:
    """Import an archive into a store; UsageError if a check of it fails, or if it contradicts the store."""
    contents = load(file)
    for _, check in evidence(contents):
        check()
    known = _known(contents, tracker)
    _check_runs(contents, known, tracker)
    notes = _check_study(contents, known) + _other_processors(contents, known, tracker)
    manifest = _merged(contents.manifest, known.manifest)
    new = [cell for cell in contents.runs if cell not in known.runs]
    bare = [cell for cell, run in known.runs.items() if left_out(run, WEIGHTS) and _has_weights(contents, cell)]
    title = f"{contents.manifest.name} (study {contents.manifest.id})"
    if not new and not bare and manifest == known.manifest:
        say(f"{title}: all {plural(len(contents.runs), 'run')} are there already, nothing to do")
        return
    _write(contents, known, manifest, tracker)
    for note in notes:
        say(f"Note. {note}")
    said = [f"imported {plural(len(new), 'run')}", f"{len(contents.runs) - len(new)} were there"]
    said += [f"weights of {plural(len(bare), 'run')} added"] if bare else []
    say(f"{title}: {', '.join(said)}")
    say(f"analyse it with: python -m pipeline analyze --study {contents.manifest.id}")


def _known(contents: Contents, tracker: Tracker) -> _Known:
    cells = [entry.model_dump(include={"cell", "variant"}) for entry, _ in contents.cells]
    runs = finished_runs(cells, tracker)
    parents = tracker.find(kind=STUDY_KIND, study=contents.manifest.id)
    if not parents:
        return _Known(None, None, None, runs)
    parent = parents[-1]  # the oldest, as in `Tracker.sole`
    try:
        manifest = read_manifest(parent, tracker)
    except FileNotFoundError:  # the study ended before its first run, or an import was interrupted
        manifest = None
    return _Known(parent, manifest, declared_of(parent, tracker), runs)


def _check_runs(contents: Contents, known: _Known, tracker: Tracker) -> None:
    """Refuse a cell whose run in the store made other predictions."""
    for entry, record in contents.cells:
        if (run := known.runs.get(entry.cell)) is None or run.tags.get(SEALED + PREDICTIONS) == record.files[
            PREDICTIONS
        ]:
            continue
        stored = pd.read_parquet(read(run, [PREDICTIONS], tracker)[PREDICTIONS])
        sent = contents.predictions(entry.cell)
        if not stored.equals(sent):
            same = int((stored["predicted"] == sent["predicted"]).sum()) if len(stored) == len(sent) else 0
            raise UsageError(
                f"{contents.file}: {entry.model}/seed-{entry.seed} must have the answers that run {run.id} in {tracker.uri} gave, got "
                f"{same} of {len(stored)} alike. Import it into another store, and look at what differs."
            )


def _check_study(contents: Contents, known: _Known) -> list[str]:
    """Refuse other variants, another plan, other data or other code than the store has of this study; return what else differs."""
    ours, theirs = known.declaration, contents.declaration
    variants = known.manifest.variants if known.manifest else ours.identity if ours else theirs.identity
    if variants.keys() != theirs.identity.keys():
        raise UsageError(
            f"{contents.file}: study {contents.manifest.id} must have the variants of the store's, {listing(variants)}, got "
            f"{listing(theirs.identity)}. Import it into another store."
        )
    if ours is None or ours.hash == theirs.hash:
        return []
    where = f"{contents.file}: study {contents.manifest.id}"
    if ours.plan.effective() != theirs.plan.effective() or ours.plan.looks:
        raise UsageError(
            f"{where} must have been declared with the plan of the store's, got another, or looks, whose seeds belong together. "
            "Import it into another store."
        )
    differs: dict[str, str] = {}
    for model in theirs.identity.keys() & ours.identity.keys():
        one, other = ours.identity[model], theirs.identity[model]
        for part in SAME_CODE:
            if one.get(part) != other.get(part):
                raise UsageError(
                    f"{where}, {model}: {part} must be that of the store's study, {str(one.get(part))[:12]}, got "
                    f"{str(other.get(part))[:12]}. Only runs of the same data and code are one study: import it into another store."
                )
        differs |= {
            part: f"{part} ({one.get(part)} in the store, {other.get(part)} in the archive)"
            for part in MAY_DIFFER
            if one.get(part) != other.get(part)
        }
    seeds = f"declared with seeds {listing(map(str, theirs.seeds))}, the store's with {listing(map(str, ours.seeds))}, which stays declared"
    return [f"The study was {seeds}."] + (
        [f"These differ between its runs: {listing(differs.values())}."] if differs else []
    )


def _other_processors(contents: Contents, known: _Known, tracker: Tracker) -> list[str]:
    """Return a note if the merged study has runs of several processors: the last bits of their numbers may differ."""
    held = [entry.run_id for entry in known.manifest.cells if entry.run_id] if known.manifest else []
    ours = {run.tags.get(PROCESSOR) for run in tracker.get_all(held).values()}
    theirs = {record.tags.get(PROCESSOR) for record in contents.runs.values()}
    names = sorted(filter(None, ours | theirs))
    return [f"Its runs were trained on different processors: {listing(names)}."] if ours and len(names) > 1 else []


def _merged(theirs: Manifest, ours: Manifest | None) -> Manifest:
    """Return a manifest with the cells of both; the store's cells come first, and its plan is kept.

    UsageError if the run of a model and seed was trained as another cell in the store.
    """
    if ours is None:
        return theirs
    mine = {(entry.model, entry.seed): entry for entry in ours.cells}
    for entry in theirs.cells:
        held = mine.get((entry.model, entry.seed))
        if held and held.cell != entry.cell and held.run_id:
            raise UsageError(
                f"import: {entry.model}/seed-{entry.seed} must be one cell, got {held.cell} in the store and {entry.cell} in the "
                "archive, trained under other conditions. Import it into another store."
            )
        if held is None or not held.run_id:
            mine[entry.model, entry.seed] = entry
    seeds = tuple(dict.fromkeys((*ours.seeds, *theirs.seeds)))
    return ours.model_copy(update={"seeds": seeds, "cells": tuple(mine.values())})


# ---------------------------------------------------------------------------------------------------------- writing


def _write(contents: Contents, known: _Known, manifest: Manifest, tracker: Tracker) -> None:
    tags = {tag: value for tag, value in contents.index.tags.items() if travels(tag) and tag != "plan_hash"}
    identity = {"kind": STUDY_KIND, "study": contents.manifest.id}
    parent = tracker.sole(contents.manifest.name, identity, tags={**tags, IMPORTED: "true"})
    with tracker.hold(parent):
        if known.declaration is None:
            _declare(contents, parent, tracker)
        runs = {cell: run.id for cell, run in known.runs.items()}
        for entry, record in contents.cells:
            if entry.cell not in runs:
                runs[entry.cell] = _put(contents, entry, record, parent, tracker)
            elif left_out(known.runs[entry.cell], WEIGHTS) and _has_weights(contents, entry.cell):
                _put_files(contents, entry.cell, [WEIGHTS], runs[entry.cell], tracker)
                tracker.set_tags(runs[entry.cell], {LEFT_OUT: ""})
        write_manifest(manifest.with_runs(runs), tracker, parent)


def _declare(contents: Contents, parent: str, tracker: Tracker) -> None:
    """Store the plan, the ledger, the advice, and the params and data sets of the run of a study."""
    tracker.log_params(parent, contents.index.params)
    for entry, record in _one_a_data_set(contents):
        _record_data(contents, entry, record, parent, tracker)
    replace_text(parent, PLAN_FILE, contents.members[PLAN].decode(), tracker)
    for member, path in {LOOKS: LEDGER_FILE, ADVICE: ADVICE_FILE}.items():
        if member in contents.members:
            replace_text(parent, path, contents.members[member].decode(), tracker)
            tracker.show_tables(parent, [path])
    tracker.set_tags(parent, {"plan_hash": contents.declaration.hash})


def _put(contents: Contents, entry: CellEntry, record: RunRecord, parent: str, tracker: Tracker) -> str:
    """Write one run, or the part of it that is missing, and return its id; the run becomes FINISHED at the end."""
    begun = tracker.find(cell=entry.cell, **{IMPORTED: "true"})
    # `kind` is a tag of studies.
    tags = {tag: value for tag, value in record.tags.items() if travels(tag) and tag != "kind"}
    tags |= {"cell": entry.cell, IMPORTED: "true"}
    run_id = begun[-1].id if begun else tracker.create(record.name, parent=parent, tags=tags)
    with tracker.hold(run_id):
        tracker.log_params(run_id, record.params)
        _record_data(contents, entry, record, run_id, tracker)
        there = [path for path in record.files if f"{RUNS}{entry.cell}/{path}" in contents.members]
        _put_files(contents, entry.cell, there, run_id, tracker)
        tracker.show_tables(run_id, [path for path in TABLES if path in there])
        tracker.log_rows(run_id, list(_rows(record)))
        bare = {} if WEIGHTS in there or WEIGHTS not in record.files else {LEFT_OUT: WEIGHTS}
        tracker.set_tags(run_id, {**tags, **bare, **{SEALED + path: digest for path, digest in record.files.items()}})
    return run_id


def _put_files(contents: Contents, cell: str, paths: list[str], run_id: str, tracker: Tracker) -> None:
    with TemporaryDirectory() as scratch:
        files = []
        for path in paths:
            file = Path(scratch) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(contents.content(cell, path))
            files.append((file, path.rpartition("/")[0]))
        tracker.log_files(run_id, files)


def _rows(record: RunRecord) -> Iterator[Row]:
    """Yield the recorded values of a run as rows; values of the same step and time share a row."""
    rows: dict[tuple[int, int, int], dict[str, float]] = {}
    for name, step, milliseconds, value in record.metrics:
        again = 0
        while name in (row := rows.setdefault((step, milliseconds, again), {})):
            again += 1  # another value of the same metric at the same time
        row[name] = value
    for (step, milliseconds, _), metrics in sorted(rows.items(), key=lambda item: item[0]):
        yield Row(step, milliseconds, metrics)


def _record_data(contents: Contents, entry: CellEntry, record: RunRecord, run_id: str, tracker: Tracker) -> None:
    environment = contents.parsed(entry.cell, ENVIRONMENT, json.loads)
    kept = ("train", "validation", "test", "time_unit", "notes")
    profile = {name: environment[name] for name in kept if name in environment}
    tracker.log_dataset(run_id, name=record.tags["dataset"], digest=record.tags["data_digest"], profile=profile)


def _one_a_data_set(contents: Contents) -> Iterator[tuple[CellEntry, RunRecord]]:
    seen = set()
    for entry, record in contents.cells:
        if (key := (record.tags["dataset"], record.tags["data_digest"])) not in seen:
            seen.add(key)
            yield entry, record


def _has_weights(contents: Contents, cell: str) -> bool:
    return f"{RUNS}{cell}/{WEIGHTS}" in contents.members
