"""The report and the tables of a study as texts: the same findings give the same bytes. It imports neither torch nor a store."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.analyses.time_use import ORDER, ORIGINAL
from analysis.findings import Finding
from analysis.report.latex import results_table, significance_table
from analysis.report.markdown import report
from analysis.report.records import detailed_analysis, summary, training_histories
from analysis.results import Results

REPORT_FILE = "analysis_report.md"
"""The report; its presence shows that a study was analysed."""


def texts_of(
    results: Results,
    findings: Sequence[Finding],
    *,
    study: str,
    name: str,
    environment: Mapping[str, Any],
    links: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return every text of a study except its HTML page, by file name; `study` is the id and `name` the name of the study.

    `links` are addresses of runs, by their ids.
    """
    return {
        "training_histories.json": _json(training_histories(results)),
        "summary.json": _json({"study": study, "name": name, **summary(findings)}),
        "detailed_analysis.json": json.dumps(detailed_analysis(findings), allow_nan=False),
        "results_summary.csv": table_of(findings, "overview", "models").to_csv(index=False),
        "significance.csv": table_of(findings, "significance", "pairs").to_csv(index=False),
        "results_table.tex": results_table(findings),
        "significance_table.tex": significance_table(findings),
        REPORT_FILE: report(findings, title=f"Study {name}", links=links, environment=_machine(environment)),
    }


def table_of(findings: Sequence[Finding], name: str, table: str) -> pd.DataFrame:
    """Return the table `table` of the finding `name`."""
    return next(finding.tables[table] for finding in findings if finding.name == name)


def numbers_of(results: Results, findings: Sequence[Finding]) -> dict[str, dict[str, float]]:
    """Return the metrics of each run, by the run's id, with its accuracy under altered times; metrics without a value are left out."""
    table = table_of(findings, "overview", "runs").set_index("run_id").drop(columns=["model", "seed"])
    if (probed := results.probes.get("time_use")) is not None:
        shown = probed[probed["alteration"].isin([ORIGINAL, ORDER])]
        names = "time_use/" + shown["alteration"].str.replace(" ", "_")
        table = table.join(shown.assign(name=names).pivot_table(index="run_id", columns="name", values="accuracy"))
    return {
        str(run_id): {str(name): float(value) for name, value in row.dropna().items()}
        for run_id, row in table.iterrows()
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=2, allow_nan=False)


def _machine(environment: Mapping[str, Any]) -> dict[str, str]:
    names = ("platform", "processor", "python", "threads", "numpy", "mlflow")
    told = {name: str(environment[name]) for name in names if name in environment}
    return told | ({"data": "; ".join(environment["notes"])} if environment.get("notes") else {})
