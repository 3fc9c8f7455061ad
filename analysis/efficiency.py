"""What accuracy costs: parameters and training time, and which models another one beats on every count."""

import pandas as pd

from analysis.findings import Finding
from analysis.metrics import METRICS, metric_table
from analysis.overview import model_table
from analysis.results import Results
from analysis.wording import percent

COSTS = ("parameters", "epoch_seconds")


def efficiency(results: Results) -> Finding:
    """Set the mean accuracy of each model against its size and its time per epoch."""
    means = model_table(results, metric_table(results))
    table = means[["model", "seeds"]].assign(
        **{name: means[f"{name}_mean"] for name in ("test_accuracy", *COSTS, "total_seconds")}
    )
    table["dominated_by"] = [", ".join(_dominating(table, row)) for _, row in table.iterrows()]
    shown = {metric.name: metric for metric in METRICS}
    lines = ["Means over seeds; a model is dominated when another is no worse on all three and better on one:", ""]
    for _, row in table.iterrows():
        costs = ", ".join(shown[name].title.lower() + " " + shown[name].show(row[name]) for name in COSTS)
        by = f"; dominated by {row['dominated_by']}" if row["dominated_by"] else ""
        lines.append(f"- {row['model']}: {percent(row['test_accuracy'])}, {costs}{by}.")
    return Finding("efficiency", "Efficiency", "\n".join(lines), tables={"models": table})


def _dominating(table: pd.DataFrame, row: pd.Series) -> list[str]:
    costs = list(COSTS)
    no_worse = (table["test_accuracy"] >= row["test_accuracy"]) & (table[costs] <= row[costs]).all(axis=1)
    better = (table["test_accuracy"] > row["test_accuracy"]) | (table[costs] < row[costs]).any(axis=1)
    return list(table.loc[no_worse & better, "model"])
