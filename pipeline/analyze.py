"""Analysis of a study from the tracking store alone; the results are written to a folder and to the study's run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

import pandas as pd

from analysis import run_analyses
from analysis.analyses.promotion import chosen_run
from analysis.figures import SCRIPT_FILE, Figure, FigureError, plot_script, to_html, to_images
from analysis.figures.parts.style import colours
from analysis.findings import Finding
from analysis.report.html import page
from analysis.report.markdown import description
from analysis.results import Results
from analysis.wording import plural
from pipeline.console import phase, say
from pipeline.evidence import left_out, read
from pipeline.output import check_output, deliver
from pipeline.run_record import BEST_FILE, COLOUR, ENVIRONMENT_FILE, LOG_FILE
from pipeline.stored_study import StoredStudy, load_results
from pipeline.texts import REPORT_FILE, numbers_of, table_of, texts_of
from pipeline.tracking import Tracker

PAIRS_FILE = "significance.json"
SITE = "site"
"""The tag of a study's run with the address that its report links to, which depends on who analysed it."""
"""Artifact of the study's run: the verdicts as a table of the tracking UI."""
COLUMNS = (
    "test_accuracy",
    "validation_accuracy",
    "negative_log_likelihood",
    "calibration_error",
    "parameters",
    "epoch_seconds",
)
"""Metrics that the tracking UI shows in the list of a study's runs."""


def analyze_study(study: StoredStudy, tracker: Tracker, *, output: Path, allow_missing: bool) -> list[Finding]:
    """Analyse a study, write its outputs to `output` and to its run, and return the findings.

    Everything is computed before anything is written. Without a browser, everything except the images is written, and a note
    says so.
    """
    check_output(output, study.id)
    phase("analysing")
    site = site_of(tracker)
    derived = derive(study, tracker, allow_missing=allow_missing, site=site)
    findings, figures = derived.findings, derived.figures
    phase(f"drawing {plural(len(figures), 'figure')}")
    images, problem = _drawn(figures)
    drawings = {stem: image.decode() for stem, image in images["svg"].items()}
    pages = {f"{stem}.html": to_html(stem, figure, drawings.get(stem, "")) for stem, figure in figures.items()}
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, text in {**derived.texts, SCRIPT_FILE: plot_script(), **pages}.items():
            (folder / name).write_text(text, encoding="utf-8")
        for kind, drawn in images.items():
            for stem, image in drawn.items():
                (folder / f"{stem}.{kind}").write_bytes(image)
        (folder / "logs").mkdir()
        for name, (run_id, path) in derived.files.items():
            if not left_out(run := tracker.get(run_id), path):
                copyfile(read(run, [path], tracker)[path], folder / name)
        # Files of the runs are in the store already, and a page that the tracking UI shows cannot load the script from there.
        deliver(folder, output, tracker, study.parent.id, unstored={*derived.files, SCRIPT_FILE})
    tracker.log_scalars(study.parent.id, derived.metrics)
    tracker.log_table(study.parent.id, PAIRS_FILE, table_of(findings, "significance", "pairs"))
    for finding in findings:
        for name, table in finding.shown().items():
            tracker.log_table(study.parent.id, f"tables/{finding.name}_{name}.json", table)
    linked = {SITE: site} if site != study.parent.tags.get(SITE, "") else {}
    tracker.set_tags(study.parent.id, {"mlflow.note.content": description(findings, derived.pages), **linked})
    _describe_runs(derived, tracker)
    tracker.save_view(study.id, f"{study.name} {study.id}", [study.parent.id, *derived.numbers], COLUMNS)
    if problem:
        say(f"Note. {problem}")
    return findings


@dataclass(frozen=True)
class Derived:
    """Everything that follows from the stored runs of a study; deriving it again gives the same bits."""

    findings: list[Finding]
    figures: dict[str, Figure]
    texts: dict[str, str]
    """Texts for the folder of results, by file name, without the figures."""
    files: dict[str, tuple[str, str]]
    """Files of the runs for the folder of results, by file name: the id of the run and the path of the artifact."""
    metrics: dict[str, float]
    """Metrics of the study's own run."""
    numbers: dict[str, dict[str, float]]
    """Metrics of each run, by its id."""
    colours: dict[str, str]
    """The colour of each run's model, by the run's id."""
    pages: dict[str, str]
    """Address of each run's page, by the run's id, relative to the store's site."""


