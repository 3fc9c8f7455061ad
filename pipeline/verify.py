"""Verification of a study: its files are unchanged, its report follows from them, and a run can be repeated."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pandas as pd
import torch

from analysis.analyses.looks import ledger_problem
from analysis.statistics.outliers import farthest_repetition
from analysis.wording import listing, plural
from pipeline import checkpoint
from pipeline.analyze import PAIRS_FILE, SITE, Derived, derive, site_of
from pipeline.checks import Checks
from pipeline.config import RunConfig, digest_of_file
from pipeline.console import duration, say
from pipeline.errors import UsageError
from pipeline.estimate import epoch_seconds
from pipeline.evidence import (
    LEDGER_FILE,
    MANIFEST_FILE,
    digest_of_text,
    found,
    left_out,
    outputs,
    read,
    unfit,
)
from pipeline.identity import identity
from pipeline.machine import environment
from pipeline.run_record import BEST_FILE, CONFIG_FILE, ENVIRONMENT_FILE, PREDICTIONS_FILE
from pipeline.stored_study import StoredStudy, load_results, read_advice, read_declaration, read_manifest, read_run
from pipeline.study import Cell
from pipeline.texts import REPORT_FILE
from pipeline.tracking import SEALED, MemoryTracker, Run, Tracker
from pipeline.train import run_cell

TRIALS_FILE = "trials.csv"
"""Output of an ablation study: a row per trial and seed, with its run as `cell`."""
MATTERS = ("settings", "data_digest", "code_digest", "torch_version", "precision", "device", "lstm_kernel")
"""Parts of the identity of a run that decide its bits."""
MACHINE = ("platform", "processor", "python", "threads", "torch", "numpy", "numba", "pykan")
"""Parts of its environment that may."""
KERNEL = re.compile(r"(Linux-).+-([^-]+-with-)")
"""The release of Linux's kernel in a platform: it computes nothing of a run, unlike the C library whose version stands behind it."""


def verify_study(parent: Run, tracker: Tracker, *, retrain: bool, choice: int) -> bool:
    """Check everything that is stored about a study, print a line for each check, and return whether all checks hold.

    Nothing is changed, except that missing probe measurements are made, as `analyze` does. With `retrain`, one run is trained
    again; `choice` is the seed of the random draw of that run.
    """
    checks = Checks()
    study = checks.hold("what was declared", lambda: _declared(parent, tracker))
    if study and study.manifest.plan.looks:
        checks.hold("its looks", lambda: _looks(study, tracker))
    runs = checks.hold("its runs", lambda: _runs(parent, study, tracker)) or {}
    for name, run in runs.items():
        checks.hold(name, lambda run=run: _whole(run, tracker))  # type: ignore[misc]
    checks.hold("what analyses have stored", lambda: _outputs(parent, tracker))
    if study and REPORT_FILE in tracker.fetch_all(parent.id, [REPORT_FILE]):
        derived = checks.hold("the analysis, made anew", lambda: _derived(study, tracker))
        for name, same in _compared(derived, parent, tracker) if derived else ():
            checks.hold(name, same)
    if retrain and runs:
        name = Random(choice).choice(sorted(runs))  # noqa: S311 - no secret
        model = name.rpartition("/")[0]
        seeds = [run for other, run in runs.items() if other != name and other.rpartition("/")[0] == model]
        checks.hold(
            f"{name}, drawn by --choice {choice} and trained again", lambda: _trained_again(runs[name], seeds, tracker)
        )
    return checks.conclude(f"{parent.name} (study {parent.tags['study']})")


def _declared(parent: Run, tracker: Tracker) -> tuple[str, StoredStudy | None]:
    try:
        study = StoredStudy(parent, read_manifest(parent, tracker))
    except FileNotFoundError:
        return f"no {MANIFEST_FILE}, as of a grid or a search", None
    declaration, _ = read_declaration(study, tracker), read_advice(parent, tracker)
    return f"the plan as of {declaration.declared if declaration else 'no declaration'}", study


def _looks(study: StoredStudy, tracker: Tracker) -> tuple[str, None]:
    """Check the ledger of looks against the predictions."""
    results = load_results(study, tracker, allow_missing=True, probes=False)
    if said := ledger_problem(results):
        raise unfit(study.parent, LEDGER_FILE, f"must follow from the predictions, got another: {said}", tracker)
    count = 0 if results.ledger is None else results.ledger["look"].nunique()
    return f"{plural(count, 'look')} of {len(results.plan.looks)}, as they follow from the predictions", None


