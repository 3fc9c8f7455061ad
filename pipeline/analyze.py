"""Analyse a study from the tracking store alone, and write what came out to a folder and to the study's run."""

import json
from collections.abc import Mapping
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from analysis import run_analyses
from analysis.figures import SCRIPT_FILE, Figure, FigureError, plot_script, to_html, to_png, to_svg
from analysis.findings import Finding
from analysis.report.html import page
from analysis.report.latex import results_table, significance_table
from analysis.report.markdown import description, report
from analysis.report.records import detailed_analysis, summary, training_histories
from analysis.results import Results
from pipeline.evidence import read
from pipeline.output import check_output, deliver
from pipeline.run_record import BEST_FILE, ENVIRONMENT_FILE, LOG_FILE
from pipeline.stored_study import StoredStudy, load_results
from pipeline.tracking import Tracker


def analyze_study(study: StoredStudy, tracker: Tracker, *, output: Path, allow_missing: bool) -> list[Finding]:
    """Analyse a study, write its outputs to `output` and to its run, and return the findings.

    Everything is computed before anything is written. Without a browser all but the PNGs is written, and then
    FigureError says so.
    """
    check_output(output, study.id)
    results = load_results(study, tracker, allow_missing=allow_missing)
    findings = run_analyses(results)
    figures = {stem: figure for finding in findings for stem, figure in finding.figures.items()}
    first = tracker.get(results.runs["run_id"].iloc[0])
    environment = json.loads(read(first, [ENVIRONMENT_FILE], tracker)[ENVIRONMENT_FILE].read_text(encoding="utf-8"))
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
    }
    images, problem = _drawn(figures)
    drawings = {stem: image.decode() for stem, image in images["svg"].items()}
    texts[SCRIPT_FILE] = plot_script()
    texts |= {f"{stem}.html": to_html(stem, figure, drawings.get(stem, "")) for stem, figure in figures.items()}
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
    tracker.log_scalars(study.parent.id, {f"{model}/test_accuracy": float(mean) for model, mean in means.items()})
    tracker.log_table(study.parent.id, "significance.json", _table(findings, "significance", "pairs"))
    tracker.set_tags(study.parent.id, {"mlflow.note.content": description(findings, pages)})
    if problem:
        raise problem
    return findings


def _drawn(figures: Mapping[str, Figure]) -> tuple[dict[str, dict[str, bytes]], FigureError | None]:
    """Return the figures as PNG and SVG, by kind; without a browser none, and the error."""
    try:
        return {"png": to_png(figures), "svg": to_svg(figures)}, None
    except FigureError as error:
        return {"png": {}, "svg": {}}, error


def _collect_runs(results: Results, tracker: Tracker, folder: Path) -> None:
    """Copy the log of every run, and the weights of each model's best seed by validation, then by seed."""
    (folder / "logs").mkdir()
    validation = results.curve("validation", "accuracy").max(axis=1).fillna(0)
    for _, run in results.runs.iterrows():
        copyfile(tracker.fetch(run["run_id"], LOG_FILE), folder / "logs" / f"{run['model']}-seed{run['seed']}.log")
    for model in results.models:
        best = validation.where(results.runs["model"] == model).argmax()
        chosen = tracker.get(str(results.runs["run_id"].iloc[best]))
        copyfile(read(chosen, [BEST_FILE], tracker)[BEST_FILE], folder / f"{model}_best.pth")


def _json(value: object) -> str:
    return json.dumps(value, indent=2, allow_nan=False)


def _table(findings: list[Finding], name: str, table: str) -> pd.DataFrame:
    return next(finding.tables[table] for finding in findings if finding.name == name)


def _machine(environment: dict[str, Any]) -> dict[str, str]:
    names = ("platform", "processor", "python", "threads", "numpy", "mlflow")
    return {name: str(environment[name]) for name in names if name in environment}
