"""The answer of a study in a few lines: the leading model and its lead, the decided and undecided pairs, and the data behind them."""

from collections.abc import Sequence
from math import isnan

import pandas as pd

from analysis.findings import Finding
from analysis.metrics.registry import BY_NAME
from analysis.wording import bullets, interval, listing, plural, points, with_interval

MOST_PAIRS = 6
"""Number of pairs per verdict that the answer names; the section of verdicts names all."""


def answer(findings: Sequence[Finding]) -> list[str]:
    """Return blocks of Markdown: the leader in one sentence, then bullets; empty without a table of results."""
    by_name = {finding.name: finding for finding in findings}
    if "overview" not in by_name:
        return []
    overview, significance = by_name["overview"], by_name.get("significance")
    lines = [*_decisions(_pairs(significance)), _basis(overview, significance)]
    banners = overview.data["banners"]
    if banners:
        lines.append(f"**Mind {plural(len(banners), 'note')} below** before believing the numbers.")
    return [*headline(findings), bullets(lines)]


def headline(findings: Sequence[Finding]) -> list[str]:
    """Return a sentence on the model with the highest mean and its lead over the next; empty without a table of results."""
    by_name = {finding.name: finding for finding in findings}
    if "overview" not in by_name:
        return []
    metric = BY_NAME[by_name["overview"].data["primary_metric"]]
    mean, low, high = (f"{metric.name}_{end}" for end in ("mean", "low", "high"))
    models = by_name["overview"].tables["models"].sort_values(mean, ascending=False, kind="stable")
    first, title = models.iloc[0], metric.title.lower()
    shown = with_interval(first[mean], first[low], first[high])
    if len(models) == 1:
        return [f"**{first['model']} has a mean {title} of {shown}.** There is no other model to compare it with."]
    row = _between(_pairs(by_name.get("significance")), str(first["model"]), str(models.iloc[1]["model"]))
    ahead = f"It is {_ahead(row, str(first['model']))}" if row is not None else "No differences were tested."
    return [f"**{first['model']} has the highest mean {title}, {shown}.** {ahead}"]


def _pairs(significance: Finding | None) -> pd.DataFrame:
    return significance.tables["pairs"] if significance else pd.DataFrame()


def _between(pairs: pd.DataFrame, first: str, second: str) -> pd.Series | None:
    """Return the row of a pair of models, or None if they were not compared."""
    for _, row in pairs.iterrows():
        if {row["model_a"], row["model_b"]} == {first, second}:
            return row
    return None


def _ahead(row: pd.Series, first: str) -> str:
    """Return text on the lead of the first model over the other model of the pair, and whether it is decided."""
    sign, second = (1, row["model_b"]) if row["model_a"] == first else (-1, row["model_a"])
    decided = {
        "better": "a difference that is decided",
        "worse": "a difference that is decided",
        "equivalent": "and the two are equivalent within the margin",
        "undecided": "a difference that is not decided",
    }[row["verdict"]]
    explored = "" if row["declared"] else " (exploratory: the plan does not declare this pair)"
    return f"{_gap(row, sign)} ahead of {second}, the next: {decided}{explored}."


def _gap(row: pd.Series, sign: int) -> str:
    low, high = sorted((sign * row["adjusted_low"], sign * row["adjusted_high"]))
    within = "(no interval)" if isnan(low) else interval(low, high)
    return f"{points(sign * row['difference']).removeprefix('+')} points {within}"


def _decisions(pairs: pd.DataFrame) -> list[str]:
    """Return one line each for the different, the equivalent and the undecided declared pairs."""
    if pairs.empty:
        return []
    declared = pairs[pairs["declared"]]
    decided = declared[declared["verdict"].isin(["better", "worse"])]
    lines = [_line("Decided", decided, len(declared)) if len(decided) else "**Decided:** no pair."]
    for verdict, word in (("equivalent", "Equivalent"), ("undecided", "Not decided")):
        rows = declared[declared["verdict"] == verdict]
        if len(rows):
            lines.append(_line(word, rows, len(declared)))
    return lines


def _line(word: str, rows: pd.DataFrame, declared: int) -> str:
    named = [_pair(row) for _, row in rows.head(MOST_PAIRS).iterrows()]
    more = f", and {len(rows) - MOST_PAIRS} more under Verdict" if len(rows) > MOST_PAIRS else ""
    tail = ". This study cannot tell; it does not say that they are alike" if word == "Not decided" else ""
    return f"**{word}**, {len(rows)} of {plural(declared, 'declared pair')}: {', '.join(named)}{more}{tail}."


def _pair(row: pd.Series) -> str:
    """Return a pair and its difference, with the better model first if there is one, and with the deciding look if there are looks."""
    sign = -1 if row["verdict"] == "worse" else 1
    first, second = (row["model_a"], row["model_b"]) if sign > 0 else (row["model_b"], row["model_a"])
    word = "over" if row["verdict"] in {"better", "worse"} else "and" if row["verdict"] == "equivalent" else "against"
    low, high = sorted((sign * row["adjusted_low"], sign * row["adjusted_high"]))
    within = ", no interval" if isnan(low) else f" {interval(low, high)}"
    look = f", decided at {row['look']} seeds" if row.get("look") and row["verdict"] != "undecided" else ""
    return f"{first} {word} {second} ({points(sign * row['difference'])} points{within}{look})"


def _basis(overview: Finding, significance: Finding | None) -> str:
    """Return the data, models and seeds behind the answer, and when its plan was declared."""
    models, data = overview.tables["models"], overview.data
    counts = sorted(set(models["seeds"]))
    seeds = plural(int(counts[0]), "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
    sets = listing(data["environment"]["dataset"])
    at_look = "at the level of the look and " if "level" in _pairs(significance) else ""
    said = (
        f"**Rests on** {plural(len(models), 'model')} x {seeds} x {plural(data['sequences'], 'test sequence')} of {sets}; "
        f"intervals at {100 * data['level']:g} %, those of differences {at_look}adjusted for the number of pairs"
    )
    if significance is None or "declared" not in significance.data:
        return f"{said}."
    declared = str(significance.data["declared"])[:10]
    return f"{said}. Plan declared on {declared}." if declared else f"{said}. No plan was stored before the runs."
