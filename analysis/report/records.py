"""Results and findings as JSON-serialisable mappings and lists."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from analysis.findings import Finding
from analysis.results import Results


def jsonable(value: object) -> Any:  # noqa: ANN401  JSON has no type
    """Return `value` in plain Python types; keys become strings, and numbers that are not finite become None."""
    if isinstance(value, pd.DataFrame):
        value = value.to_dict("records")
    elif isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def detailed_analysis(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return every finding, with its tables as lists of rows; accuracies stay in [0, 1]."""
    return {
        finding.name: {
            "title": finding.title,
            "summary": finding.summary,
            "tables": jsonable(finding.tables),
            "data": jsonable(finding.data),
        }
        for finding in findings
    }


def summary(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the results of each model, the verdicts and the banners."""
    by_name = {finding.name: finding for finding in findings}
    found: dict[str, Any] = {"models": [], "banners": [], "pairs": [], "verdicts": []}
    if "overview" in by_name:
        overview = by_name["overview"]
        found |= {"primary_metric": overview.data["primary_metric"]}
        found |= {"models": jsonable(overview.tables["models"]), "banners": jsonable(overview.data["banners"])}
    if "significance" in by_name:
        significance = by_name["significance"]
        found |= {
            "pairs": jsonable(significance.tables["pairs"]),
            "verdicts": jsonable(significance.data.get("verdicts", [])),
        }
    return found


def training_histories(results: Results) -> dict[str, Any]:
    """Return {model: {seed: {metric by split: [value of epoch 1, 2, ...]}}}; a value is None if the epoch has none."""
    histories: dict[str, Any] = {model: {str(seed): {} for seed in results.seeds(model)} for model in results.models}
    for (split, metric), _ in results.curves.groupby(["split", "metric"], observed=True):
        table = results.curve(str(split), str(metric))
        name = f"{split}_{metric}" if split else str(metric)
        for row, (model, seed) in enumerate(zip(results.runs["model"], results.runs["seed"], strict=True)):
            values = table.iloc[row].dropna()
            if len(values):
                histories[str(model)][str(int(seed))][name] = jsonable(values.to_list())
    return histories
