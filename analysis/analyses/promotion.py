"""The run of a study that could replace a model in use, and the study's evidence for it.

The leader is the model with the highest mean of the primary metric. Its run with the highest validation accuracy is chosen, because
a choice by the test split would bias the reported test accuracy.
"""

from dataclasses import dataclass

import pandas as pd

from analysis.analyses.overview import model_table
from analysis.analyses.probed import over_seeds
from analysis.analyses.significance import pair_table, seen_from, verdict_sentence
from analysis.metrics.registry import BY_NAME, metric_table
from analysis.results import Results


@dataclass(frozen=True)
class Verdict:
    """The verdict of a study on one model against another."""

    word: str
    """The verdict, one of VERDICTS."""
    sentence: str


@dataclass(frozen=True)
class Costs:
    """The costs of one model compared with another."""

    cheaper: bool
    sentence: str


def leader(results: Results) -> str:
    """Return the model with the highest mean of the plan's primary metric; of ties the first in the study."""
    models = model_table(results, metric_table(results))
    return str(models["model"].iloc[int(models[f"{results.plan.primary_metric}_mean"].argmax())])


def chosen_run(results: Results, model: str) -> pd.Series:
    """Return the run of a model with the highest validation accuracy; of ties, or without validation, the lowest seed."""
    validation = results.curve("validation", "accuracy").max(axis=1).fillna(0)
    return results.runs.iloc[int(validation.where(results.runs["model"] == model).argmax())]


def verdict_on(results: Results, model: str, other: str) -> Verdict:
    """Return the verdict on `model` against `other`; a pair that is not declared is corrected over all pairs."""
    table = pair_table(results)
    [row] = [row for _, row in table.iterrows() if {row["model_a"], row["model_b"]} == {model, other}]
    seen = seen_from(row, model)
    return Verdict(str(seen["verdict"]), verdict_sentence(seen, results.plan))


def compare_costs(results: Results, model: str, other: str, *, timed: bool) -> Costs:
    """Compare the costs of two models; a model is cheaper if it is higher in neither of two costs and lower in one.

    The costs are the number of parameters, and the seconds of training per epoch. Seconds differ if the intervals of their means
    over seeds, at 1 - alpha, do not overlap; they count only if both models were `timed` on the same processor.
    """
    parameters = results.runs.groupby("model", observed=True)["parameters"].first()
    seconds = over_seeds(results.runs, ["model"], "epoch_seconds", 1 - results.plan.alpha).set_index("model")
    mean, low, high = (seconds[column].astype(float) for column in ("mean", "low", "high"))
    dearer = parameters[model] > parameters[other] or (timed and low[model] > high[other])
    lower = parameters[model] < parameters[other] or (timed and high[model] < low[other])
    count, time = BY_NAME["parameters"], BY_NAME["epoch_seconds"]
    said = f"{count.show(parameters[model])} parameters against {count.show(parameters[other])}"
    if timed:
        shown = [f"{time.show(mean[name])} [{low[name]:.3g}, {high[name]:.3g}]" for name in (model, other)]
        said += f", {shown[0]} per epoch against {shown[1]}"
    else:
        said += "; seconds per epoch do not count, because the runs were timed on different processors"
    return Costs(bool(lower and not dearer), said)
