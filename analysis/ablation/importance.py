"""The importance of each factor over the searched space.

Source: fANOVA, Hutter, Hoos, Leyton-Brown 2014 (ICML); PED-ANOVA, Watanabe, Bansal, Hutter 2023 (IJCAI, arXiv 2304.10255).
"""

import numpy as np
import pandas as pd
from pandas.api import types

from analysis.ablation.trials import Trials, short_names
from analysis.figures import importance_figure
from analysis.findings import Finding
from analysis.schema import ResultsError
from analysis.wording import UNKNOWN, listing, percent, plural


def importance(trials: Trials, importances: pd.DataFrame) -> Finding:
    """Return the finding for `importances`: one row per factor, its path in the column `factor`, and a column of shares per measure."""
    measures = _check(trials, importances)
    table = importances.sort_values([measures[0], "factor"], ascending=[False, True], ignore_index=True)
    names = short_names(trials.factors)
    said = [f"{measure}: {_first(table[measure], table['factor'].map(names))}" for measure in measures]
    unmeasured = [names[path] for path in trials.factors if path not in set(table["factor"])]
    summary = (
        f"From n = {plural(len(trials.scores), 'complete trial')}: {'; '.join(said)}. Importance is a share over the space "
        "that was tried: of the variance of the objective (fANOVA), or of what sets the best trials apart (PED-ANOVA). "
        "It depends on the ranges: a wider range makes a factor "
        "more important. With few trials it is noise, and it carries no interval here. It is no causal and no universal "
        "ranking: a factor of small share can still decide between two settings."
        + (f" Not measured: {listing(unmeasured)}." if unmeasured else "")
    )
    figure = importance_figure(table.replace({"factor": names}), measures, len(trials.scores))
    return Finding("importance", "Importance", summary, {"importance": table}, {"ablation_importance": figure})


def _first(shares: pd.Series, names: pd.Series) -> str:
    """Return text that names the factors with the largest share, or says that none stands out."""
    largest = names[np.isclose(shares, shares.max())]
    if shares.isna().all():
        return UNKNOWN
    if len(shares) > 1 and len(largest) == len(shares):
        return f"no factor before another ({percent(float(shares.max()))} each)"
    return f"{listing(list(largest))} first ({percent(float(shares.max()))})"


def _check(trials: Trials, importances: pd.DataFrame) -> list[str]:
    """Return the names of the measures; `ResultsError` for a table without factors or with unknown factors."""
    measures = [str(name) for name in importances.columns if name != "factor"]
    if "factor" not in importances or not measures or importances.empty:
        raise ResultsError(
            f"importances: must have a column 'factor' and one per measure, got {list(importances.columns)} with "
            f"{plural(len(importances), 'row')}. Name the factors, or pass None."
        )
    stray = [path for path in importances["factor"] if path not in trials.spaces]
    if stray:
        raise ResultsError(f"importances.factor: must be factors of the study, got {stray[0]!r}. Leave it out.")
    for name in measures:
        column = importances[name]
        if not types.is_numeric_dtype(column) or not column.dropna().between(0, 1 + 1e-9).all():
            raise ResultsError(
                f"importances.{name}: must hold shares in [0, 1], got {list(column)}. Divide by the sum."
            )
    return measures
