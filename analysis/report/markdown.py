"""Findings as Markdown: the answer first, then the verdicts, then their numbers, then all other findings.

A p is never written without its effect and interval.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from analysis.figures import described
from analysis.findings import Finding
from analysis.metrics.curves import STABILITY_WINDOW
from analysis.metrics.registry import BY_NAME, Metric
from analysis.report.answer import answer, headline
from analysis.wording import (
    UNKNOWN,
    as_words,
    bullets,
    couples,
    markdown_table,
    plain,
    plural,
    printable,
    with_interval,
)

MODEL_METRICS = ("best_accuracy", "final_accuracy", "training_stability", "parameters", "epoch_seconds")
RUN_METRICS = (
    "test_accuracy",
    "balanced_accuracy",
    "macro_f1",
    "best_accuracy",
    "final_accuracy",
    "best_epoch",
    "convergence_epoch",
    "total_seconds",
)
LISTED_ROWS = 30
"""Number of rows of an analysis's table that the report shows."""
DESCRIPTION = 8_000
REST = "\n\nThe rest is in the report among the artifacts.\n"
NO_VERDICT = "No verdict: the significance analysis was not run, or has nothing to compare."
LEARNING = f" Stability over at most {STABILITY_WINDOW} epochs is mostly learning."
Links = Mapping[str, str]


def verdict_lines(findings: Sequence[Finding]) -> list[str]:
    """Return the verdict on each declared pair, one sentence per pair."""
    significance = _find(findings, "significance")
    return list(significance.data.get("verdicts", [])) if significance else []


def verdict_markdown(findings: Sequence[Finding], links: Links | None = None, *, runs: bool = True) -> str:
    """Return banners, verdicts and the tables of results; the table of single runs only if `runs` is True."""
    results = _results(findings, links or {})
    parts = [
        *_banners(findings),
        *(_verdicts(findings) or [NO_VERDICT]),
        *_stamp(findings),
        *(results if runs else results[:-1]),
    ]
    return "\n\n".join(parts) + "\n"


def description(findings: Sequence[Finding], links: Links | None = None) -> str:
    """Return the answer in a sentence, the results, the verdicts and the notes, for a run's description.

    MLflow keeps `DESCRIPTION` characters of it: a longer description loses the table of single runs first, and then its end.
    """
    results = _results(findings, links or {})
    verdicts = _verdicts(findings) or [NO_VERDICT]
    parts = [*headline(findings), *results[:1], *verdicts, *_banners(findings), *_stamp(findings), *results[1:2]]
    for runs in (results[2:], []):
        if len(text := "\n\n".join([*parts, *runs]) + "\n") <= DESCRIPTION:
            return text
    return text[: text.rindex("\n", 0, DESCRIPTION - len(REST))] + REST


