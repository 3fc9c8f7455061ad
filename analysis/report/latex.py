r"""LaTeX tables for a paper, to be included with `\input`; they need the package booktabs and have no caption."""

from collections.abc import Sequence
from math import isfinite, isnan

import pandas as pd

from analysis.findings import Finding
from analysis.metrics.registry import BY_NAME
from analysis.wording import UNKNOWN, points

COLUMNS = ("parameters", "flops", "epoch_seconds")
"""Metrics shown next to the primary one."""


def results_table(findings: Sequence[Finding]) -> str:
    """Return the table of results: the primary metric with its interval and the costs, one row per model."""
    overview = next(finding for finding in findings if finding.name == "overview")
    level, primary = f"{100 * overview.data['level']:g}", BY_NAME[overview.data["primary_metric"]]
    header = ["Model", "Seeds", f"{primary.title}, % [{level} % interval]"]
    header += [BY_NAME[name].title for name in COLUMNS]
    rows = [
        [
            row["model"],
            row["seeds"],
            _accuracy(*(100 * row[f"{primary.name}_{end}"] for end in ("mean", "low", "high"))),
            *(BY_NAME[name].show(row[f"{name}_mean"]).replace(UNKNOWN, "--") for name in COLUMNS),
        ]
        for _, row in overview.tables["models"].iterrows()
    ]
    note = f"Means over seeds; intervals over seeds and {overview.data['sequences']:,} test sequences."
    return _table("lrlrrr", header, rows, note)


def significance_table(findings: Sequence[Finding]) -> str:
    """Return the table of comparisons: difference, interval, p and verdict, one row per pair of models."""
    significance = next(finding for finding in findings if finding.name == "significance")
    pairs = significance.tables["pairs"]
    header = ["Model", "against", "Difference, points [interval]", "$p$", "$p$ (adjusted)", "$g$", "Verdict"]
    plan = significance.data.get("plan")  # None for a study of one model
    metric = f" of {BY_NAME[plan['primary_metric']].title.lower()}" if plan else ""
    rows = [
        [
            row["model_a"],
            row["model_b"],
            _difference(row),
            _p(row["p"]),
            _p(row["p_adjusted"]),
            f"${row['hedges_g']:.2f}$" if isfinite(row["hedges_g"]) else "--",
            row["verdict"] + ("" if row["declared"] else "*"),
        ]
        for _, row in pairs.iterrows()
    ]
    note = (
        f"Two-way test{metric} over seeds and sequences; intervals and the second p are adjusted for the number of pairs; "
        "g: Hedges' g; *: not declared in the plan."
    )
    return _table("llrrrrl", header, rows, note)


def _table(columns: str, header: Sequence[str], rows: Sequence[Sequence[object]], note: str) -> str:
    """Return rows as a tabular; special characters of LaTeX are escaped, except in formulas between dollars."""
    table = pd.DataFrame(rows, columns=list(header)).style.hide(axis="index")
    table = table.format(escape="latex-math").format_index(axis="columns", escape="latex-math")
    return f"% needs \\usepackage{{booktabs}}\n% {note}\n{table.to_latex(column_format=columns, hrules=True)}"


def _accuracy(value: float, low: float, high: float) -> str:
    return f"{value:.2f}" if pd.isna(low) else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _difference(row: pd.Series) -> str:
    """Return a signed difference in percentage points with its adjusted interval, typeset with minus signs."""
    if pd.isna(row["difference"]):
        return "--"
    value = f"${points(row['difference'])}$"
    return (
        value if pd.isna(low := row["adjusted_low"]) else f"{value} [${points(low)}$, ${points(row['adjusted_high'])}$]"
    )


def _p(p: float) -> str:
    if isnan(p):
        return "--"
    return "$< 0.001$" if p < 0.001 else f"${p:.3f}$"  # noqa: PLR2004  the usual floor of a printed p
