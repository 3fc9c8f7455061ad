"""Common preparation of the tables of probes, by model."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from analysis.findings import Finding
from analysis.results import Results
from analysis.wording import plural


def not_measured(name: str, title: str, probe: str) -> Finding:
    """Return the finding of an analysis whose probe was not measured."""
    said = (
        f"Not measured: there is no table of the probe `{probe}`. It needs the data set, and weights that the code of "
        "now still gives the stored predictions with."
    )
    return Finding(name, title, said)


def measured(results: Results, probe: str) -> pd.DataFrame | None:
    """Return the table of a probe, models in the order of the study; None if there is none."""
    table = results.probes.get(probe)
    if table is None or table.empty:
        return None
    place = {model: i for i, model in enumerate(results.models)}
    kept = table[table["model"].isin(results.models)]
    return kept.sort_values("model", key=lambda names: names.map(place), kind="stable") if len(kept) else None


def sequences_of(table: pd.DataFrame, results: Results) -> str:
    """Return in words on how many sequences a table with a column `sequences` was measured."""
    return of_test_set(int(table["sequences"].iloc[0]), results)


def of_test_set(count: int, results: Results) -> str:
    """Return '300 of 1,500 test sequences', or '300 test sequences' if these are all."""
    every = len(results.test_set.label)
    return f"{count:,} of {every:,} test sequences" if count < every else plural(count, "test sequence")


def over_seeds(table: pd.DataFrame, by: Sequence[str], value: str, level: float) -> pd.DataFrame:
    """Return one row per group: mean, low and high of `value`, with Student's interval over seeds (NaN for one seed)."""
    groups = table.groupby(list(by), sort=False, observed=True)[value]
    found = groups.agg(["mean", "std", "count"])
    count = found["count"].clip(lower=2)
    half = stats.t.ppf((1 + level) / 2, count - 1) * found["std"] / np.sqrt(count)
    return pd.DataFrame(
        {"mean": found["mean"], "low": found["mean"] - half, "high": found["mean"] + half, "seeds": found["count"]}
    ).reset_index()