def _runs(parent: Run, study: StoredStudy | None, tracker: Tracker) -> tuple[str, dict[str, Run]]:
    """Return a description, and the finished runs of a study by name."""
    if study:
        wanted = {f"{entry.model}/seed-{entry.seed}": entry.run_id or "" for entry in study.manifest.cells}
    else:
        files = tracker.fetch_all(parent.id, [TRIALS_FILE])
        table = pd.read_csv(files[TRIALS_FILE]) if files else pd.DataFrame({"cell": []})
        rows = table.dropna(subset="cell").itertuples() if "cell" in table else ()
        wanted = {f"trial {row.trial}/seed-{row.seed}": str(row.cell) for row in rows}
    stored = tracker.get_all([run_id for run_id in wanted.values() if run_id])
    runs = {name: stored[run_id] for name, run_id in wanted.items() if run_id in stored}
    finished = {name: run for name, run in runs.items() if run.status == "FINISHED"}
    return f"{len(finished)} of {len(wanted)} are finished", finished


def _whole(run: Run, tracker: Tracker) -> tuple[str, None]:
    """Check every file of a run against its digest, and its scores against the logged ones."""
    paths = [tag.removeprefix(SEALED) for tag in run.tags if tag.startswith(SEALED)]
    found(run, paths, tracker)
    read_run(run, tracker)
    counted = f"{plural(len(paths), 'file')} as stored" if paths else "no digests, being from before files had any"
    return f"{counted}, scores as logged", None


def _outputs(parent: Run, tracker: Tracker) -> tuple[str, None]:
    """Check the outputs of analyses against their digests."""
    digests = outputs(parent, tracker)
    stored = tracker.fetch_all(parent.id, list(digests))
    for path, digest in digests.items():
        if path not in stored or digest_of_file(stored[path]) != digest:
            raise _stale(parent, path, "must be as it was stored", "got another file" if path in stored else "got none")
    return plural(len(digests), "file"), None


def _derived(study: StoredStudy, tracker: Tracker) -> tuple[str, Derived]:
    derived = derive(study, tracker, allow_missing=True, site=study.parent.tags.get(SITE, site_of(tracker)))
    return f"{len(derived.findings)} analyses of the stored predictions", derived


def _compared(derived: Derived, parent: Run, tracker: Tracker) -> Iterator[tuple[str, Callable[[], tuple[str, None]]]]:
    """Yield each output of the analysis, with a check that the stored bytes equal those derived now."""
    pairs = next(finding.tables["pairs"] for finding in derived.findings if finding.name == "significance")
    for path, text in {**derived.texts, PAIRS_FILE: tracker.table_text(pairs)}.items():
        yield path, lambda path=path, text=text: _same_text(parent, path, text, tracker)  # type: ignore[misc]
    yield "copies of files of the runs", lambda: _same_files(derived, parent, tracker)
    yield "numbers in the store", lambda: _same_metrics(derived, parent, tracker)


def _same_text(parent: Run, path: str, text: str, tracker: Tracker) -> tuple[str, None]:
    stored = read(parent, [path], tracker)[path]
    if digest_of_file(stored) != digest_of_text(text):
        lines = zip(stored.read_text(encoding="utf-8", errors="replace").splitlines(), text.splitlines(), strict=False)
        line = next((number for number, (one, other) in enumerate(lines, 1) if one != other), "the last")
        raise _stale(parent, path, "must be what follows from the runs", f"got another text from line {line} on")
    return "the same bytes", None


def _same_files(derived: Derived, parent: Run, tracker: Tracker) -> tuple[str, None]:
    """Check the copies that earlier versions stored with the parent run."""
    copies = sorted(outputs(parent, tracker).keys() & derived.files.keys())
    stored = tracker.fetch_all(parent.id, copies)
    for path in copies:
        run_id, artifact = derived.files[path]
        original = tracker.fetch_all(run_id, [artifact])
        if path not in stored or not original or digest_of_file(stored[path]) != digest_of_file(original[artifact]):
            raise _stale(parent, path, f"must be {artifact} of run {run_id}", "got another file")
    return plural(len(copies), "file") if copies else "none is stored twice", None


