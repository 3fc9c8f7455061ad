"""Loss and accuracy over the epochs."""

import pandas as pd

from analysis.figures import training_curves_figure
from analysis.findings import Finding
from analysis.results import Results
from analysis.wording import percent


def training(results: Results) -> Finding:
    """Describe how training went, on the training and the test split."""
    curves = results.curves
    shown = curves[curves["metric"].isin(["loss", "accuracy"]) & curves["split"].isin(["train", "test"])]
    shown = shown[shown["model"].isin(results.models)]
    return Finding(
        name="training",
        title="Training curves",
        summary=_summary(results),
        tables={"curves": mean_curves(curves[curves["model"].isin(results.models)])},
        listed=(),
        figures={"training_curves": training_curves_figure(shown, results.models)},
    )


def mean_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """Return mean, smallest and largest value over the seeds of each model, split, metric and epoch."""
    groups = curves.groupby(["model", "split", "metric", "epoch"], observed=True, sort=False)["value"]
    return groups.agg(["mean", "min", "max", "count"]).reset_index().rename(columns={"count": "seeds"})


def _summary(results: Results) -> str:
    train, test = (results.curve(split, "accuracy").ffill(axis=1) for split in ("train", "test"))
    if train.empty or test.empty:
        return "No accuracy was recorded on both splits."
    lines = ["Accuracy at the last epoch, mean over seeds (train is the running mean in training mode):", ""]
    for model in results.models:
        rows = results.runs["model"] == model
        last = [percent(float(table.loc[rows].iloc[:, -1].mean())) for table in (train, test)]
        lines.append(f"- {model}: train {last[0]}, test {last[1]}.")
    return "\n".join(lines)
