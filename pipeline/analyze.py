"""Analyse a study from the tracking store alone, and write what came out to a folder and to the study's run."""

import json
from dataclasses import dataclass
from math import nan
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from analysis import analyze as run_analyses
from analysis.analyses.disagreement import wanted_sequences
from analysis.figures import FigureError, to_html, to_png, to_svg
from analysis.findings import Finding
from analysis.plan import Declaration, Plan
from analysis.report.html import page
from analysis.report.latex import results_table, significance_table
from analysis.report.markdown import description, report
from analysis.report.records import detailed_analysis, summary, training_histories
from analysis.results import Results
from pipeline.errors import UsageError
from pipeline.probes import event_table, probe_tables
from pipeline.study import ABLATION_KIND, PLAN_FILE, STUDY_KIND, read_json
from pipeline.tracking import Run, Tracker
from pipeline.train import CLASSES_FILE

IDENTITY = ("config_hash", "data_digest", "code_digest", "torch_version", "precision", "device", "dataset")
METRICS = ("best_accuracy", "final_accuracy", "test_accuracy", "epoch_seconds", "total_seconds")
COSTS = ("flops", "peak_memory_bytes")
"""Not of every run: older ones lack them, and not every system tells its memory."""
COUNTS = ("parameters", "best_epoch", "epochs")


@dataclass(frozen=True)
class StoredStudy:
    """A study as the store has it: its parent run and what `study.json` there says."""

    parent: Run
    manifest: dict[str, Any]

    @property
    def id(self) -> str:
        """The hash of its plan and variants."""
        return str(self.manifest["id"])

    @property
    def name(self) -> str:
        """The stem of the file that it came from."""
        return str(self.manifest["name"])


def find_study(tracker: Tracker, wanted: str = "") -> StoredStudy:
    """Return a study by its id or the id of its run, the newest by default."""
    studies = tracker.find(kind=STUDY_KIND) + (tracker.find(kind=ABLATION_KIND) if wanted else [])
    chosen = [run for run in studies if not wanted or wanted in (run.id, run.tags["study"])]
    if not chosen:
        known = ", ".join(f"{run.tags['study']} ({run.name})" for run in studies[:5]) or "none yet"
        raise UsageError(
            f"--study: must be a study in {tracker.uri} (known: {known}), got {wanted or 'a store without any'}. "
            "Run compare first, or name a known one."
        )
    try:
        manifest = tracker.fetch(chosen[0].id, "study.json")
    except FileNotFoundError:
        raise UsageError(
            f"--study: must be a study of named models, got {wanted or chosen[0].id}, a grid, a search, or a study that "
            "ended before its first run. Read its own report, or run the study again."
        ) from None
    return StoredStudy(chosen[0], json.loads(manifest.read_text(encoding="utf-8")))


def load_results(study: StoredStudy, tracker: Tracker, *, allow_missing: bool, probes: bool = True) -> Results:
    """Read the runs of a study as tidy tables; ResultsError names the cells that are missing.

    Without `probes` the models themselves are not looked at, which takes seconds each.
    """
    runs, curves, predictions = [], [], []
    for cell in study.manifest["cells"]:
        key = {"run_id": cell["run_id"] or "", "model": cell["model"], "seed": cell["seed"]}
        run = tracker.get(cell["run_id"]) if cell["run_id"] else None
        if run is None or run.status != "FINISHED":
            runs.append({**key, "status": run.status if run else "MISSING"})
            continue
        numbers = {name: run.metrics[name] for name in METRICS} | {name: int(run.metrics[name]) for name in COUNTS}
        numbers |= {name: run.metrics.get(name, nan) for name in COSTS}
        # Runs from before these tags were written lack them.
        later = {
            "shared_code_digest": run.tags.get("shared_code_digest", "unknown"),
            "tuning_trials": study.manifest.get("tuning_trials", {}).get(cell["model"], 0),
        }
        runs.append({**key, "status": run.status, **{name: run.tags[name] for name in IDENTITY}, **later, **numbers})
        history = json.loads(tracker.fetch(run.id, "history.json").read_text(encoding="utf-8"))
        curves.append(_curves(history).assign(**key))
        predictions.append(pd.read_parquet(tracker.fetch(run.id, "predictions.parquet")).assign(**key))
    if not predictions:
        raise UsageError(f"study {study.id}: must have a finished run, got none. Run compare to train it.")
    finished = [(run["run_id"], run["model"], run["seed"]) for run in runs if run["status"] == "FINISHED"]
    results = Results(
        runs=pd.DataFrame(runs),
        curves=pd.concat(curves, ignore_index=True),
        predictions=pd.concat(predictions, ignore_index=True),
        probes=probe_tables(finished, tracker) if probes else {},
        plan=Plan.model_validate(study.manifest["plan"]),
        allow_missing=allow_missing,
        declaration=_declaration(study, tracker),
        class_names=_class_names(finished[0][0], tracker),
    )
    if wanted := wanted_sequences(results):
        events = event_table(str(results.runs["run_id"].iloc[0]), wanted, tracker)
        return results.with_probe("events", events)
    return results


