"""Dependence of accuracy on the length of a sequence (its number of events).

Length correlates with class, so the correlation is reported twice: plain, and with both variables centred by class.
A logistic slope shows how the odds of a correct answer change with length.
"""

from math import nan, sqrt

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.figures import temporal_figure
from analysis.findings import Finding
from analysis.results import Results
from analysis.statistics.length_slope import length_slope
from analysis.statistics.rates import rate_interval
from analysis.wording import markdown_table

MOST_BINS = 10
IMAGES_A_BIN = 20


def temporal(results: Results) -> Finding:
    """Relate the accuracy of each model to sequence length."""
    bins, correlations, slopes = bin_table(results), correlation_table(results), slope_table(results)
    lengths = results.test_set.length
    return Finding(
        name="temporal",
        title="Temporal patterns",
        summary=_summary(bins, correlations, slopes, results),
        tables={"bins": bins, "correlations": correlations, "slopes": slopes},
        listed=(),
        figures={
            "temporal_patterns": temporal_figure(bins, correlations, lengths, results.models, 1 - results.plan.alpha)
        },
        data={"shortest": int(lengths.min()), "median": float(np.median(lengths)), "longest": int(lengths.max())},
    )


def bin_table(results: Results) -> pd.DataFrame:
    """Return accuracy with its interval at 1 - alpha for each model and quantile bin of length."""
    lengths = results.test_set.length
    count = int(np.clip(len(lengths) // IMAGES_A_BIN, 1, MOST_BINS))
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, count + 1)))
    bin_n = np.searchsorted(edges[1:-1], lengths, side="left")
    rows = []
    for i in np.unique(bin_n):
        inside = bin_n == i
        for model in results.models:
            rate, low, high = rate_interval(results.correct[model][:, inside], 1 - results.plan.alpha)
            rows.append(
                {
                    "model": model,
                    "shortest": int(lengths[inside].min()),
                    "longest": int(lengths[inside].max()),
                    "images": int(inside.sum()),
                    "accuracy": rate,
                    "low": low,
                    "high": high,
                }
            )
    return pd.DataFrame(rows)


def correlation_table(results: Results) -> pd.DataFrame:
    """Return the correlation of length with being right for each run, plain and controlled for class."""
    lengths = results.test_set.length.astype(float)
    labels = results.test_set.label
    rows = [
        {
            "model": model,
            "seed": seed,
            "correlation": correlation(lengths, right_n),
            "controlled": correlation(_centred(lengths, labels), _centred(right_n, labels)),
        }
        for model in results.models
        for seed, right_n in zip(results.seeds(model), results.correct[model].astype(float), strict=True)
    ]
    return pd.DataFrame(rows)


def slope_table(results: Results) -> pd.DataFrame:
    """Return the logistic slope of correctness on log length for each model, with its interval at 1 - alpha."""
    rows = []
    for model in results.models:
        found = length_slope(results.correct[model], results.test_set.length)
        low, high = found.interval(1 - results.plan.alpha)
        rows.append({"model": model, "slope": found.value, "low": low, "high": high, "se": found.se, "df": found.df})
    return pd.DataFrame(rows)


def correlation(x_n: NDArray[np.float64], y_n: NDArray[np.float64]) -> float:
    """Return Pearson's correlation of (n,) and (n,); NaN if one of them does not vary."""
    x_n, y_n = x_n - x_n.mean(), y_n - y_n.mean()
    scale = sqrt(float(x_n @ x_n) * float(y_n @ y_n))
    return float(x_n @ y_n) / scale if scale > 0 else nan


def _centred(values_n: NDArray[np.float64], labels_n: NDArray[np.int64]) -> NDArray[np.float64]:
    totals = np.bincount(labels_n, weights=values_n)
    means: NDArray[np.float64] = totals / np.maximum(np.bincount(labels_n), 1)
    return values_n - means[labels_n]


def _summary(bins: pd.DataFrame, correlations: pd.DataFrame, slopes: pd.DataFrame, results: Results) -> str:
    level = f"{100 * (1 - results.plan.alpha):g} %"
    rows, lowest = [], []
    for model in results.models:
        runs, of_model = correlations[correlations["model"] == model], bins[bins["model"] == model]
        worst = of_model.iloc[int(of_model["accuracy"].argmin())]
        slope = slopes[slopes["model"] == model].iloc[0]
        rows.append([model, _r(runs["correlation"]), _r(runs["controlled"]), _odds(slope)])
        lowest.append(
            f"- {model}: lowest accuracy {100 * worst['accuracy']:.1f} % [{100 * worst['low']:.1f}, "
            f"{100 * worst['high']:.1f}] at {worst['shortest']} to {worst['longest']} events ({worst['images']} sequences)."
        )
    header = ["Model", "Correlation r", "r within classes", f"Odds at twice the length [{level}]"]
    told = (
        "Length is the number of events. r, mean over seeds: correlation of length with being right; within classes, because "
        "length depends on the class. Odds (right to wrong): the factor by which they change when a sequence is twice as "
        "long, from a logistic regression on log length; 1 is no change."
    )
    return "\n".join(
        [*lowest, "", markdown_table(header, rows, caption="Length of a sequence and being right"), "", told]
    )


def _odds(slope: pd.Series) -> str:
    """Return in words the factor of the odds for a doubled length, 2^slope."""
    if pd.isna(slope["slope"]):
        return "undefined"
    times, low, high = (2.0 ** slope[name] for name in ("slope", "low", "high"))
    return f"x {times:.2f}" + ("" if pd.isna(low) else f" [{low:.2f}, {high:.2f}]")


def _r(values: pd.Series) -> str:
    return "undefined" if values.isna().all() else f"{values.mean():+.3f}"
