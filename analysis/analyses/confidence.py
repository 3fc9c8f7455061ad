"""Calibration of the models' probabilities: of the answers with a confidence of 80 %, 80 % should be right.

This is about the classifiers. `analysis/analyses/calibration.py` is about the error rates of the tests in the report.
"""

import pandas as pd

from analysis.analyses.probed import over_seeds
from analysis.figures import reliability_figure
from analysis.findings import Finding
from analysis.metrics.predictions import (
    brier_score,
    calibrated_calibration_error,
    calibration_error,
    negative_log_likelihood,
    risk_coverage,
)
from analysis.results import Results
from analysis.statistics.reliability import BINS, confidence_bins
from analysis.wording import UNKNOWN, listing, markdown_table

MEASURES = (
    "negative_log_likelihood",
    "calibration_error",
    "calibrated_calibration_error",
    "brier_score",
    "risk_coverage",
    "overconfidence",
)

HEADER = (
    "Model",
    "Loss on test (NLL)",
    "Calibration error (ECE), points",
    "ECE if calibrated",
    "Brier score of the predicted class",
    "Risk over coverage (AURC)",
    "Too sure by, points",
)


def confidence(results: Results) -> Finding:
    """Hold each model's confidence against its accuracy."""
    level = 1 - results.plan.alpha
    runs = run_table(results)
    bins = bin_table(results)
    models = model_table(runs, level)
    return Finding(
        name="confidence",
        title="Confidence",
        summary=_summary(models, level),
        tables={"models": models, "runs": runs, "bins": bins},
        listed=(),
        figures={"reliability": reliability_figure(bins, mean_bins(bins, level), results.models, level)},
        data={"bins": BINS, "binning": "equal mass"},
    )


def run_table(results: Results) -> pd.DataFrame:
    """Return one row per run: its measures, and mean confidence minus accuracy."""
    excess = [
        float(sure_n.mean(dtype=float) - right_n.mean())
        for model in results.models
        for sure_n, right_n in zip(results.confidence[model], results.correct[model], strict=True)
    ]
    return results.runs[["run_id", "model", "seed"]].assign(
        negative_log_likelihood=negative_log_likelihood(results),
        calibration_error=calibration_error(results),
        calibrated_calibration_error=calibrated_calibration_error(results),
        brier_score=brier_score(results),
        risk_coverage=risk_coverage(results),
        overconfidence=excess,
    )


def bin_table(results: Results) -> pd.DataFrame:
    """Return one row per run and non-empty bin: number of sequences, mean confidence and accuracy."""
    parts = []
    for model in results.models:
        answers = zip(results.seeds(model), results.confidence[model], results.correct[model], strict=True)
        for seed, sure_n, right_n in answers:
            found = confidence_bins(sure_n, right_n)
            columns = {"sequences": found.count, "confidence": found.confidence, "accuracy": found.accuracy}
            parts.append(pd.DataFrame({"model": model, "seed": seed, "bin": range(1, BINS + 1), **columns}))
    table = pd.concat(parts, ignore_index=True)
    return table[table["sequences"] > 0]


def mean_bins(bins: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return one row per model and bin: mean confidence, and mean accuracy with its interval over seeds."""
    by = ["model", "bin"]
    sure = bins.groupby(by, sort=False, observed=True)["confidence"].mean().reset_index()
    return sure.merge(over_seeds(bins, by, "accuracy", level), on=by)


def model_table(runs: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return one row per model: mean, low and high over seeds of each measure."""
    table = runs[["model"]].drop_duplicates().reset_index(drop=True)
    for name in MEASURES:
        found = over_seeds(runs, ["model"], name, level).set_index("model")
        for column in ("mean", "low", "high"):
            table[f"{name}_{column}"] = table["model"].map(found[column])
    return table


def _lowest(models: pd.DataFrame) -> str:
    if len(models) == 1:
        return "One model: there is no other to compare it with."
    best = models.iloc[int(models["calibration_error_mean"].argmin())]
    others = models.drop(index=best.name)
    apart = (others["calibration_error_low"] > best["calibration_error_high"]).all()
    return f"Lowest mean calibration error: {best['model']}" + (
        "." if apart else ", but its interval is not clear of the others'."
    )


def _summary(models: pd.DataFrame, level: float) -> str:
    over = [str(row["model"]) for _, row in models.iterrows() if row["overconfidence_low"] > 0]
    under = [str(row["model"]) for _, row in models.iterrows() if row["overconfidence_high"] < 0]
    said = [
        f"Too sure on average: {listing(over)}." if over else "",
        f"Not sure enough: {listing(under)}." if under else "",
    ]
    rows = [
        [
            row["model"],
            _cell(row, "negative_log_likelihood", 1, ".3f"),
            _cell(row, "calibration_error", 100, ".2f"),
            f"{100 * row['calibrated_calibration_error_mean']:.2f}",
            _cell(row, "brier_score", 1, ".4f"),
            _cell(row, "risk_coverage", 1, ".4f"),
            _cell(row, "overconfidence", 100, "+.2f"),
        ]
        for _, row in models.iterrows()
    ]
    return "\n".join(
        [
            " ".join([_lowest(models), *filter(None, said)]),
            "",
            markdown_table(HEADER, rows, caption="Confidence of the models on the test split"),
            "",
            (
                f"Means over seeds with intervals at {100 * level:g} % over seeds; lower is better. NLL is the mean of minus the "
                "natural logarithm of the probability that the true class got. ECE is the mean distance between confidence "
                f"(the probability of the predicted class) and accuracy in {BINS} bins with equally many sequences; "
                "beside it stands what it would be on average if every answer were right as often as its confidence says, as few "
                "sequences a bin never give 0. Brier score: the mean squared distance between confidence and being right, 1 or 0; it is "
                "low, too, for a model that knows that it guesses, so that it orders no models. "
                "AURC: the mean share of wrong answers among the surest, over every share that is answered. "
                "Too sure: mean confidence minus accuracy."
            ),
        ]
    )


def _cell(row: pd.Series, name: str, scale: float, form: str) -> str:
    mean, low, high = (scale * row[f"{name}_{column}"] for column in ("mean", "low", "high"))
    if pd.isna(mean):
        return UNKNOWN
    return f"{mean:{form}}" + ("" if pd.isna(low) else f" [{low:{form}}, {high:{form}}]")
