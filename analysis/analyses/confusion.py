"""Errors by class: confused classes, precision and recall of each class, and sequences on which two models differ."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.analyses.disagreement import disagreements, examples
from analysis.figures import MANY, confusion_figure, examples_figure
from analysis.findings import Finding
from analysis.metrics.predictions import balanced_accuracy, macro_f1
from analysis.results import Results
from analysis.wording import as_words, markdown_table, percent

MOST_CONFUSED = 5
WEAKEST = 10
"""Number of classes whose scores are shown if there are too many to show all."""


def confusion(results: Results) -> Finding:
    """Break down the errors of each model, its seeds taken together."""
    counted = {model: confusion_matrix(results, model) for model in results.models}
    confused = pd.concat([_pairs(model, counts) for model, counts in counted.items()], ignore_index=True)
    classes = pd.concat([_classes(model, counts) for model, counts in counted.items()], ignore_index=True)
    apart = disagreements(results)
    figures = {"confusion_matrices": confusion_figure(counted, results.classes)}
    drawn, events = examples(results, apart), results.probes.get("events")
    if events is not None and set(drawn.get("sample_id", ())) & set(events["sample_id"]):
        known = drawn[drawn["sample_id"].isin(events["sample_id"])]
        figures["disagreements"] = examples_figure(known, events, results.models, results.classes)
    return Finding(
        name="confusion",
        title="Error analysis",
        summary="\n\n".join(
            [_summary(confused, classes, results), *_by_class(classes, results), *_parted(apart, results)]
        ),
        tables={"confused": confused, "classes": classes, "disagreements": apart},
        listed=(),
        figures=figures,
        data={"classes": results.classes, "confusion": {model: counts.tolist() for model, counts in counted.items()}},
    )


def confusion_matrix(results: Results, model: str) -> NDArray[np.int64]:
    """Return (K, K) counts over all seeds: rows are true classes, columns predicted ones."""
    labels, classes = results.test_set.label, len(results.classes)
    predicted_Sn = results.predicted[model].astype(np.int64)
    cells = np.bincount((labels * classes + predicted_Sn).ravel(), minlength=classes**2)
    return cells.reshape(classes, classes)


def _pairs(model: str, counts_KK: NDArray[np.int64]) -> pd.DataFrame:
    """Return the most confused pairs of classes; `share` is the share of the true class."""
    wrong_KK = counts_KK - np.diag(np.diag(counts_KK))
    true, predicted = np.unravel_index(np.argsort(-wrong_KK, axis=None, kind="stable")[:MOST_CONFUSED], wrong_KK.shape)
    count = wrong_KK[true, predicted]
    share = count / counts_KK.sum(axis=1)[true].clip(min=1)
    table = pd.DataFrame({"model": model, "true": true, "predicted": predicted, "count": count, "share": share})
    return table[table["count"] > 0]


def _classes(model: str, counts_KK: NDArray[np.int64]) -> pd.DataFrame:
    """Return precision, recall and F1 of each class in [0, 1], NaN if a class was never predicted or never occurs."""
    right_K, true_K, predicted_K = np.diag(counts_KK), counts_KK.sum(axis=1), counts_KK.sum(axis=0)
    with np.errstate(invalid="ignore"):
        table = {
            "precision": right_K / predicted_K,
            "recall": right_K / true_K,
            "f1": 2 * right_K / (true_K + predicted_K),
        }
    return pd.DataFrame({"model": model, "class": range(len(right_K)), **table, "predictions": true_K})


def _summary(confused: pd.DataFrame, classes: pd.DataFrame, results: Results) -> str:
    names = [as_words(name) for name in results.classes]
    lines = ["Errors of each model, all seeds together; balanced accuracy and macro F1 are means over seeds:", ""]
    model_R = results.runs["model"].astype(str)
    balanced, f1 = (metric(results).groupby(model_R).mean() for metric in (balanced_accuracy, macro_f1))
    for model in results.models:
        of_model = classes[classes["model"] == model]
        worst = of_model.iloc[int(of_model["recall"].fillna(1).argmin())]
        top = confused[confused["model"] == model].head(3)
        pairs = [
            f"{names[row['true']]} read as {names[row['predicted']]} ({100 * row['share']:.1f} %)"
            for _, row in top.iterrows()
        ]
        lines.append(
            f"- {model}: balanced accuracy {percent(balanced[model])}, macro F1 {percent(f1[model])}; "
            f"weakest class {names[int(worst['class'])]} with recall "
            f"{100 * worst['recall']:.1f} %; most confused: {', '.join(pairs) or 'none'}."
        )
    return "\n".join(lines)


def _by_class(classes: pd.DataFrame, results: Results) -> list[str]:
    """Return F1, precision and recall of each class as a table with a column per model."""
    cells = {(row["model"], row["class"]): _scores(row) for _, row in classes.iterrows()}
    shown, which = list(range(len(results.classes))), "each class"
    if len(results.classes) > MANY:
        average = classes.groupby("class")["f1"].mean().sort_values(kind="stable", na_position="last")
        shown, which = average.index[:WEAKEST].tolist(), f"the {WEAKEST} classes where it is lowest on average"
    rows = [
        [as_words(results.classes[number]), *(cells[model, number] for model in results.models)] for number in shown
    ]
    told = f"F1 of {which} in percent (precision / recall), all seeds together; -: never predicted, or never there"
    return [markdown_table(["Class", *results.models], rows, caption=told)]


def _scores(row: pd.Series) -> str:
    f1, precision, recall = (
        "-" if pd.isna(row[name]) else f"{100 * row[name]:.1f}" for name in ("f1", "precision", "recall")
    )
    return f"{f1} ({precision} / {recall})"


def _parted(apart: pd.DataFrame, results: Results) -> list[str]:
    """Return the counts of disagreements as a table of models by models."""
    if apart.empty:
        return []
    counts = apart.set_index(["right", "missed"])["count"]
    rows = [[a, *("" if a == b else counts[a, b] for b in results.models)] for a in results.models]
    told = (
        f"Of {len(results.test_set.label):,} test sequences, how many all seeds of the row's model get right and all seeds of "
        "the column's model miss"
    )
    return [markdown_table(["Right \\ missed", *results.models], rows, caption=told)]
