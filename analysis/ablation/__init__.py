"""The analysis of ablation studies: what was tried, what the trials show, and what they do not show."""

import pandas as pd

from analysis.ablation.budget import certificate, expected_best, search
from analysis.ablation.document import Document, ablation_report
from analysis.ablation.effects import effects
from analysis.ablation.importance import importance
from analysis.ablation.pareto import pareto, pareto_front
from analysis.ablation.ranking import ranking
from analysis.ablation.trials import Bounds, Trials
from analysis.findings import Finding

__all__ = [
    "Bounds",
    "Document",
    "Trials",
    "ablation_findings",
    "ablation_report",
    "expected_best",
    "pareto_front",
]


def ablation_findings(
    trials: Trials, importances: pd.DataFrame | None = None, *, cost: str = "parameters", named: bool = False
) -> list[Finding]:
    """Return the findings of a study, in the order of the report.

    `importances` has a column `factor` of dotted paths and a column of shares in [0, 1] per measure. `cost`, parameters
    or epoch_seconds, is plotted against the objective. `named` changes are compared on the test split, so for them
    there are no level contrasts and no account of the search.
    """
    if named:
        return [ranking(trials), pareto(trials, cost)]
    measured = [] if importances is None else [importance(trials, importances)]
    return [ranking(trials), effects(trials), search(trials), certificate(trials), *measured, pareto(trials, cost)]