def _describe_runs(derived: Derived, tracker: Tracker) -> None:
    """Record with each run its metrics, and the colour of its model in the figures."""
    for run_id, run in tracker.get_all(list(derived.numbers)).items():
        tracker.log_scalars(run_id, derived.numbers[run_id])
        if run.tags.get(COLOUR) != derived.colours[run_id]:
            tracker.set_tags(run_id, {COLOUR: derived.colours[run_id]})


def addresses(study: StoredStudy, tracker: Tracker) -> dict[str, str]:
    """Return the addresses at which the tracking UI shows an analysed study, by content; empty if the store has no pages."""
    if not tracker.site:
        return {}
    pages = {
        "answer": tracker.page(study.parent.id),
        "report": tracker.page(study.parent.id, "analysis_report.html"),
        "runs": tracker.view(study.id),
        "charts": tracker.view(study.id, charts=True),
    }
    return {name: f"{tracker.site}{page}" for name, page in pages.items()}


def links(study: StoredStudy, tracker: Tracker) -> list[str]:
    """Return one line for each of the `addresses`."""
    return [f"{name} in MLflow: {address}" for name, address in addresses(study, tracker).items()]


def site_of(tracker: Tracker) -> str:
    """Return the address before those of pages where a server shows them to everybody, and nothing elsewhere."""
    return tracker.site if tracker.uri.startswith("http") else ""


def derive(study: StoredStudy, tracker: Tracker, *, allow_missing: bool, site: str) -> Derived:
    """Analyse a study; its report links to the pages of the runs at `site`, and to none where that is empty."""
    results = load_results(study, tracker, allow_missing=allow_missing)
    findings = run_analyses(results)
    figures = {stem: figure for finding in findings for stem, figure in finding.figures.items()}
    first = tracker.get(results.runs["run_id"].iloc[0])
    environment = json.loads(read(first, [ENVIRONMENT_FILE], tracker)[ENVIRONMENT_FILE].read_text(encoding="utf-8"))
    pages = {run_id: tracker.page(run_id) for run_id in results.runs["run_id"]}
    linked = {run_id: f"{site}{page}" for run_id, page in pages.items()} if site else {}
    texts = texts_of(results, findings, study=study.id, name=study.name, links=linked, environment=environment)
    texts["analysis_report.html"] = page(texts[REPORT_FILE], figures)
    colour = colours(results.models)
    return Derived(
        findings=findings,
        figures=figures,
        texts=texts,
        files=_files_of(results),
        metrics=_metrics(findings, study.manifest.plan.primary_metric),
        numbers=numbers_of(results, findings),
        colours={str(run["run_id"]): colour[run["model"]] for _, run in results.runs.iterrows()},
        pages=pages,
    )


def _metrics(findings: list[Finding], primary: str) -> dict[str, float]:
    """Return the metrics of the study's own run: the primary metric of the leading model, and how many pairs are decided."""
    pairs = table_of(findings, "significance", "pairs")
    verdicts = pairs.loc[pairs["declared"], "verdict"] if len(pairs) else pd.Series(dtype=str)
    return {
        f"leader_{primary}": float(table_of(findings, "overview", "models")[f"{primary}_mean"].max()),
        "pairs": len(verdicts),
        "pairs_decided": int((verdicts != "undecided").sum()),
    }


def _drawn(figures: Mapping[str, Figure]) -> tuple[dict[str, dict[str, bytes]], FigureError | None]:
    """Return the figures as PNG and SVG, by kind; without a browser, return no images and the error."""
    try:
        return to_images(figures), None
    except FigureError as error:
        return {"png": {}, "svg": {}}, error


def _files_of(results: Results) -> dict[str, tuple[str, str]]:
    """Return the log of every run, and the weights of each model's best seed by validation; ties go to the lower seed."""
    files = {
        f"logs/{run['model']}-seed{run['seed']}.log": (str(run["run_id"]), LOG_FILE)
        for _, run in results.runs.iterrows()
    }
    for model in results.models:
        files[f"{model}_best.pth"] = str(chosen_run(results, model)["run_id"]), BEST_FILE
    return files
