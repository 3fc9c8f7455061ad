"""The time-use audit: whether models use the times or the order of events, and how many events they need.

Altered sequences are unlike training sequences: a loss of accuracy shows what this model relied on, not what any model needs.
"""

from collections.abc import Sequence

import pandas as pd

from analysis.analyses.probed import measured, not_measured, of_test_set, over_seeds, sequences_of
from analysis.figures import anytime_figure, time_use_figure
from analysis.findings import Finding
from analysis.results import Results
from analysis.wording import interval, markdown_table, percent, points

NAME, TITLE = "time_use", "Do the models use time?"
ORIGINAL, ORDER = "true times", "rank only"
LARGE = {ORIGINAL, ORDER, "constant", "shuffled gaps", "reversed"}
"""Alterations other than the small ones, which keep most of the information of the times."""


def time_use(results: Results) -> Finding:
    """Say what each model loses under altered times, and how early it knows."""
    probed, prefixes = measured(results, "time_use"), measured(results, "anytime")
    if probed is None:
        return not_measured(NAME, TITLE, "time_use")
    level = 1 - results.plan.alpha
    losses = loss_table(probed, level)
    seen = sequences_of(probed, results)
    tables = {"losses": losses}
    figures = {"time_use": time_use_figure(probed, results.models, seen)}
    summary = _summary(losses, results, int(probed["sequences"].iloc[0]))
    if prefixes is not None:
        tables["anytime"] = over_seeds(prefixes, ["model", "events"], "accuracy", level)
        figures["anytime_accuracy"] = anytime_figure(prefixes, results.models, seen)
        summary += f"\n\n{_early(tables['anytime'], results.models, seen)}"
    return Finding(NAME, TITLE, summary, tables=tables, figures=figures, listed=())


def loss_table(probed: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return the accuracy by model and alteration, and its change from the true times with an interval over seeds."""
    true = probed[probed["alteration"] == ORIGINAL].set_index(["model", "seed"])["accuracy"]
    keys = pd.MultiIndex.from_frame(probed[["model", "seed"]])
    changed = probed.assign(change=probed["accuracy"].to_numpy() - true.reindex(keys).to_numpy())
    by = ["model", "alteration", "leaves"]
    table = over_seeds(changed, by, "change", level).rename(
        columns={"mean": "change", "low": "change_low", "high": "change_high"}
    )
    means = changed.groupby(by, sort=False)[["accuracy", "unchanged"]].mean().reset_index()
    return means.merge(table, on=by)


def _summary(losses: pd.DataFrame, results: Results, sequences: int) -> str:
    lines = [
        (
            f"Accuracy on {of_test_set(sequences, results)} after their times were altered; changes in points with intervals "
            "over seeds, for these sequences. Altered sequences are unlike those of the training: a loss says what a model "
            "relied on, not that it could not have learned to do without."
        ),
        "",
    ]
    for model in results.models:
        rows = {str(row["alteration"]): row for _, row in losses[losses["model"] == model].iterrows()}
        if not rows:
            lines.append(f"- {model}: not measured.")
            continue
        true, order = rows[ORIGINAL], rows[ORDER]
        worst = min((row for name, row in rows.items() if name not in LARGE), key=lambda row: row["change"])
        lines.append(
            f"- {model}: {percent(true['accuracy'])} with the true times, {percent(order['accuracy'])} with their order "
            f"alone ({_change(order)}): {_verdict(order, max(results.plan.margin, 1 / sequences))}. Of the small changes it suffers most "
            f"from times {worst['alteration']} ({_change(worst)})."
        )
    return "\n".join(lines)


def _early(anytime: pd.DataFrame, models: Sequence[str], sequences: str) -> str:
    """Return a table of the accuracy after the first events."""
    counts = list(dict.fromkeys(anytime["events"]))
    cells = {(row["model"], row["events"]): _rate(row) for _, row in anytime.iterrows()}
    rows = [[model, *(cells.get((model, count), "") for count in counts)] for model in models]
    return markdown_table(
        ["Model", *(f"first {count}" if count else "all" for count in counts)],
        rows,
        caption=f"Accuracy in percent on {sequences} of which only the first events are shown, with intervals over seeds",
    )


def _rate(row: pd.Series) -> str:
    if pd.isna(row["low"]):
        return f"{100 * row['mean']:.1f}"
    return f"{100 * row['mean']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def _change(row: pd.Series) -> str:
    return f"{points(row['change'])}, {interval(row['change_low'], row['change_high'])}"


def _verdict(row: pd.Series, margin: float) -> str:
    """Return in words whether accuracy needs the times, from the interval of the loss without them."""
    if pd.isna(row["change_high"]):
        return "one seed, no verdict"
    if row["change_high"] < 0:
        return "it relies on the times"
    if max(abs(row["change_low"]), abs(row["change_high"])) < margin:
        return f"the order is enough, within {100 * margin:.2g} points"
    return "undecided whether the order is enough"
