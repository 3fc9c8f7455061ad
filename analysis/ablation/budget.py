"""The expected best result of a search, and whether all models had the same search budget.

Source of the expected best: Dodge et al. 2019 (EMNLP, arXiv 1909.03004). Differs from it: drawn without replacement, as
theirs is biased low near n = N (Tang et al. 2020, ACL, arXiv 2004.13705; Dodge et al. 2021, arXiv 2110.00613).

Letters: N complete trials of one model.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.ablation.trials import ALL, EMBEDDING, LEVEL, Bounds, Trials
from analysis.figures import expected_best_figure, tuning_figure
from analysis.findings import Finding
from analysis.wording import listing, plural

BUDGET = ("trials", "complete", "pruned", "failed", "epochs", "seeds")
SPACE = ("dimension", "log10_volume")


def expected_best(values_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N,): the mean of the maximum over all subsets of n = 1..N of the N values; unbiased for independent trials."""
    ordered, count = np.sort(values_N), len(values_N)
    # P(highest <= v_(i)) = C(i, n) / C(N, n), the product of (i - k) / (N - k) over k < n; v_(i) is the highest with the
    # difference of two neighbours.
    taken = np.arange(count)[:, None]
    below_nN = (np.clip(np.arange(count + 1) - taken, 0, None) / (count - taken)).cumprod(axis=0)
    expected: NDArray[np.float64] = np.diff(below_nN, axis=1) @ ordered
    return expected


def best_quantile(values_N: NDArray[np.float64], quantile: float) -> NDArray[np.float64]:
    """Return (N,): the given quantile of the maximum of n = 1..N values drawn with replacement."""
    ordered, count = np.sort(values_N), len(values_N)
    place = np.ceil(count * quantile ** (1 / np.arange(1, count + 1)) - 1e-9).astype(int)
    found: NDArray[np.float64] = ordered[np.clip(place, 1, count) - 1]
    return found


def expected_best_table(trials: Trials) -> pd.DataFrame:
    """Return one row per model and n: the expected best value of n trials and its central 95 % interval under resampling."""
    parts = []
    for model, rows in trials.groups.items():
        means = trials.means[trials.means.index.isin(rows.index)].to_numpy()
        if not len(means):
            continue
        good = trials.sign * means
        ends = [trials.sign * best_quantile(good, q) for q in ((1 - LEVEL) / 2, (1 + LEVEL) / 2)]
        low, high = ends if trials.sign > 0 else ends[::-1]
        best = trials.sign * expected_best(good)
        parts.append(pd.DataFrame({"n": np.arange(1, len(means) + 1), "best": best, "low": low, "high": high}))
        parts[-1].insert(0, "model", model)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["model", "n", "best", "low", "high"])


def search(trials: Trials) -> Finding:
    """Return the expected best value of n trials, by model."""
    table = expected_best_table(trials)
    said = []
    for model, rows in table.groupby("model", sort=False):
        half, whole = rows.iloc[(len(rows) - 1) // 2], rows.iloc[-1]
        said.append(
            f"{model}: {trials.show(whole['best'])} [{trials.show(whole['low'])}, {trials.show(whole['high'])}] from "
            f"{plural(int(whole['n']), 'trial')}"
            + (f", {trials.show(half['best'])} from {half['n']}" if len(rows) > 1 else "")
        )
    left = len(trials.per_trial) - len(trials.scores)
    summary = (
        f"Expected best {trials.goal} of n trials, brackets: its central {100 * LEVEL:g} % over redrawn searches. "
        f"{'; '.join(said) or 'No trial is complete'}. It is the mean over all choices of n observed trials: without bias for "
        "random search, though near n = N it rests on the best few alone, and only indicative for TPE and other samplers whose "
        "trials depend on earlier ones. The brackets redraw trials with replacement and never pass the best value seen: near "
        "n = N they are too narrow. "
        "Curves of models may cross: which is better can depend on the budget."
        + (
            f" {plural(left, 'trial')} without a value left out; leaving out pruned trials flatters the curve."
            if left
            else ""
        )
    )
    figures = {}
    if len(table):
        groups = {model: trials.means[trials.means.index.isin(rows.index)] for model, rows in trials.groups.items()}
        figure = expected_best_figure(table, groups, unit=trials.goal, percent=trials.is_rate)
        figures["ablation_expected_best"] = figure
    return Finding("expected_best", "What the budget buys", summary, {"expected_best": table}, figures)


def certificate_table(trials: Trials) -> pd.DataFrame:
    """Return one row per model: its search cost, the size of its search space, and its best value.

    `dimension` counts the factors that apply to the model and can vary. `log10_volume` sums the logarithms of their sizes:
    the number of choices, the decades of a logarithmic range, the width of a linear one in its unit.
    """
    rows = []
    for model, of_model in trials.groups.items():
        states = of_model["state"].value_counts()
        means = trials.means[trials.means.index.isin(of_model.index)]
        applying = [
            space
            for path, space in trials.spaces.items()
            if (model == ALL or path != EMBEDDING) and of_model[path].notna().any()
        ]
        sizes = [space.size if isinstance(space, Bounds) else float(len(space)) for space in applying]
        rows.append(
            {
                "model": model,
                "trials": len(of_model),
                **{state.lower(): int(states.get(state, 0)) for state in ("COMPLETE", "PRUNED", "FAILED")},
                "epochs": int(of_model["epochs"].sum()),
                "seeds": trials.scores.shape[1] if len(means) else 0,
                "dimension": sum(isinstance(space, Bounds) or len(space) > 1 for space in applying),
                "log10_volume": float(np.log10(sizes).sum()),
                "best": trials.sign * float((trials.sign * means).max()) if len(means) else np.nan,
            }
        )
    return pd.DataFrame(rows)


def certificate(trials: Trials) -> Finding:
    """Report whether all models had the same search budget, and what differs."""
    table = certificate_table(trials)
    if len(table) == 1:
        verdict = "Equal budget: nothing to compare, there is one model"
        spent = table.iloc[0]
        summary = (
            f"{verdict} ({plural(spent['trials'], 'trial')}, {plural(spent['epochs'], 'epoch')}, "
            f"{plural(spent['seeds'], 'seed')} a complete trial)."
        )
    else:
        unequal, space = _differing(table, BUDGET), _differing(table, SPACE)
        verdict = "Equal budget: no" if unequal else "Equal budget: yes"
        summary = f"**{verdict}**" + (
            f", what differs: {listing(unequal)}. " if unequal else ": every model had the same. "
        )
        summary += (
            f"Their spaces differ in {listing(space)}, so equal budgets would cover them unequally."
            if space
            else "Their spaces have the same size."
        )
    summary += (
        " A model that was tuned more looks better for that alone. Best values are means over seeds on validation, and "
        "optimistic as in the table of trials; volumes compare only where the same factors apply."
    )
    figures = {"ablation_tuning": tuning_figure(table)}
    return Finding("certificate", "Tuning budget", summary, {"budget": table}, figures, {"verdict": verdict})


def _differing(table: pd.DataFrame, columns: tuple[str, ...]) -> list[str]:
    said = []
    for column in columns:
        if not np.allclose(table[column], table[column].iloc[0], rtol=1e-9, atol=1e-9):
            counts = ", ".join(
                f"{model} {value:.4g}" for model, value in zip(table["model"], table[column], strict=True)
            )
            said.append(f"{column.replace('_', ' ')} ({counts})")
    return said
