"""Analyse a study from the tracking store alone, and write what came out to a folder and to the study's run."""

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.plan import Plan
from analysis.results import Results
from pipeline.errors import UsageError
from pipeline.tracking import Run, Tracker

STUDY = "study"
"""Value of the tag `kind` on the parent run of a study."""
IDENTITY = ("config_hash", "data_digest", "code_digest", "torch_version", "precision", "device", "dataset")
SUMMARY = (
    "parameters",
    "best_accuracy",
    "final_accuracy",
    "test_accuracy",
    "best_epoch",
    "epochs",
    "epoch_seconds",
    "total_seconds",
)
WHOLE = ("parameters", "best_epoch", "epochs")


@dataclass(frozen=True)
class StoredStudy:
    """A study as the store has it: its parent run and what `study.json` there says."""

    parent: Run
    manifest: dict[str, Any]

    @property
    def id(self) -> str:
        """The hash of its plan and variants."""
        return str(self.manifest["id"])


def find_study(tracker: Tracker, wanted: str = "") -> StoredStudy:
    """Return a study by its id or the id of its run, the newest by default."""
    studies = tracker.find(kind=STUDY)
    chosen = [run for run in studies if not wanted or wanted in (run.id, run.tags["study"])]
    if not chosen:
        have = f"got {wanted or 'a store without any'}"
        known = ", ".join(f"{run.tags['study']} ({run.name})" for run in studies[:5]) or "none"
        raise UsageError(f"--study: must be a study of {tracker.uri}, {have}. Known: {known}. Run compare first.")
    return StoredStudy(chosen[0], json.loads(tracker.fetch(chosen[0].id, "study.json").read_text()))


def load_results(study: StoredStudy, tracker: Tracker, *, allow_missing: bool) -> Results:
    """Read the runs of a study as tidy tables; ResultsError names the cells that are missing."""
    runs, curves, predictions = [], [], []
    for cell in study.manifest["cells"]:
        key = {"run_id": cell["run_id"] or "", "model": cell["model"], "seed": cell["seed"]}
        run = tracker.get(cell["run_id"]) if cell["run_id"] else None
        if run is None or run.status != "FINISHED":
            runs.append({**key, "status": run.status if run else "MISSING"})
            continue
        summary = {name: int(run.metrics[name]) if name in WHOLE else run.metrics[name] for name in SUMMARY}
        runs.append({**key, "status": run.status, **{name: run.tags[name] for name in IDENTITY}, **summary})
        history = json.loads(tracker.fetch(run.id, "history.json").read_text())
        curves.append(_curves(history).assign(**key))
        predictions.append(pd.read_parquet(tracker.fetch(run.id, "predictions.parquet")).assign(**key))
    if not predictions:
        raise UsageError(f"study {study.id}: must have a finished run, got none. Run compare to train it.")
    return Results(
        runs=pd.DataFrame(runs),
        curves=pd.concat(curves, ignore_index=True),
        predictions=pd.concat(predictions, ignore_index=True),
        plan=Plan.model_validate(study.manifest["plan"]),
        allow_missing=allow_missing,
    )


def _curves(history: list[dict[str, float]]) -> pd.DataFrame:
    """Return one row an epoch, split and metric."""
    long = pd.DataFrame(history).melt(id_vars="epoch", var_name="name")
    parts = long["name"].str.rpartition("/")
    return pd.DataFrame({"epoch": long["epoch"], "split": parts[0], "metric": parts[2], "value": long["value"]})