def _class_names(run_id: str, tracker: Tracker) -> tuple[str, ...]:
    """Return what the classes of a run are called; nothing for runs from before that was stored."""
    try:
        return tuple(json.loads(tracker.fetch(run_id, CLASSES_FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ()


def _declaration(study: StoredStudy, tracker: Tracker) -> Declaration | None:
    """Return the plan as it was stored before the runs; one that does not fit its hash is refused."""
    promised = study.parent.tags.get("plan_hash")
    if not promised:
        return None
    text = tracker.fetch(study.parent.id, PLAN_FILE).read_text(encoding="utf-8")
    declaration = Declaration.model_validate_json(text)
    if declaration.hash != promised:
        raise UsageError(
            f"study {study.id}: {PLAN_FILE} must be what was declared (hash {promised[:12]}), got hash "
            f"{declaration.hash[:12]}. Restore the file."
        )
    return declaration


def _curves(history: list[dict[str, float]]) -> pd.DataFrame:
    """Return one row an epoch, split and metric."""
    long = pd.DataFrame(history).melt(id_vars="epoch", var_name="name")
    parts = long["name"].str.rpartition("/")
    return pd.DataFrame(
        {"epoch": long["epoch"].astype(int), "split": parts[0], "metric": parts[2], "value": long["value"]}
    )


def analyze(study: StoredStudy, tracker: Tracker, *, output: Path, allow_missing: bool) -> list[Finding]:
    """Analyse a study, write its outputs to `output` and to its run, and return the findings.

    Everything is computed before anything is written. Without a browser all but the PNGs is written, and then
    FigureError says so.
    """
    check_output(output, study.id)
    results = load_results(study, tracker, allow_missing=allow_missing)
    findings = run_analyses(results)
    figures = {stem: figure for finding in findings for stem, figure in finding.figures.items()}
    environment = json.loads(
        tracker.fetch(results.runs["run_id"].iloc[0], "environment.json").read_text(encoding="utf-8")
    )
    pages = {run_id: tracker.page(run_id) for run_id in results.runs["run_id"]}
    links = {
        run_id: f"{tracker.uri.rstrip('/')}/{page}" for run_id, page in pages.items() if tracker.uri.startswith("http")
    }
    markdown = report(findings, title=f"Study {study.name}", links=links, environment=_machine(environment))
    texts = {
        "training_histories.json": _json(training_histories(results)),
        "summary.json": _json({"study": study.id, "name": study.name, **summary(findings)}),
        "detailed_analysis.json": _json(detailed_analysis(findings)),
        "results_summary.csv": _table(findings, "overview", "models").to_csv(index=False),
        "significance.csv": _table(findings, "significance", "pairs").to_csv(index=False),
        "results_table.tex": results_table(findings),
        "significance_table.tex": significance_table(findings),
        "analysis_report.md": markdown,
        "analysis_report.html": page(markdown, figures),
        **{f"{stem}.html": to_html(figure) for stem, figure in figures.items()},
    }
    try:
        images, problem = {"png": to_png(figures), "svg": to_svg(figures)}, None
    except FigureError as error:
        images, problem = {}, error
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        for kind, drawn in images.items():
            for stem, image in drawn.items():
                (folder / f"{stem}.{kind}").write_bytes(image)
        _collect_runs(results, tracker, folder)
        deliver(folder, output, tracker, study.parent.id)
    means = _table(findings, "overview", "models").set_index("model")["test_accuracy_mean"]
    tracker.log_metrics(study.parent.id, {f"{model}/test_accuracy": float(mean) for model, mean in means.items()})
    tracker.log_table(study.parent.id, "significance.json", _table(findings, "significance", "pairs"))
    tracker.set_tags(study.parent.id, {"mlflow.note.content": description(findings, pages)})
    if problem:
        raise problem
    return findings


def check_output(output: Path, study_id: str) -> None:
    """Refuse a folder that holds the results of another study."""
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output: must be a folder, got {output}, which is a file. Name another one.")
    if not (output / "summary.json").is_file():
        return
    held = read_json(output / "summary.json").get("study")
    if held != study_id:
        raise UsageError(
            f"--output: must be a new folder or that of study {study_id}, got {output} with study {held}. "
            "Name another folder, or move that one away."
        )


def _collect_runs(results: Results, tracker: Tracker, folder: Path) -> None:
    """Copy the log of every run, and the weights of each model's best seed by validation, then by seed."""
    (folder / "logs").mkdir()
    validation = results.curve("validation", "accuracy").max(axis=1).fillna(0)
    for _, run in results.runs.iterrows():
        copyfile(tracker.fetch(run["run_id"], "train.log"), folder / "logs" / f"{run['model']}-seed{run['seed']}.log")
    for model in results.models:
        best = validation.where(results.runs["model"] == model).argmax()
        weights = tracker.fetch(str(results.runs["run_id"].iloc[best]), "checkpoints/best.pt")
        copyfile(weights, folder / f"{model}_best.pth")


def deliver(folder: Path, output: Path, tracker: Tracker, run_id: str) -> None:
    """Store every file of a folder with a run, and move it into the output folder, each whole or not at all."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        place = output / file.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        subfolder = file.parent.relative_to(folder).as_posix()
        tracker.log_file(run_id, file, "" if subfolder == "." else subfolder)
        temporary = place.with_name(f".{place.name}.tmp")
        copyfile(file, temporary)
        temporary.replace(place)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, allow_nan=False)


def _table(findings: list[Finding], name: str, table: str) -> pd.DataFrame:
    return next(finding.tables[table] for finding in findings if finding.name == name)


def _machine(environment: dict[str, Any]) -> dict[str, str]:
    names = ("platform", "processor", "python", "threads", "numpy", "mlflow")
    return {name: str(environment[name]) for name in names if name in environment}
