"""Effects of the factors: main effects and two-way interactions of a complete factorial, or contrasts with a base point.

Runs of one seed share their random streams, so every contrast is taken seed by seed and has a t interval over seeds.
Other designs get only the plain mean of each level and no test, because their levels also differ in other settings.

Letters: S seeds, A and B levels of two factors.
"""

from itertools import combinations, pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.ablation.design import Design, changed
from analysis.ablation.trials import LEVEL, Bounds, Trials, label, levels
from analysis.statistics.two_way import holm

Cube = NDArray[np.float64]
"""Values of a complete factorial: (S, levels of the first factor, levels of the second, ...)."""


Gap = tuple[str, object, object, int | None, NDArray[np.float64]]
"""A contrast: factor, level, reference level, its trial (one at a time only), differences per seed (S,)."""


def cube(trials: Trials) -> Cube:
    """Return the values of a complete factorial as one array, with levels in the order of the choices."""
    spaces = [list(space) for space in trials.spaces.values() if not isinstance(space, Bounds)]
    settings = trials.per_trial[trials.factors]
    places = [[space.index(value) for value in settings[path]] for path, space in zip(settings, spaces, strict=True)]
    values = np.empty((trials.scores.shape[1], *map(len, spaces)))
    index: tuple[slice | list[int], ...] = (slice(None), *places)
    values[index] = trials.scores.to_numpy().T
    return values


def marginal(values: Cube, *factors: int) -> NDArray[np.float64]:
    """Return the means per seed over all factors except the given ones: (S, A) for one factor, (S, A, B) for two."""
    kept = {0, *(factor + 1 for factor in factors)}
    means: NDArray[np.float64] = values.mean(axis=tuple(i for i in range(values.ndim) if i not in kept))
    return means


def interaction(values: Cube, first: int, second: int) -> NDArray[np.float64]:
    """Return (S, A, B): cell mean minus those of its row and column plus the grand mean, per seed."""
    cells_SAB = marginal(values, first, second)
    rows_SAB, columns_SAB = cells_SAB.mean(axis=2, keepdims=True), cells_SAB.mean(axis=1, keepdims=True)
    found: NDArray[np.float64] = cells_SAB - rows_SAB - columns_SAB + cells_SAB.mean(axis=(1, 2), keepdims=True)
    return found


def contrast_gaps(trials: Trials, found: Design) -> list[Gap]:
    """Return the contrasts of a design; empty where the design allows none."""
    if found.kind == "factorial":
        values = cube(trials)
        gaps: list[Gap] = []
        for i, (path, space) in enumerate(trials.spaces.items()):
            means_SA, (first, *others) = marginal(values, i), levels(space, trials.per_trial[path])
            gaps += [(path, other, first, None, means_SA[:, j] - means_SA[:, 0]) for j, other in enumerate(others, 1)]
        return gaps
    if found.base is None:
        return []
    settings, differs = trials.per_trial, changed(trials, found.base)
    gaps = []
    for path in trials.factors:
        for trial in differs.index[differs[path]]:
            gap_S = (trials.scores.loc[trial] - trials.scores.loc[found.base]).to_numpy()
            gaps.append((path, settings.loc[trial, path], settings.loc[found.base, path], int(trial), gap_S))
    return gaps


def contrast_table(trials: Trials, found: Design) -> pd.DataFrame:
    """Return one row per contrast: difference, unadjusted interval and p over seeds (df S - 1), and Holm-adjusted p over all rows."""
    rows = []
    for path, level, reference, trial, gap_S in contrast_gaps(trials, found):
        gap = trials.over_seeds(gap_S)
        low, high = gap.interval(LEVEL)
        row = {"factor": path, "level": label(level), "reference": label(reference), "trial": trial}
        rows.append(row | {"difference": gap.value, "low": low, "high": high, "p": gap.p, "seeds": len(gap_S)})
    table = pd.DataFrame(rows)
    if len(table):
        table.insert(8, "p_holm", holm(table["p"].to_numpy()))
    return table.drop(columns="trial") if len(table) and table["trial"].isna().all() else table


def interaction_table(trials: Trials) -> pd.DataFrame:
    """Return one row per cell of each pair of factors of a complete factorial: cell mean, interaction and its interval."""
    rows = []
    values = cube(trials)
    for first, second in combinations(range(len(trials.factors)), 2):
        cells_SAB, found_SAB = marginal(values, first, second), interaction(values, first, second)
        named = [
            levels(trials.spaces[path], trials.per_trial[path])
            for path in (trials.factors[first], trials.factors[second])
        ]
        for a, b in np.ndindex(found_SAB.shape[1:]):
            excess = trials.over_seeds(found_SAB[:, a, b])
            low, high = excess.interval(LEVEL)
            rows.append(
                {
                    "factor_a": trials.factors[first],
                    "level_a": label(named[0][a]),
                    "factor_b": trials.factors[second],
                    "level_b": label(named[1][b]),
                    "mean": float(cells_SAB[:, a, b].mean()),
                    "interaction": excess.value,
                    "low": low,
                    "high": high,
                    "seeds": len(cells_SAB),
                }
            )
    return pd.DataFrame(rows)


def level_of(trials: Trials, path: str) -> tuple[list[str], list[str]]:
    """Return the names of a factor's levels, and the level of each complete trial ("" where the factor does not apply).

    A range is divided into thirds on its own scale.
    """
    space, column = trials.spaces[path], trials.per_trial.loc[trials.scores.index, path]
    if isinstance(space, Bounds):
        edges = (np.geomspace if space.log else np.linspace)(space.low, space.high, 4)
        names = [f"{label(float(f'{a:.3g}'))} to {label(float(f'{b:.3g}'))}" for a, b in pairwise(edges)]
        places = np.searchsorted(edges[1:3], column.astype(float))
        return names, ["" if gone else names[i] for i, gone in zip(places, column.isna(), strict=True)]
    return (
        [label(level) for level in levels(space, column)],
        ["" if pd.isna(value) else label(value) for value in column],
    )


def level_table(trials: Trials) -> pd.DataFrame:
    """Return one row per level of each factor: number of complete trials, and mean and sd (ddof 1) of the trials' means over seeds."""
    rows = []
    for path in trials.factors:
        names, placed = level_of(trials, path)
        for name in names:
            means = trials.means[np.array(placed) == name]
            row = {"factor": path, "level": name, "trials": len(means)}
            rows.append(row | {"mean": means.mean(), "sd": means.std()})
    return pd.DataFrame(rows, columns=["factor", "level", "trials", "mean", "sd"])
