"""Decomposition of the variance of test accuracy over seeds: differences between models, or noise of a finite test set.

If every answer were an independent coin flip with the image's own probability p_i of being right, the accuracies of S seeds
would still vary. An unbiased prediction of that variance is computed from the answers and compared with the observed variance.
The interquartile mean, which a collapsed seed does not change, and the performance profile, which shows it, are also reported.

Sources: Jordan 2024, arXiv 2304.01910 (differs from it: the ratio has an interval, from chi-squared with S - 1 df);
interquartile mean and performance profiles: Agarwal et al. 2021, arXiv 2108.13264.

Letters: S seeds, n images.
"""

from dataclasses import asdict, dataclass
from math import nan

import numpy as np
import pandas as pd
from scipy import stats

from analysis.analyses.primary import about_accuracy
from analysis.figures import profile_figure
from analysis.findings import Finding
from analysis.results import Results
from analysis.statistics.two_way import Correct
from analysis.wording import percent

LEVEL = 0.95
EXPLAINED = (
    "Coin flips: what the accuracies would vary by if each answer were drawn anew with its sequence's own "
    "chance of being right. Variance beyond that is of the models; the rest is of the measurement, and more test "
    "sequences would remove it. With few seeds the interval of the ratio is wide. The interquartile mean leaves out the lowest "
    "and the highest quarter of the seeds (from four seeds on); it is another quantity than the mean, and no verdict is "
    "about it."
)


@dataclass(frozen=True)
class Split:
    """Variances of accuracy over seeds, in [0, 1] units squared."""

    observed: float
    """Sample variance over seeds, ddof 1."""
    predicted: float
    """Expected variance of independent coin flips per image."""
    ratio: float
    """Observed divided by predicted; 1 if both are 0."""
    ratio_low: float
    ratio_high: float
    p: float
    """Probability of an observed variance at least this large under coin flips alone."""


def split(correct_Sn: Correct) -> Split:
    """Split the variance of accuracy over seeds, from correct answers (S, n)."""
    seeds, images = correct_Sn.shape
    if seeds < 2:  # noqa: PLR2004  a variance needs two values
        return Split(nan, nan, nan, nan, nan, nan)
    right_n = correct_Sn.sum(axis=0)
    observed = float(correct_Sn.sum(axis=1).var(ddof=1)) / images**2
    # sum_i p_i (1 - p_i) S / (S - 1) / n^2 with p_i = right_i / S
    predicted = int((right_n * (seeds - right_n)).sum()) / (seeds * (seeds - 1) * images**2)
    if predicted == 0:
        return Split(observed, predicted, 1.0, nan, nan, 1.0)
    ratio, df = observed / predicted, seeds - 1
    low, high = (df * ratio / stats.chi2.ppf(q, df) for q in ((1 + LEVEL) / 2, (1 - LEVEL) / 2))
    return Split(observed, predicted, ratio, float(low), float(high), float(stats.chi2.sf(df * ratio, df)))


def variance(results: Results) -> Finding:
    """Compare the variance over seeds with that of coin flips per image."""
    accuracies = {model: results.correct[model].mean(axis=1) for model in results.models}
    rows = [
        {
            "model": model,
            "seeds": len(accuracies[model]),
            "interquartile_mean": float(stats.trim_mean(accuracies[model], 0.25)),
            **asdict(split(results.correct[model])),
        }
        for model in results.models
    ]
    table = pd.DataFrame(rows)
    for name in ("observed", "predicted"):
        table[f"{name}_sd"] = np.sqrt(table[name])
    table["excess_sd"] = np.sqrt((table["observed"] - table["predicted"]).clip(lower=0))
    said = "\n".join(f"- {_sentence(row, results.plan.alpha)}" for _, row in table.iterrows())
    return Finding(
        name="variance",
        title="Are some seeds worse models?",
        summary="\n\n".join([*about_accuracy(results.plan), said, EXPLAINED]),
        tables={"variance": table},
        listed=(),
        figures={"performance_profiles": profile_figure(accuracies, results.models)},
    )


def _sentence(row: pd.Series, alpha: float) -> str:
    if row["seeds"] < 2:  # noqa: PLR2004
        return f"{row['model']}: needs 2 seeds."
    observed, predicted = (f"{100 * row[name]:.3f}" for name in ("observed_sd", "predicted_sd"))
    middle = percent(row["interquartile_mean"])
    said = (
        f"{row['model']}: interquartile mean {middle}, sd over seeds {observed} points, coin flips predict {predicted}"
    )
    if pd.isna(row["ratio_low"]):
        return f"{said}: the seeds agree on every sequence."
    found = (
        f"seeds differ as models, by an sd of about {100 * row['excess_sd']:.3f} points"
        if row["p"] < alpha
        and row["excess_sd"] > 0  # a large alpha calls a variance below the predicted one significant
        else "no sign that some seeds are better models"
    )
    ratio = f"variance ratio {row['ratio']:.2f} [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}]"
    return f"{said} ({ratio}): {found}."
