"""The trials of a study, best first."""

import numpy as np
import pandas as pd

from analysis.ablation.trials import LEVEL, Trials, label, short_names
from analysis.figures import Figure, Row, estimates_figure
from analysis.findings import Finding
from analysis.wording import plural

SHOWN = 20
"""Number of trials that the figure shows."""


def trial_table(trials: Trials) -> pd.DataFrame:
    """Return one row per trial: mean over seeds, t interval (df S - 1), sd (ddof 1), costs and settings.

    Complete trials come first, best first, ties by number; `best` marks the first of them. Intervals of rates are clipped
    to [0, 1]; with one seed there is no interval.
    """
    rows = []
    for trial in trials.per_trial.index:
        complete = trial in trials.scores.index
        values_S = trials.scores.loc[trial].to_numpy() if complete else np.array([np.nan])
        low, high = trials.over_seeds(values_S).interval(LEVEL)
        if trials.is_rate:
            low, high = np.clip([low, high], 0, 1)
        sd = float(values_S.std(ddof=1)) if len(values_S) > 1 else np.nan
        rows.append({"trial": trial, "best": False, "mean": values_S.mean(), "low": low, "high": high, "sd": sd})
    table = pd.DataFrame(rows).merge(trials.per_trial, left_on="trial", right_index=True)
    table["order"] = -trials.sign * table["mean"]
    table = table.sort_values(["order", "trial"], na_position="last", ignore_index=True).drop(columns="order")
    table.loc[0, "best"] = bool(len(trials.scores))
    return table


def ranking(trials: Trials) -> Finding:
    """Rank the trials by their mean over seeds."""
    table = trial_table(trials)
    counts = trials.per_trial["state"].value_counts()
    states = ", ".join(f"{counts.get(state, 0)} {state.lower()}" for state in ("COMPLETE", "PRUNED", "FAILED"))
    head = f"{plural(len(table), 'trial')} ({states})."
    if not len(trials.scores):
        return Finding("trials", "Trials", f"{head} None is complete, so there is nothing to rank.", {"trials": table})
    seeds, complete = trials.scores.shape[1], len(trials.scores)
    best = table.iloc[0]
    within = "no interval from one seed" if seeds == 1 else f"[{trials.show(best['low'])}, {trials.show(best['high'])}]"
    summary = (
        f"{head} Best {trials.goal}: trial {best['trial']} with {trials.show(best['mean'])} ({within}, mean of "
        f"{plural(seeds, 'seed')}): {_described(trials, best)}. "
    )
    summary += (
        f"The best of {complete} validation scores is optimistic: it was chosen because it is the best on these sequences "
        "and seeds, and its interval does not know that. Score it on the test split, with new seeds, before claiming it. "
        if complete > 1
        else ""
    )
    summary += f"Intervals: t over seeds at {100 * LEVEL:g} %, on these validation sequences."
    return Finding("trials", "Trials", summary, {"trials": table}, {"ablation_trials": _figure(trials, table)})


def _described(trials: Trials, row: pd.Series) -> str:
    names = short_names(trials.factors)
    return ", ".join(f"{names[path]} {label(row[path], 3)}" for path in trials.factors if pd.notna(row[path]))


def _figure(trials: Trials, table: pd.DataFrame) -> Figure:
    shown = table.iloc[: min(SHOWN, len(trials.scores))]
    rows = [
        Row(
            label=f"trial {row['trial']}",
            value=row["mean"],
            points=tuple(trials.scores.loc[row["trial"]]),
            low=row["low"],
            high=row["high"],
            strong=bool(row["best"]),
            note=_described(trials, row),
        )
        for _, row in shown.iterrows()
    ]
    cut = f"; shown: {SHOWN} of {len(trials.scores)}" if len(trials.scores) > SHOWN else ""
    return estimates_figure(
        rows,
        title=f"Trials by {trials.goal}",
        subtitle=(
            f"Bar: mean, line: {100 * LEVEL:g} % interval over seeds, points: seeds; blue: the best{cut}.<br>"
            "The best of many validation scores is optimistic"
        ),
        unit=trials.goal,
        percent=trials.is_rate,
    )
