"""A study in the store: its parent run, its declaration, and the run of each of its cells.

The manifest, `study.json`, is an artifact of the parent run. It is written when the study begins, and again when it ends. The
manifest of a study that was killed lacks the runs that ended in between; they are found by their cells when it is read.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

import pandas as pd

from analysis.analyses.disagreement import wanted_sequences
from analysis.analyses.looking import LEDGER
from analysis.plan import Declaration, Plan
from analysis.results import Results
from pipeline.config import RunConfig
from pipeline.console import say
from pipeline.errors import UsageError
from pipeline.evidence import (
    ADVICE_FILE,
    LEDGER_FILE,
    MANIFEST_FILE,
    PLAN_FILE,
    check_scalars,
    found,
    read,
    reading,
    replace_text,
    unfit,
)
from pipeline.identity import commit
from pipeline.manifest import Manifest, advice_of, ledger_of
from pipeline.probes.tables import event_table, probe_tables
from pipeline.rows import curves_of_history, row_of_run, scores_of_history, scores_of_predictions
from pipeline.run_record import (
    CLASSES_FILE,
    CONFIG_FILE,
    ENVIRONMENT_FILE,
    HISTORY_FILE,
    LOG_FILE,
    PREDICTIONS_FILE,
)
from pipeline.study import Cell
from pipeline.tracking import SEALED, Run, Tracker
from pipeline.training.choice import History

STUDY_KIND = "study"
"""Value of the tag `kind` on the parent run of a study."""
ABLATION_KIND = "ablation"
"""Value of the tag `kind` on the parent run of an ablation study; trials with names can be compared like variants."""
TRIAL_KIND = "trial"
"""Value of the tag `kind` on the run of one trial of an ablation study."""


@dataclass(frozen=True)
class StoredStudy:
    """The parent run of a study, and its manifest."""

    parent: Run
    manifest: Manifest

    @property
    def id(self) -> str:
        """The hash of the study's plan and variants."""
        return self.manifest.id

    @property
    def name(self) -> str:
        """The stem of the file that describes the study."""
        return self.manifest.name


def open_parent(name: str, tags: Mapping[str, str], tracker: Tracker, adopted: str | None) -> str:
    """Return the id of the parent run of the study with these tags, which is created if the store has none.

    `adopted` is a run that the caller created: it becomes the parent run, or, if there is one already, gets tags that link to it.
    """
    more = {"study_name": name, **commit(), **({"mlflow.runName": name} if adopted else {})}
    parent = tracker.sole(name, tags, tags=more, adopted=adopted)
    if tracker.get(parent).tags.get("study_name") != name:  # the study was renamed
        tracker.set_tags(parent, {"study_name": name, "mlflow.runName": name})
    if adopted and adopted != parent:
        tracker.set_tags(adopted, {"study": tags["study"], "parent": parent})
    return parent


def finished_runs(identities: Collection[Mapping[str, str]], tracker: Tracker) -> dict[str, Run]:
    """Return the newest finished run of each cell that has one, by the cell's identity."""
    return {cell: run for cell, run in runs_of(identities, tracker).items() if run.status == "FINISHED"}


def runs_of(identities: Collection[Mapping[str, str]], tracker: Tracker) -> dict[str, Run]:
    """Return the run of each cell that has one, by the cell's identity: the newest finished run, or else the oldest run.

    One search finds all seeds of a variant; the store's filters have no "or" that would find all variants at once.
    """
    wanted = {tags["cell"] for tags in identities}
    found: dict[str, Run] = {}
    for variant in dict.fromkeys(tags["variant"] for tags in identities):
        for run in tracker.find(variant=variant):
            if (cell := run.tags.get("cell", "")) in wanted and (cell not in found or found[cell].status != "FINISHED"):
                found[cell] = run
    return found


def declare(
    plan: Plan,
    cells: Sequence[Cell],
    identities: Mapping[str, Mapping[str, str]],
    *,
    finished: Collection[str],
    tracker: Tracker,
    parent: str,
) -> str:
    """Store the plan with its hash, and the advice of the encoding doctor, before anything is trained; return the hash.

    A later call for the same study changes neither: advice from after the first run would predict nothing. `identities` are by the
    cells' names, `finished` are names of cells whose runs existed before.
    """
    from pipeline.doctor import advice_on  # noqa: PLC0415 - the import takes most of a second, which readers of a study are spared

    if declared := tracker.get(parent).tags.get("plan_hash"):
        return declared
    # Drop the per-seed fields: the declaration is about all runs of a model.
    per_model = {
        cell.model: {key: tag for key, tag in identities[cell.name].items() if key not in ("seed", "cell")}
        for cell in cells
    }
    declaration = Declaration(
        plan=plan,
        seeds=tuple(dict.fromkeys(cell.config.seed for cell in cells)),
        identity=per_model,
        declared=datetime.now(UTC).isoformat(timespec="seconds"),
        finished_before=tuple(finished),
    )
    replace_text(parent, PLAN_FILE, declaration.model_dump_json(indent=2), tracker)
    advice = advice_on({cell.model: cell.config for cell in cells})
    if len(advice):
        replace_text(parent, ADVICE_FILE, tracker.table_text(advice), tracker)
        tracker.show_tables(parent, [ADVICE_FILE])
    tracker.set_tags(parent, {"plan_hash": declaration.hash})
    return declaration.hash


