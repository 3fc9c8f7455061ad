"""The report of an ablation study, as Markdown and as one self-contained HTML page."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.ablation.trials import Trials, label
from analysis.figures import Figure, sized
from analysis.findings import Finding
from analysis.report.html import page
from analysis.report.markdown import section
from analysis.wording import markdown_table, plural

SHOWN = 30
"""Rows of a table that the report shows."""
VALUES = {"mean", "low", "high", "sd", "best"}
GAPS = {"difference", "interaction"}


@dataclass(frozen=True, eq=False)
class Document:
    """A report and the figures it refers to."""

    markdown: str
    """The report; it expects the figures in the same folder, as PNG files named by their stems."""
    figures: Mapping[str, Figure]
    """Figures by file stem, in the order of the report."""

    def html(self) -> str:
        """Return the report as one self-contained HTML page."""
        return page(self.markdown, self.figures)


def ablation_report(
    trials: Trials,
    findings: Sequence[Finding],
    extra: Sequence[tuple[str, Figure]] = (),
    *,
    title: str = "Ablation study",
    head: str = "",
    shared: Mapping[str, object] | None = None,
) -> Document:
    """Return the report of findings.

    `head` is Markdown placed first, `extra` are plotly figures placed after ours, and `shared` are the settings common to all trials.
    """
    figures = {stem: figure for finding in findings for stem, figure in finding.figures.items()}
    seeds = plural(trials.scores.shape[1], "seed")
    parts = [
        f"# {title}",
        *([head.strip()] if head else []),
        (
            f"> **Note.** All values are {trials.goal} on the validation split ({trials.direction}), from {seeds} a "
            "complete trial. Settings were chosen on them; a claim needs the test split and new seeds."
        ),
    ]
    for finding in findings:
        parts += section(finding)
        for name, table in finding.tables.items():
            parts += _table(trials, name, table[_doublings(table)] if name == "expected_best" else table)
    if shared:
        rows = [[path, label(value)] for path, value in shared.items()]
        parts += [
            "## Settings of all trials",
            "What was varied is in the table of trials, and what goes with it alone, such as the settings of one embedding.",
            markdown_table(["setting", "value"], rows, caption="Settings that all complete trials share"),
        ]
    if extra:
        parts += [
            "## Plots of the search",
            "Drawn by the search itself from the same trials: they describe, without intervals.",
        ]
    for number, (heading, figure) in enumerate(extra, start=1):
        stem = f"search_{number}_{re.sub('[^a-z0-9]+', '_', heading.lower()).strip('_')}"
        figures[stem] = sized(figure)
        parts += [f"### {heading}", f"![{heading}]({stem}.png)"]
    return Document("\n\n".join(parts) + "\n", figures)


def _doublings(table: pd.DataFrame) -> pd.Series:
    """Return a mask of the rows of an expected-best table with n = 1, 2, 4, ... or the last n of their model."""
    return table["n"].isin(2 ** np.arange(32)) | (table["n"] == table.groupby("model")["n"].transform("max"))


def _table(trials: Trials, name: str, table: pd.DataFrame) -> list[str]:
    if table.empty:
        return []
    gaps = bool(GAPS & set(table.columns))
    columns = [str(column) for column in table]
    rows = [[_cell(trials, column, row[column], gaps) for column in columns] for _, row in table.head(SHOWN).iterrows()]
    cut = f" (the first {SHOWN} of {len(table):,} rows)" if len(table) > SHOWN else ""
    header = [column if column in trials.spaces else column.replace("_", " ") for column in columns]
    return [markdown_table(header, rows, caption=f"{name.replace('_', ' ').capitalize()}{cut}")]


def _cell(trials: Trials, column: str, value: object, gaps: bool) -> str:
    """Return a table cell as text; with `gaps`, the columns `low` and `high` are formatted as differences."""
    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    if isinstance(value, (bool, np.bool_)) and column not in trials.spaces:
        return "yes" if value else ""
    if column in GAPS or (gaps and column in {"low", "high"}):
        return trials.show_gap(float(value))  # type: ignore[arg-type]
    if column in VALUES:
        return trials.show(float(value))  # type: ignore[arg-type]
    if column in {"p", "p_holm"}:
        return "< 0.001" if value < 0.001 else f"{value:.3f}"  # type: ignore[operator]  # noqa: PLR2004
    return f"{value:.3g}" if isinstance(value, float) and column not in trials.spaces and value < 1e4 else label(value)  # noqa: PLR2004
