"""The table of results: every metric of every model, with its spread over seeds."""

from math import nan

import pandas as pd

from analysis.analyses.banners import banners
from analysis.analyses.primary import primary_metric
from analysis.figures import Figure, accuracy_figure
from analysis.findings import Finding
from analysis.metrics.registry import BY_NAME, METRICS, metric_table
from analysis.results import Results
from analysis.statistics.rates import rate_interval
from analysis.wording import plural, with_interval

ENVIRONMENT = ("dataset", "torch_version", "precision", "device")


def overview(results: Results) -> Finding:
    """Summarise the metrics of each model over its seeds."""
    runs = metric_table(results)
    models = model_table(results, runs)
    primary = primary_metric(results.plan)
    best = models.iloc[int(models[f"{primary.name}_mean"].argmax())]
    shown = with_interval(*(best[f"{primary.name}_{end}"] for end in ("mean", "low", "high")))
    summary = (
        f"Highest mean {primary.title.lower()}: {best['model']}, {shown} over {plural(int(best['seeds']), 'seed')}. "
        "Which differences are real is said under statistical significance."
    )
    return Finding(
        name="overview",
        title="Results",
        summary=summary,
        tables={"models": models, "runs": runs},
        listed=(),
        figures={"accuracy": _figure(results, models, runs)},
        data={
            "banners": banners(results),
            "metrics": {
                metric.name: {
                    "title": metric.title,
                    "unit": metric.unit,
                    "better": metric.better,
                    "caveat": metric.caveat,
                }
                for metric in METRICS
            },
            "environment": {name: sorted(set(results.runs[name].astype(str))) for name in ENVIRONMENT},
            "primary_metric": primary.name,
            "sequences": len(results.test_set.label),
            "level": 1 - results.plan.alpha,
        },
    )


def _figure(results: Results, models: pd.DataFrame, runs: pd.DataFrame) -> Figure:
    primary = BY_NAME[results.plan.primary_metric]
    ends = {f"{primary.name}_{end}": end for end in ("mean", "low", "high")}
    return accuracy_figure(
        runs[["model", primary.name]].rename(columns={primary.name: "accuracy"}),
        models[["model", *ends]].rename(columns=ends),
        results.models,
        what=primary.title,
        level=1 - results.plan.alpha,
        sequences=len(results.test_set.label),
    )


def model_table(results: Results, runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per model: seeds, then mean, sd over seeds (ddof 1) and count of each metric.

    `_low` and `_high` of the primary metric bound its mean at 1 - alpha, over seeds and images; NaN with one seed.
    """
    rows, primary = [], results.plan.primary_metric
    for model in results.models:
        of_model = runs[runs["model"] == model]
        _, low, high = rate_interval(results.correct[model], 1 - results.plan.alpha, results.strata)
        if len(of_model) == 1:  # an interval over images alone would ignore the variation over seeds
            low = high = nan
        row: dict[str, object] = {
            "model": model,
            "seeds": len(of_model),
            f"{primary}_low": low,
            f"{primary}_high": high,
        }
        for metric in METRICS:
            values = of_model[metric.name]
            row[f"{metric.name}_mean"] = values.mean()
            row[f"{metric.name}_sd"] = values.std()
            row[f"{metric.name}_count"] = int(values.notna().sum())
        rows.append(row)
    return pd.DataFrame(rows)