def described(variants: Mapping[str, RunConfig]) -> dict[str, dict[str, Any]]:
    """Return the variants of a study in the form of the manifest."""
    return {name: config.model_dump(mode="json", exclude={"seed"}) for name, config in variants.items()}


def write_manifest(manifest: Manifest, tracker: Tracker, parent: str) -> None:
    """Store a manifest with the parent run of its study."""
    replace_text(parent, MANIFEST_FILE, manifest.model_dump_json(indent=2), tracker)


def read_manifest(parent: Run, tracker: Tracker) -> Manifest:
    """Return the manifest of a study, with the runs that ended after it was written; FileNotFoundError if it has none."""
    files = found(parent, [MANIFEST_FILE], tracker)
    if not files:
        raise FileNotFoundError(f"run {parent.id} has no artifact {MANIFEST_FILE}")
    with reading(parent, MANIFEST_FILE, tracker):
        manifest = Manifest.model_validate_json(files[MANIFEST_FILE].read_text(encoding="utf-8"))
    lacking = [entry for entry in manifest.cells if entry.cell and not entry.run_id]
    ended = finished_runs([{"cell": entry.cell, "variant": entry.variant} for entry in lacking], tracker)
    return manifest.with_runs({cell: run.id for cell, run in ended.items()})


def find_parent(tracker: Tracker, wanted: str = "") -> Run:
    """Return the parent run of a study, given by the study's id, the run's id, or the study's name.

    Of several with the same name the newest is returned, and of all studies without `wanted`. UsageError if there is none.
    """
    studies = tracker.find(kind=STUDY_KIND) + (tracker.find(kind=ABLATION_KIND) if wanted else [])
    chosen = [run for run in studies if not wanted or wanted in (run.id, run.tags["study"])]
    chosen = chosen or [run for run in studies if wanted in (run.tags.get("study_name"), run.name)]
    if not chosen:
        known = ", ".join(f"{run.tags['study']} ({run.name})" for run in studies[:5]) or "none yet"
        near = get_close_matches(
            wanted, [name for run in studies for name in (run.name, run.tags["study"], run.id)], n=1
        )
        raise UsageError(
            f"--study: must be a study in {tracker.uri} (known: {known}), got {wanted or 'a store without any'}. "
            + (
                f"Did you mean {near[0]}?"
                if near
                else "Run compare first, or name a known one; MLFLOW_EXPERIMENT_NAME names an experiment that has another name now."
            )
        )
    return chosen[0]


def find_study(tracker: Tracker, wanted: str = "") -> StoredStudy:
    """Return a study by its id, its name or the id of its run, by default the newest; UsageError if it has no manifest."""
    parent = find_parent(tracker, wanted)
    try:
        return StoredStudy(parent, read_manifest(parent, tracker))
    except FileNotFoundError:
        raise UsageError(
            f"--study: must be a study of named models, got {wanted or parent.id}, a grid, a search, or a study that "
            "ended before its first run. Read its own report, or run the study again."
        ) from None


