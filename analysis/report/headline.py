"""The answer of a study in a sentence: who leads, by how much, and whether that is decided."""

from collections.abc import Sequence

import pandas as pd

from analysis.findings import Finding
from analysis.wording import interval, points, with_interval


def headline(findings: Sequence[Finding]) -> list[str]:
    """Return the sentence in Markdown; nothing without a table of results."""
    by_name = {finding.name: finding for finding in findings}
    if "overview" not in by_name:
        return []
    models = by_name["overview"].tables["models"].sort_values("test_accuracy_mean", ascending=False, kind="stable")
    first = models.iloc[0]
    rate = with_interval(first["test_accuracy_mean"], first["test_accuracy_low"], first["test_accuracy_high"])
    said = f"**{first['model']}** leads with a mean test accuracy of {rate}"
    if len(models) == 1:
        return [f"{said}: it is the only model."]
    second = str(models.iloc[1]["model"])
    pairs = by_name["significance"].tables["pairs"] if "significance" in by_name else pd.DataFrame()
    gaps = [_gap(row, str(first["model"])) for _, row in pairs.iterrows() if _is_of(row, str(first["model"]), second)]
    return [f"{said}, ahead of **{second}**{gaps[0] if gaps else ', which it was not compared with'}."]


def _is_of(row: pd.Series, first: str, second: str) -> bool:
    return {row["model_a"], row["model_b"]} == {first, second}


def _gap(row: pd.Series, first: str) -> str:
    """Return by how much a model is ahead of the other one of the pair, and whether that is decided."""
    sign = 1 if row["model_a"] == first else -1
    low, high = sorted((sign * row["ci_low"], sign * row["ci_high"]))
    decided = {"undecided": "undecided", "equivalent": "equivalent within the margin"}.get(row["verdict"], "decided")
    explored = "" if row["declared"] else ", a pair that the plan does not declare"
    return (
        f" by {points(sign * row['difference']).removeprefix('+')} points {interval(low, high)} ({decided}{explored})"
    )
