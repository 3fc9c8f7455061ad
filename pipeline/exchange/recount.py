"""Verification of an archive by itself: everything that follows from predictions and histories is computed again.

Neither torch, MLflow nor Optuna is imported, no store is opened, and no code of the archive is executed.
"""

import json
from collections.abc import Callable, Iterator
from io import StringIO
from math import isclose
from pathlib import Path
from typing import Any

import pandas as pd
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from analysis import run_analyses
from analysis.analyses.looks import ledger_problem
from analysis.findings import Finding
from analysis.results import Results
from analysis.wording import plural
from pipeline.checks import Checks
from pipeline.errors import RunError, UsageError
from pipeline.exchange.archive import ANOTHER, digest
from pipeline.exchange.contents import (
    CLASSES,
    CONFIG,
    CONFUSION,
    CRATE,
    ENVIRONMENT,
    LOOKS,
    MANIFEST,
    NEEDED,
    PLAN,
    REPORT,
    RUN,
    RUNS,
    SIGNATURE,
    WEIGHTS,
    Contents,
    RunRecord,
    load,
    results_of,
)
from pipeline.exchange.crate import changed
from pipeline.exchange.signature import check_signature
from pipeline.manifest import CellEntry
from pipeline.rows import COSTS, COUNTS, SCORES, row_of_run, scores_of_history, scores_of_predictions
from pipeline.texts import numbers_of, texts_of

SAME = 1e-9
"""Largest relative difference between two values of the same number, computed with different versions of a library."""
Check = Callable[[], str]
"""A check: it returns a description of what it found, or raises UsageError."""


def verify_file(file: Path, key: Ed25519PublicKey | None = None) -> None:
    """Verify an archive and print one line for each check; with a `key`, also verify that its owner signed the archive.

    RunError if a check fails, UsageError if the file is not an archive of this project.
    """
    contents, checks = load(file), Checks()
    for name, check in evidence(contents, key):
        checks.hold(name, lambda check=check: (check(), None))  # type: ignore[misc]
    derived = checks.hold("the analysis, made anew", lambda: _derived(contents))
    for name, check in _compared(contents, *derived) if derived else ():
        checks.hold(name, lambda check=check: (check(), None))  # type: ignore[misc]
    if not checks.conclude(f"{contents.manifest.name} (study {contents.manifest.id})"):
        raise RunError(
            f"verify: {file} must hold what its runs answered and what follows from it, got {plural(len(checks.failed), 'failure')}: "
            f"{', '.join(checks.failed)}. The lines that begin with FAILS say what differs."
        )


def evidence(contents: Contents, key: Ed25519PublicKey | None = None) -> Iterator[tuple[str, Check]]:
    """Yield the checks of the measurements and of the signature, by name; the results of analyses are not checked here."""
    if key or SIGNATURE in contents.members:
        yield "signature", lambda: check_signature(contents, key)
    yield "files", lambda: _files(contents)
    yield "what was declared", lambda: _declared(contents)
    for entry, record in contents.cells:
        yield f"{entry.model}/seed-{entry.seed}", lambda entry=entry, record=record: _run(contents, entry, record)  # type: ignore[misc]
    if LOOKS in contents.members:
        yield "its looks", lambda: _looks(contents)


def report_of(contents: Contents) -> dict[str, bytes]:
    """Return the members that are computed from the others: the report without figures, and its tables."""
    texts, _, _ = _derived(contents)[1]
    return {f"{REPORT}{name}": text.encode() for name, text in texts.items()}


def _wrong(contents: Contents, what: str, must: str, got: object) -> UsageError:
    return UsageError(f"{contents.file}: {what} must {must}, got {got}. {ANOTHER}")


def _files(contents: Contents) -> str:
    if said := changed(contents):
        more = f", and {len(said) - 1} more" if len(said) > 1 else ""
        raise UsageError(f"{contents.file}: {said[0]}{more}. {ANOTHER}")
    return f"{plural(len(contents.members.keys() - {CRATE, SIGNATURE}), 'file')} as exported"


def _declared(contents: Contents) -> str:
    manifest, declaration = contents.manifest, contents.declaration
    for where, promised in {
        "evidence.json": contents.index.tags.get("plan_hash"),
        "study.json": manifest.plan_hash,
    }.items():
        if promised != declaration.hash:
            raise _wrong(
                contents, PLAN, f"be what was declared (hash {str(promised)[:12]} in {where})", declaration.hash[:12]
            )
    if manifest.plan.effective() != declaration.plan.effective():
        raise _wrong(contents, "study.json", f"hold the plan of {PLAN}", "another")
    if manifest.id != contents.index.tags.get("study"):
        raise _wrong(contents, "study.json", f"be of study {contents.index.tags.get('study')}", manifest.id)
    _variants(contents)
    missing = len(manifest.cells) - len(contents.runs)
    runs = (
        f"{len(contents.runs)} of {plural(len(manifest.cells), 'run')} are there"
        if missing
        else f"all {len(contents.runs)} runs are there"
    )
    return f"the plan as of {declaration.declared}, {runs}"


