"""Convergence: when runs stop improving, the gap between train and test, and the stability of the last epochs.

A convergence that was not reached is reported as such. Stability over epochs and variation over seeds are separate numbers.
"""

import pandas as pd

from analysis.figures import convergence_figure
from analysis.findings import Finding
from analysis.metrics.curves import (
    CONVERGENCE_SD,
    CONVERGENCE_WINDOW,
    LEVELS,
    STABILITY_WINDOW,
    convergence_epoch,
    epochs_to,
    epochs_to_best,
    mean_validation_accuracy,
    overfitting_gap,
    training_stability,
)
from analysis.metrics.predictions import accuracy_at_best_epoch
from analysis.metrics.registry import column
from analysis.results import Results
from analysis.wording import UNKNOWN, listing, markdown_table, percent, plural

MARKS = {f"epochs_to_{round(100 * level)}": f"To {100 * level:g} %" for level in LEVELS} | {
    "epochs_to_99_of_best": "To 99 % of own best"
}
"""The accuracies whose first epoch is reported, with the heading of each column."""


def convergence(results: Results) -> Finding:
    """Describe convergence, overfitting and stability of every run and model."""
    runs = run_table(results)
    models = model_table(results, runs)
    return Finding(
        name="convergence",
        title="Convergence",
        summary=_summary(models, int(results.runs["epochs"].max())),
        tables={"models": models, "runs": runs},
        listed=(),
        figures={"convergence_analysis": convergence_figure(runs, results.models, STABILITY_WINDOW)},
        data={"window": CONVERGENCE_WINDOW, "standard_deviation": CONVERGENCE_SD, "split": "validation"},
    )


def run_table(results: Results) -> pd.DataFrame:
    """Return one row per run; seconds are epochs times the run's mean seconds per epoch."""
    columns = {"convergence_epoch": convergence_epoch(results)}
    for level in LEVELS:
        columns[f"epochs_to_{round(100 * level)}"] = epochs_to(level, results)
    columns["epochs_to_99_of_best"] = epochs_to_best(results)
    seconds = column("epoch_seconds", results)
    timed = {name.replace("epochs_to", "seconds_to"): epochs * seconds for name, epochs in columns.items()}
    timed["convergence_seconds"] = timed.pop("convergence_epoch")
    return results.runs[["run_id", "model", "seed", "epochs"]].assign(
        **columns,
        **timed,
        mean_validation_accuracy=mean_validation_accuracy(results),
        overfitting_gap=overfitting_gap(results),
        training_stability=training_stability(results),
    )


def model_table(results: Results, runs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per model: means over the seeds that reached each mark, and the number of these seeds."""
    accuracies = accuracy_at_best_epoch(results)
    rows = []
    for model in results.models:
        of_model = runs[runs["model"] == model]
        numbers = of_model.drop(columns=["run_id", "model", "seed"])
        rows.append(
            {"model": model, "seeds": len(of_model), "converged": int(of_model["convergence_epoch"].notna().sum())}
            | {f"{name}_count": int(numbers[name].notna().sum()) for name in MARKS}
            | numbers.mean().to_dict()
            | {"sd_over_seeds": accuracies[of_model.index].std()}
        )
    return pd.DataFrame(rows)


def _summary(models: pd.DataFrame, epochs: int) -> str:
    lines = [
        (
            f"Convergence: first epoch that ends {CONVERGENCE_WINDOW} epochs of validation accuracy with a standard "
            f"deviation under {CONVERGENCE_SD:g}. It says that accuracy stopped moving, not where."
        ),
        "",
    ]
    if epochs < CONVERGENCE_WINDOW:
        lines[0] += f" It needs {CONVERGENCE_WINDOW} epochs; these runs have {epochs}."
    steady = epochs > STABILITY_WINDOW
    if not steady:
        lines[0] += (
            f" How steady a run is cannot be said: it takes the last {STABILITY_WINDOW} epochs, and in "
            f"{plural(epochs, 'epoch')} accuracy moves because the model is learning."
        )
    for _, row in models.iterrows():
        reached = f"{row['converged']} of {plural(row['seeds'], 'seed')}"
        mean = f"epoch {row['convergence_epoch']:.3g} on average, {reached}" if row["converged"] else "not reached"
        when = f"convergence {mean}; " if epochs >= CONVERGENCE_WINDOW else ""
        over_epochs = f"{_points(row['training_stability'])} over the last {STABILITY_WINDOW} epochs (validation)"
        spread = listing([*([over_epochs] if steady else []), f"{_points(row['sd_over_seeds'])} over seeds (test)"])
        lines.append(
            f"- {row['model']}: {when}train minus test {_points(row['overfitting_gap'])} at the last epoch; "
            f"standard deviation {spread}."
        )
    return "\n".join([*lines, "", *_marks(models)])


def _marks(models: pd.DataFrame) -> list[str]:
    """Return a table with the epoch at which each model reaches each mark of validation accuracy."""
    rows = [
        [row["model"], percent(row["mean_validation_accuracy"]), *(_mark(row, name) for name in MARKS)]
        for _, row in models.iterrows()
    ]
    return [
        markdown_table(
            ["Model", "Mean over epochs", *MARKS.values()], rows, caption="Validation accuracy over the epochs"
        ),
        "",
        (
            "Validation accuracy: its mean over all epochs (the area under its curve; higher is sooner or better), and the "
            "epochs and seconds of training until it first reaches a mark, mean over the seeds that did."
        ),
    ]


def _mark(row: pd.Series, name: str) -> str:
    if not row[f"{name}_count"]:
        return "not reached"
    counted = "" if row[f"{name}_count"] == row["seeds"] else f" ({row[f'{name}_count']} of {row['seeds']} seeds)"
    return f"{row[name]:.3g} epochs, {row[name.replace('epochs', 'seconds')]:.3g} s{counted}"


def _points(value: float) -> str:
    return UNKNOWN if pd.isna(value) else f"{100 * value:.2f} points"
