"""The primary metric against costs, and the models that another one dominates."""

import pandas as pd

from analysis.analyses.overview import model_table
from analysis.analyses.primary import primary_metric
from analysis.analyses.probed import over_seeds
from analysis.figures import efficiency_figure
from analysis.findings import Finding
from analysis.metrics.registry import BY_NAME, Metric, metric_table
from analysis.results import Results
from analysis.wording import markdown_table, with_interval

COSTS = {
    "parameters": ("Parameters (thousands)", 1e3),
    "flops": ("Operations per sequence (millions)", 1e6),
    "epoch_seconds": ("Seconds per epoch", 1.0),
    "peak_memory_bytes": ("Peak memory (MiB)", 2.0**20),
}
"""Title on the axis of the figure, and the divisor for its unit."""
MEASURED = ("epoch_seconds", "peak_memory_bytes")
"""Costs that vary from run to run: two models count as different if their intervals over seeds do not overlap."""
ABSENT = "-"


def efficiency(results: Results) -> Finding:
    """Set the primary metric of each model against its size, arithmetic, time and memory."""
    level, primary = 1 - results.plan.alpha, primary_metric(results.plan)
    runs = metric_table(results)
    table = cost_table(results, runs, level)
    return Finding(
        name="efficiency",
        title="Efficiency",
        summary=_summary(table, primary, level),
        tables={"models": table},
        listed=(),
        figures={
            "efficiency": efficiency_figure(
                runs, table, COSTS, results.models, metric=(primary.name, primary.title), level=level
            )
        },
    )


def cost_table(results: Results, runs: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return one row per model: mean, low and high of the primary metric (over seeds and images) and of each cost (over seeds)."""
    means, primary = model_table(results, runs), results.plan.primary_metric
    table = means[["model", "seeds", *(f"{primary}_{end}" for end in ("mean", "low", "high"))]]
    table = table.assign(**{primary: table[f"{primary}_mean"]}, total_seconds=means["total_seconds_mean"])
    for name in COSTS:
        found = over_seeds(runs, ["model"], name, level).set_index("model")
        columns = {name: "mean", f"{name}_low": "low", f"{name}_high": "high"}
        table = table.assign(**{column: table["model"].map(found[of]) for column, of in columns.items()})
    return table.assign(dominated_by=[", ".join(_dominating(table, row, primary)) for _, row in table.iterrows()])


def _counted(table: pd.DataFrame) -> list[str]:
    """Return the costs that every model has."""
    return [name for name in COSTS if table[name].notna().all()]


def _dominating(table: pd.DataFrame, row: pd.Series, primary: str) -> list[str]:
    """Return the models that are demonstrably not worse in any respect, and better in one.

    A measured difference counts if the intervals do not overlap; if they overlap, or are missing because of a single seed, it is open
    which of the two is worse.
    """
    no_worse, better = table[primary] >= row[primary], table[primary] > row[primary]
    for name in _counted(table):
        low, high = (f"{name}_low", f"{name}_high") if name in MEASURED else (name, name)
        no_worse &= table[high] <= row[low]
        better |= table[high] < row[low]
    return list(table.loc[no_worse & better, "model"])


def _summary(table: pd.DataFrame, primary: Metric, level: float) -> str:
    beaten = [f"{row['model']} (by {row['dominated_by']})" for _, row in table.iterrows() if row["dominated_by"]]
    counted = ", ".join(BY_NAME[name].title.lower() for name in (primary.name, *_counted(table)))
    rows = [
        [
            row["model"],
            with_interval(*(row[f"{primary.name}_{end}"] for end in ("mean", "low", "high"))),
            *(_cell(row, name) for name in COSTS),
        ]
        for _, row in table.iterrows()
    ]
    header = ["Model", f"{primary.title} ({100 * level:g} % interval)", *(BY_NAME[name].title for name in COSTS)]
    absent = f" {ABSENT}: not recorded." if table[list(COSTS)].isna().to_numpy().any() else ""
    return "\n".join(
        [
            (
                f"Dominated, that is no better on any of these means ({counted}) and worse on one: "
                f"{'; '.join(beaten) or 'none'}. Where intervals of time or memory overlap, or a model has one seed and so none, "
                f"either may be the better and neither is dominated. The verdicts are about {primary.title.lower()} alone: a "
                "difference of its means that is undecided may be chance."
            ),
            "",
            markdown_table(header, rows, caption="Accuracy and what it costs"),
            "",
            (
                "Means over seeds, ± half the interval over seeds where they differ. Operations: of one forward pass over the "
                "test sequence of median length, matrix products only. Time: training of one epoch. Memory: the most that "
                f"the process used in training over what it used before.{absent}"
            ),
        ]
    )


def _cell(row: pd.Series, name: str) -> str:
    if pd.isna(row[name]):
        return ABSENT
    half = row[f"{name}_high"] - row[name]
    shown = BY_NAME[name].show(row[name])
    return f"{shown} ± {BY_NAME[name].show(half)}" if half > 0 else shown