def _variants(contents: Contents) -> None:
    """Check that cells and declaration are of the variants of the study, and that its id follows from these and the plan."""
    manifest, identity = contents.manifest, contents.declaration.identity
    names = ", ".join(manifest.variants)
    for where, models in {"cells": {entry.model for entry in manifest.cells}, PLAN: identity.keys()}.items():
        if models != manifest.variants.keys():
            raise _wrong(contents, "study.json", f"have in {where} the variants {names}", ", ".join(sorted(models)))
    with contents.reading(MANIFEST):
        for model in manifest.variants:
            manifest.about(model)
    hashes = {model: parts.get("config_hash", "") for model, parts in identity.items()}
    if (study := manifest.plan.study_of(hashes)) != manifest.id:
        raise _wrong(contents, "study.json", f"have the id {study} of its plan and variants", manifest.id)


def _run(contents: Contents, entry: CellEntry, record: RunRecord) -> str:
    """Check the files of a run against their recorded digests, and the numbers that follow from them against the recorded ones."""
    place = f"{RUNS}{entry.cell}/"
    for path in NEEDED:
        contents.content(entry.cell, path)
        if path not in record.files:
            raise _wrong(contents, f"{place}{RUN}", f"have a digest of {path}", "none")
    for path, promised in record.files.items():
        if path == WEIGHTS and place + path not in contents.members:
            continue
        if (found := digest(contents.content(entry.cell, path))) != promised:
            raise _wrong(
                contents, place + path, f"be as it was stored (SHA-256 {promised[:12]})", f"another ({found[:12]})"
            )
    _identity(contents, entry, record)
    with contents.reading(f"{RUNS}{entry.cell}"):
        return _recounted(contents, entry, record)


def _recounted(contents: Contents, entry: CellEntry, record: RunRecord) -> str:
    """Compute the numbers that follow from the files of a run, and compare them with the recorded ones."""
    place = f"{RUNS}{entry.cell}/"
    _ = row_of_run(record.tags, record.last), dict(contents.parsed(entry.cell, ENVIRONMENT, json.loads))
    history, predictions = contents.history(entry.cell), contents.predictions(entry.cell)
    seconds = [row["seconds"] for row in history]
    scores = scores_of_history(history) | scores_of_predictions(predictions)
    scores |= {"total_seconds": sum(seconds), "epoch_seconds": sum(seconds) / len(seconds)}
    for name, number in scores.items():
        _same_number(contents, f"{place}{RUN}", name, record.last.get(name), number)
    _curves(contents, record, history, place)
    names = contents.parsed(entry.cell, CLASSES, json.loads)
    stored = contents.parsed(entry.cell, CONFUSION, json.loads)["data"]
    counts = pd.crosstab(predictions["label"], predictions["predicted"])
    square = counts.reindex(index=range(len(names)), columns=range(len(names)), fill_value=0)
    if [row[1:] for row in stored] != square.to_numpy().tolist():
        raise _wrong(contents, f"{place}{CONFUSION}", "follow from the predictions", "other counts")
    left = "" if place + WEIGHTS in contents.members else ", without weights"
    return f"{plural(len(predictions), 'answer')}, accuracy {scores['test_accuracy']:.2%}, {plural(len(history), 'epoch')}{left}"


def _identity(contents: Contents, entry: CellEntry, record: RunRecord) -> None:
    """Check that the run is the one that the manifest names, with the settings, data and code that were declared."""
    place = f"{RUNS}{entry.cell}/"
    for tag, value in {"cell": entry.cell, "variant": entry.variant, "seed": str(entry.seed)}.items():
        if record.tags.get(tag) != value:
            raise _wrong(contents, f"{place}{RUN}", f"have the {tag} {value} of study.json", record.tags.get(tag))
    if (seed := contents.config(entry.cell).get("seed")) != entry.seed:
        raise _wrong(contents, f"{place}{CONFIG}", f"have the seed {entry.seed} of study.json", seed)
    declared = contents.declaration.identity.get(entry.model, {})
    for part in ("settings", "data_digest", "code_digest"):
        if part in declared and record.tags.get(part) != declared[part]:
            got = str(record.tags.get(part))[:12]
            raise _wrong(contents, f"{place}{RUN}", f"have the {part} {declared[part][:12]} of {PLAN}", got)