def load_results(study: StoredStudy, tracker: Tracker, *, allow_missing: bool, probes: bool = True) -> Results:
    """Read the runs of a study as tidy tables.

    ResultsError names missing cells, unless `allow_missing`. UsageError if no run is finished, or if a file has changed. Without
    `probes`, neither the models nor the events are read, which takes seconds per run.
    """
    manifest = study.manifest
    stored = tracker.get_all([entry.run_id for entry in manifest.cells if entry.run_id])
    runs: list[dict[str, Any]] = []
    curves, predictions = [], []
    for entry in manifest.cells:
        key: dict[str, Any] = {"run_id": entry.run_id or "", "model": entry.model, "seed": entry.seed}
        run = stored.get(entry.run_id or "")
        if run is None or run.status != "FINISHED":
            runs.append({**key, "status": run.status if run else "MISSING"})
            continue
        row = row_of_run(run.tags, run.metrics) | manifest.about(entry.model)
        runs.append({**key, "status": run.status, **row})
        history, answers = read_run(run, tracker)
        curves.append(curves_of_history(history).assign(**key))
        predictions.append(answers.assign(**key))
    if not predictions:
        raise UsageError(f"study {study.id}: must have a finished run, got none. Run compare to train it.")
    finished = [(run["run_id"], run["model"], run["seed"]) for run in runs if run["status"] == "FINISHED"]
    if older := [run_id for run_id, _, _ in finished if SEALED + PREDICTIONS_FILE not in stored[run_id].tags]:
        say(f"{len(older)} of {len(finished)} runs are from before files had digests: theirs are taken as they are")
    results = Results(
        runs=pd.DataFrame(runs),
        curves=pd.concat(curves, ignore_index=True),
        predictions=pd.concat(predictions, ignore_index=True),
        probes=probe_tables(finished, tracker) if probes else {},
        plan=manifest.plan,
        allow_missing=allow_missing,
        declaration=read_declaration(study, tracker),
        ledger=read_ledger(study.parent, tracker) if manifest.plan.looks else None,
        class_names=_class_names(stored[finished[0][0]], tracker),
        advice=read_advice(study.parent, tracker),
    )
    if probes and (wanted := wanted_sequences(results)):
        events = event_table(str(results.runs["run_id"].iloc[0]), wanted, tracker)
        return results.with_probe("events", events)
    return results


def read_run(run: Run, tracker: Tracker) -> tuple[History, pd.DataFrame]:
    """Return the epochs and the predictions of a finished run, checked against their digests and the logged scores.

    UsageError if a file has changed. The config, environment and log are checked, too, because they document the numbers.
    """
    files = read(run, [HISTORY_FILE, PREDICTIONS_FILE, CONFIG_FILE, ENVIRONMENT_FILE, LOG_FILE], tracker)
    with reading(run, HISTORY_FILE, tracker):
        history: History = json.loads(files[HISTORY_FILE].read_text(encoding="utf-8"))
        check_scalars(run, HISTORY_FILE, scores_of_history(history), tracker)
    with reading(run, PREDICTIONS_FILE, tracker):
        predictions = pd.read_parquet(files[PREDICTIONS_FILE])
        check_scalars(run, PREDICTIONS_FILE, scores_of_predictions(predictions), tracker)
    return history, predictions


def _class_names(run: Run, tracker: Tracker) -> tuple[str, ...]:
    """Return the names of a run's classes; empty for runs of earlier versions, which did not store them."""
    files = found(run, [CLASSES_FILE], tracker)
    return tuple(json.loads(files[CLASSES_FILE].read_text(encoding="utf-8"))) if files else ()


def read_declaration(study: StoredStudy, tracker: Tracker) -> Declaration | None:
    """Return the declaration of a study; None if it has none. UsageError if it does not match its hash or the manifest."""
    declaration = declared_of(study.parent, tracker)
    if declaration and declaration.plan.effective() != study.manifest.plan.effective():
        raise unfit(study.parent, MANIFEST_FILE, f"must hold the plan of {PLAN_FILE}, got another", tracker)
    return declaration


def declared_of(parent: Run, tracker: Tracker) -> Declaration | None:
    """Return the declaration that is stored with the parent run of a study; None if there is none.

    UsageError if it does not match the hash in the run's tags.
    """
    promised = parent.tags.get("plan_hash")
    if not promised:
        return None
    file = read(parent, [PLAN_FILE], tracker)[PLAN_FILE]
    with reading(parent, PLAN_FILE, tracker):
        declaration = Declaration.model_validate_json(file.read_text(encoding="utf-8"))
    if declaration.hash != promised:
        said = f"must be what was declared (hash {promised[:12]}), got hash {declaration.hash[:12]}"
        raise unfit(parent, PLAN_FILE, said, tracker)
    return declaration


def read_ledger(parent: Run, tracker: Tracker) -> pd.DataFrame:
    """Return the ledger of looks of a study; it has no rows before the first look."""
    files = found(parent, [LEDGER_FILE], tracker)
    if not files:
        return pd.DataFrame(columns=[*LEDGER, "at"])
    with reading(parent, LEDGER_FILE, tracker):
        return ledger_of(files[LEDGER_FILE].read_text(encoding="utf-8"))


def read_advice(parent: Run, tracker: Tracker) -> pd.DataFrame | None:
    """Return the encoding doctor's advice on the models of a study, from before their first run; None if there is none."""
    files = found(parent, [ADVICE_FILE], tracker)
    if not files:
        return None
    with reading(parent, ADVICE_FILE, tracker):
        return advice_of(files[ADVICE_FILE].read_text(encoding="utf-8"))
