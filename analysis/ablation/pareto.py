"""The Pareto front: trials that no other trial dominates on two objectives."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.ablation.trials import ALL, EMBEDDING, Trials
from analysis.figures import pareto_figure
from analysis.findings import Finding
from analysis.schema import ResultsError
from analysis.wording import listing, plural

COSTS = ("parameters", "epoch_seconds")
FEW = 100
"""Costs below this value are shown with three digits, others as whole numbers."""
Direction = Literal["maximize", "minimize"]


def pareto_front(values_N2: NDArray[np.float64], directions: Sequence[Direction]) -> NDArray[np.bool_]:
    """Return (N,): True if no other row is at least as good on both columns and better on one; False for a row with NaN."""
    values = np.asarray(values_N2, dtype=float)
    if values.ndim != 2 or values.shape[1] != 2 or len(directions) != 2:  # noqa: PLR2004  two objectives
        raise ResultsError(
            f"pareto_front: must have two values a row and two directions, got shape {values.shape} and "
            f"{len(directions)} directions. Choose two objectives."
        )
    cost = values * [-1.0 if direction == "maximize" else 1.0 for direction in directions]
    beaten_N = [bool(((cost <= row).all(axis=1) & (cost < row).any(axis=1)).any()) for row in cost]
    front: NDArray[np.bool_] = ~np.array(beaten_N, dtype=bool) & ~np.isnan(cost).any(axis=1)
    return front


def pareto(trials: Trials, cost: str = "parameters") -> Finding:
    """Compare the objective of each complete trial with a cost, of which lower is better."""
    if cost not in COSTS:
        raise ResultsError(f"cost: must be one of {', '.join(COSTS)}, got {cost!r}. Name one of them.")
    rows = trials.per_trial.loc[trials.scores.index]
    table = pd.DataFrame({"trial": rows.index, "mean": trials.means.to_numpy(), cost: rows[cost].to_numpy()})
    table["model"] = rows[EMBEDDING].astype(str).to_numpy() if EMBEDDING in trials.spaces else ALL
    table["front"] = pareto_front(table[["mean", cost]].to_numpy(), (trials.direction, "minimize"))
    table = table.sort_values([cost, "trial"], ignore_index=True)
    front = table[table["front"]]
    name = cost.replace("_", " ")
    seeds = trials.scores.shape[1]
    said = [
        f"trial {row['trial']} ({trials.show(row['mean'])}, {row[cost]:{',.0f' if row[cost] >= FEW else '.3g'}} {name})"
        for _, row in front.iterrows()
    ]
    summary = (
        f"Of {plural(len(table), 'complete trial')}, {len(front)} are on the front of {trials.goal} against {name}: no "
        f"other is at least as good on both and better on one: {listing(said) if said else 'none'}. Values are means of "
        f"{plural(seeds, 'seed')}; membership of the front carries no interval, and trials closer than their intervals in "
        "the table of trials may swap places."
    )
    if cost == "epoch_seconds":
        summary += " Seconds are those of the machine that trained, and of what else ran on it."
    figures = {}
    if len(front):
        dots = table.merge(trials.scores, left_on="trial", right_index=True)[list(trials.scores.columns)].to_numpy()
        figure = pareto_figure(table, dots, list(trials.groups), cost, unit=trials.goal, percent=trials.is_rate)
        figures["ablation_pareto"] = figure
    return Finding("pareto", "Value against cost", summary, {"pareto": table}, figures)