def _same_metrics(derived: Derived, parent: Run, tracker: Tracker) -> tuple[str, None]:
    logged = tracker.get(parent.id).metrics
    for name, number in derived.metrics.items():
        if logged.get(name) != number:
            raise _stale(parent, f"metric {name}", f"must be {number:.10g}", f"got {logged.get(name)}")
    return plural(len(derived.metrics), "number"), None


def _stale(parent: Run, path: str, must: str, got: str) -> UsageError:
    return UsageError(
        f"run {parent.name} ({parent.id}): {path} {must}, {got}. Look at what differs; analyze (or ablate) writes it anew."
    )


# --------------------------------------------------------------------------------------------------- a run, repeated


def _trained_again(run: Run, seeds: Sequence[Run], tracker: Tracker) -> tuple[str, None]:
    """Train a run again, in a store of its own, and compare answers and weights with the stored ones.

    Where they cannot be expected to be the same, the accuracy must be a plausible one beside those of the model's other seeds.
    """
    bare = left_out(run, BEST_FILE)
    files = read(run, [CONFIG_FILE, ENVIRONMENT_FILE, PREDICTIONS_FILE, *([] if bare else [BEST_FILE])], tracker)
    config = RunConfig.model_validate_json(files[CONFIG_FILE].read_text(encoding="utf-8"))
    device = "cpu" if run.tags["device"] == "cpu" else "auto"
    conditions = json.loads(files[ENVIRONMENT_FILE].read_text(encoding="utf-8"))
    differs = _differences(run.tags, identity(config, config.data.load(), device), MATTERS)
    differs += _differences(conditions, environment(), MACHINE)
    if run.tags["device"] != "cpu":
        differs.append("the kernels of the device (they may add in another order each time)")
    say(f"training {run.name} again takes about {duration(config.train.epochs * epoch_seconds(config, device))}")
    answers = pd.read_parquet(files[PREDICTIONS_FILE])
    weights = {} if bare else checkpoint.load(files[BEST_FILE])["model"]
    with TemporaryDirectory() as scratch:
        store = MemoryTracker(Path(scratch))
        cell = Cell(run.tags["model"], config)
        again = store.get(run_cell(cell, store, device=device, report=lambda *_: None, packaged=False).run_id)
        files = read(again, [PREDICTIONS_FILE, BEST_FILE], store)
        answers_again = pd.read_parquet(files[PREDICTIONS_FILE])
        weights_again = {} if bare else checkpoint.load(files[BEST_FILE])["model"]
    if answers_again.equals(answers) and _equal(weights, weights_again):
        compared = "" if bare else f" and {plural(len(weights), 'tensor')} of weights"
        return f"{plural(len(answers), 'answer')}{compared}, bit for bit", None
    alike = int((answers_again["predicted"] == answers["predicted"]).sum()) if len(answers_again) == len(answers) else 0
    now, before = again.metrics["test_accuracy"], run.metrics["test_accuracy"]
    outcome = f"{alike} of {plural(len(answers), 'answer')} alike, test accuracy {now:.2%} and stored {before:.2%}"
    if differs:
        others = [other.metrics["test_accuracy"] for other in seeds]
        most = farthest_repetition(others, (now + before) / 2, len(answers))
        because = f"the bits cannot be expected to be the same, because these differ: {listing(differs)}"
        if abs(now - before) > most:
            must = f"must be within {100 * most:.1f} points of the accuracy that training gives elsewhere"
            raise unfit(run, PREDICTIONS_FILE, f"{must}, got {outcome} ({because})", tracker)
        return f"{outcome}; {because}", None
    path = BEST_FILE if answers_again.equals(answers) else PREDICTIONS_FILE
    raise unfit(run, path, f"must be what training gives on the same machine, got {outcome}", tracker)


def _differences(stored: Mapping[str, str], now: Mapping[str, str], names: tuple[str, ...]) -> list[str]:
    return [
        f"{name} ({_short(stored, name)}, now {_short(now, name)})"
        for name in names
        if KERNEL.sub(r"\1\2", str(stored.get(name))) != KERNEL.sub(r"\1\2", str(now.get(name)))
    ]


def _short(parts: Mapping[str, str], name: str) -> str:
    value = parts.get(name, "unknown")
    return value[:12] if name in ("settings", "data_digest", "code_digest") else value


def _equal(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