def _curves(contents: Contents, record: RunRecord, history: list[dict[str, float]], place: str) -> None:
    """Check that the points of the curves are those of the history, and that none of these is missing."""
    epochs = {int(row["epoch"]): row for row in history}
    points = [(name.removeprefix("train/"), name, step, value) for name, step, _, value in record.metrics if step]
    for bare, name, step, value in points:
        row = epochs.get(step, {})
        _same_number(contents, f"{place}{RUN}", f"{name} of epoch {step}", value, row.get(name, row.get(bare)))
    there = {(part, step) for bare, name, step, _ in points for part in (bare, name)}
    for step, row in epochs.items():
        for name in row:
            if (name, step) not in there:
                _same_number(contents, f"{place}{RUN}", f"{name} of epoch {step}", None, row[name])


def _same_number(contents: Contents, place: str, what: str, recorded: float | None, number: float | None) -> None:
    if recorded is None or number is None or not isclose(recorded, number, rel_tol=SAME, abs_tol=SAME):
        found = "none" if number is None else f"{number:.10g}"
        recorded_as = "none" if recorded is None else f"{recorded:.10g}"
        raise _wrong(contents, place, f"have the {what} that follows from the run's files, {found}", recorded_as)


def _looks(contents: Contents) -> str:
    with contents.reading(LOOKS):
        results = results_of(contents)
        said = ledger_problem(results)
    if said:
        raise _wrong(contents, LOOKS, "follow from the predictions", f"another: {said}")
    count = 0 if results.ledger is None else results.ledger["look"].nunique()
    return f"{plural(count, 'look')} of {len(results.plan.looks)}, as they follow from the predictions"


# ------------------------------------------------------------------------------------------------------- the analysis

Derived = tuple[dict[str, str], Results, list[Finding]]


def _derived(contents: Contents) -> tuple[str, Derived]:
    with contents.reading("the tables of the runs"):
        results = results_of(contents)
    findings = run_analyses(results)
    environment = contents.parsed(results.runs["run_id"].iloc[0], ENVIRONMENT, json.loads)
    bare = [_without_figures(finding) for finding in findings]
    manifest = contents.manifest
    texts = texts_of(results, bare, study=manifest.id, name=manifest.name, environment=environment)
    return f"{len(findings)} analyses of the predictions", (texts, results, findings)


def _without_figures(finding: Finding) -> Finding:
    """Leave out the figures: they are drawn from the tables, and archives do not contain them."""
    return Finding(**{**vars(finding), "figures": {}})


def _compared(
    contents: Contents, texts: dict[str, str], results: Results, findings: list[Finding]
) -> Iterator[tuple[str, Check]]:
    for name, text in texts.items():
        yield f"{REPORT}{name}", lambda name=name, text=text: _same_text(contents, f"{REPORT}{name}", text)  # type: ignore[misc]
    yield "numbers of the runs", lambda: _same_numbers(contents, results, findings)


def _same_text(contents: Contents, name: str, text: str) -> str:
    if name not in contents.members:
        raise _wrong(contents, name, "be there", "none")
    stored = contents.members[name].decode(errors="replace")
    if stored == text:
        return "the same bytes"
    if _alike(_values(name, stored), _values(name, text)):
        return "the same numbers but for their last digits, which depend on versions and processors"
    lines = zip(stored.splitlines(), text.splitlines(), strict=False)
    line = next((number for number, (one, other) in enumerate(lines, 1) if one != other), "the last")
    raise _wrong(contents, name, "be what follows from the predictions", f"another text from line {line} on")


def _values(name: str, text: str) -> Any:  # noqa: ANN401 - JSON has no type
    """Return the values of a JSON or CSV text, to compare them one by one; any other text is returned unchanged."""
    try:
        if name.endswith(".json"):
            return json.loads(text)
        if name.endswith(".csv"):
            return pd.read_csv(StringIO(text)).astype(object).to_numpy().tolist()
    except ValueError:
        pass
    return text


def _alike(one: Any, other: Any) -> bool:  # noqa: ANN401 - as above
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=SAME, abs_tol=1e-12) or (one != one and other != other)  # noqa: PLR0124 - NaN
    return bool(one == other)


def _same_numbers(contents: Contents, results: Results, findings: list[Finding]) -> str:
    """Check the numbers that analyses have recorded with the runs: of each group of them, such as `time_use/`, all or none.

    A run that was trained after the last analysis has none, nor has one that was analysed before there were such numbers.
    """
    count = bare = 0
    for cell, numbers in numbers_of(results, findings).items():
        recorded = contents.runs[cell].last
        groups = {name: name.rpartition("/")[0] for name in numbers.keys() - {*SCORES, *COUNTS, *COSTS}}
        there = {group for name, group in groups.items() if name in recorded}
        bare += not there
        for name in sorted(numbers):
            if name in recorded or groups.get(name) in there:
                _same_number(contents, f"{RUNS}{cell}/{RUN}", name, recorded.get(name), numbers[name])
                count += 1
    return plural(count, "number") + (f", those of an analysis are missing of {plural(bare, 'run')}" if bare else "")