def report(
    findings: Sequence[Finding],
    *,
    title: str = "Comparison of time embeddings",
    links: Links | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Return the whole report; `links` maps run ids to addresses. Figures are expected in the same folder, as PNG."""
    answered, results = answer(findings), _results(findings, links or {})
    parts = [f"# {title}", *(["## Answer", *answered] if answered else []), *_banners(findings)]
    parts += ["## Verdict", *_verdict_section(findings)]
    if results:
        parts += ["## Results", *results, _every_metric(findings)]
    if matrix := _figures(_find(findings, "significance"), ["statistical_significance"]):
        parts += ["## Every pair of models", *matrix]
    parts.append("What follows was not declared in the plan: it describes, and decides nothing.")
    for finding in findings:
        if finding.name not in {"overview", "significance"}:
            parts += [*section(finding), *_listed(finding)]
    return "\n\n".join([*parts, *_plan(findings), *_environment(findings, environment or {})]) + "\n"


def section(finding: Finding) -> list[str]:
    """Return a finding as blocks of Markdown: heading, summary, figures."""
    return [f"## {finding.title}", finding.summary, *_figures(finding)]


def results_rows(findings: Sequence[Finding]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of the table of results, one row per model."""
    overview = _find(findings, "overview")
    if overview is None:
        return [], []
    primary = overview.data["primary_metric"]
    header = ["Model", "Seeds", f"{BY_NAME[primary].title} ({100 * overview.data['level']:g} % interval)"]
    header += [BY_NAME[name].title for name in _beside(primary)]
    header += ["Best accuracy *", "Convergence epoch", *(BY_NAME[name].title for name in MODEL_METRICS[1:])]
    models = overview.tables["models"]
    return header, [[str(cell) for cell in _model_row(row, primary)] for _, row in models.iterrows()]


def banner_lines(findings: Sequence[Finding]) -> list[str]:
    """Return warnings that a reader needs before trusting the numbers, one or two sentences each."""
    overview = _find(findings, "overview")
    return list(overview.data["banners"]) if overview else []


def _find(findings: Sequence[Finding], name: str) -> Finding | None:
    return next((finding for finding in findings if finding.name == name), None)


def _banners(findings: Sequence[Finding]) -> list[str]:
    banners = banner_lines(findings)
    return ["\n>\n".join(f"> **Note.** {banner}" for banner in banners)] if banners else []


def _stamp(findings: Sequence[Finding]) -> list[str]:
    """Return statements on the validity of the headline test in this study, and on whether the plan was kept."""
    calibration, significance = (_find(findings, name) for name in ("calibration", "significance"))
    caution = significance.data.get("caution") if significance else ""
    stamp = [*([caution] if caution else []), *([calibration.data["stamp"]] if calibration else [])]
    count = len(significance.data.get("deviations", [])) if significance else 0
    return [*stamp, f"{plural(count, 'deviation')} from the plan, listed with it."] if count else stamp


def _verdicts(findings: Sequence[Finding]) -> list[str]:
    """Return the number of pairs per verdict, and one bullet per pair with the verdict in bold; empty without pairs."""
    significance, lines = _find(findings, "significance"), verdict_lines(findings)
    if not significance or "counted" not in significance.data:
        return []
    said = [line.partition(":") for line in lines]
    verdicts = [bullets([f"**{verdict}**:{rest}" for verdict, _, rest in said])] if said else []
    return [str(significance.data["counted"]), *verdicts]


def _verdict_section(findings: Sequence[Finding]) -> list[str]:
    """Return the verdicts, the figures of differences and accuracies, and then the basis of the verdicts."""
    significance, accuracies = _find(findings, "significance"), _figures(_find(findings, "overview"))
    if significance is None:
        return [NO_VERDICT, *accuracies]
    notes = significance.data.get("notes", significance.summary)
    return [*_verdicts(findings), *_figures(significance, ["differences"]), *accuracies, notes, *_stamp(findings)]


def _figures(finding: Finding | None, stems: Sequence[str] | None = None) -> list[str]:
    """Return the figures of a finding, all or only the given stems, each with its description in words."""
    figures = finding.figures if finding else {}
    chosen = [stem for stem in figures if stems is None or stem in stems]
    return [f"![{plain(printable(described(figures[stem])))}]({stem}.png)" for stem in chosen]


def _listed(finding: Finding) -> list[str]:
    """Return the tables that an analysis lists, truncated if they are long."""
    found = []
    for name, table in finding.shown().items():
        cut = f" (the first {LISTED_ROWS} of {len(table):,} rows)" if len(table) > LISTED_ROWS else ""
        header = [as_words(str(column)).replace("_", " ") for column in table]
        rows = [[_cell(value) for value in row] for row in table.head(LISTED_ROWS).itertuples(index=False)]
        found.append(markdown_table(header, rows, caption=f"{as_words(name).replace('_', ' ').capitalize()}{cut}"))
    return found


def _cell(value: object) -> str:
    if isinstance(value, float):
        return UNKNOWN if pd.isna(value) else f"{value:.4g}"
    return as_words(str(value))


def _results(findings: Sequence[Finding], links: Links) -> list[str]:
    overview = _find(findings, "overview")
    if overview is None:
        return []
    return [
        markdown_table(*results_rows(findings), caption="Results of the models"),
        (
            f"Means over seeds, on {overview.data['sequences']:,} test sequences; intervals over seeds and sequences. "
            "Convergence counts the seeds that reached it. * Chosen on the test split: reported, never compared."
            + (LEARNING if overview.tables["runs"]["epochs"].max() <= STABILITY_WINDOW else "")
        ),
        markdown_table(
            ["Run", *(BY_NAME[name].title for name in RUN_METRICS)],
            [_run_row(row, links) for _, row in overview.tables["runs"].iterrows()],
            caption="Results of the runs",
        ),
    ]


def _every_metric(findings: Sequence[Finding]) -> str:
    """Return a table with one row per metric, user-defined metrics included, and one column per model."""
    models = next(finding for finding in findings if finding.name == "overview").tables["models"]
    rows = [
        [metric.title, metric.better, *(_spread(metric, row) for _, row in models.iterrows())]
        for metric in BY_NAME.values()
    ]
    caption = "Every metric, mean ± standard deviation over seeds"
    return markdown_table(["Metric", "Better", *models["model"]], rows, caption=caption)


def _spread(metric: Metric, row: pd.Series) -> str:
    mean, deviation = row[f"{metric.name}_mean"], row[f"{metric.name}_sd"]
    return metric.show(mean) + (f" ± {metric.show(deviation)}" if deviation > 0 else "")


def _beside(primary: str) -> list[str]:
    """Return the metrics shown next to the primary one: the accuracy, unless it is the primary metric itself."""
    return [] if primary == "test_accuracy" else ["test_accuracy"]


def _model_row(row: pd.Series, primary: str) -> list[object]:
    shown = {name: _show(name, row[f"{name}_mean"]) for name in MODEL_METRICS}
    reached = f"{row['convergence_epoch_count']} of {row['seeds']}"
    converged = f"{row['convergence_epoch_mean']:.3g} ({reached})" if row["convergence_epoch_count"] else "not reached"
    value = with_interval(*(row[f"{primary}_{end}"] for end in ("mean", "low", "high")))
    beside = [_show(name, row[f"{name}_mean"]) for name in _beside(primary)]
    best, *others = shown.values()
    return [row["model"], row["seeds"], value, *beside, best, converged, *others]


def _run_row(row: pd.Series, links: Links) -> list[object]:
    name = f"{row['model']} seed {row['seed']}"
    address = links.get(row["run_id"])
    linked = f"[{name}]({address})" if address else name
    return [linked, *(_show(metric, row[metric]) for metric in RUN_METRICS)]


def _show(metric: str, value: float) -> str:
    shown = BY_NAME[metric].show(value)
    return "not reached" if metric == "convergence_epoch" and shown == UNKNOWN else shown


def _plan(findings: Sequence[Finding]) -> list[str]:
    significance = _find(findings, "significance")
    if significance is None or "plan" not in significance.data:
        return []
    data = significance.data
    plan = data["plan"] | {
        "reference": data["reference"],
        "exclusions": "; ".join(data["plan"]["exclusions"]) or "none",
    }
    if "pairs" in plan:
        plan["pairs"] = couples(plan["pairs"])
    if data["plan_hash"]:
        plan |= {"seeds": ", ".join(map(str, data["planned_seeds"]))}
        plan |= {"declared": data["declared"], "hash": data["plan_hash"]}
    deviated = bullets(data["deviations"]) or "None: the runs are those that were planned."
    return [
        "## Plan",
        markdown_table(["Setting", "Value"], plan.items(), caption="The plan as declared"),
        "### Deviations from the plan",
        deviated,
    ]


def _environment(findings: Sequence[Finding], environment: Mapping[str, str]) -> list[str]:
    overview = _find(findings, "overview")
    rows = [(name, ", ".join(values)) for name, values in overview.data["environment"].items()] if overview else []
    rows += list(environment.items())
    return ["## Environment", markdown_table(["Setting", "Value"], rows, caption="Where it ran")] if rows else []
