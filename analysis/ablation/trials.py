"""The trials of an ablation study: one row per trial and seed, and the search space of the study.

Letters: T complete trials, S seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log10
from typing import Literal

import numpy as np
import pandas as pd

from analysis.schema import Kind, ResultsError, check_columns, check_unique
from analysis.statistics.two_way import Estimate, Part, estimate
from analysis.wording import UNKNOWN, as_words, percent, points

STATES = ("COMPLETE", "PRUNED", "FAILED")
COLUMNS: Mapping[str, Kind] = {
    "trial": "integer",
    "state": "text",
    "seed": "integer",
    "value": "number",
    "epochs": "integer",
    "parameters": "number",
    "epoch_seconds": "number",
}
EMBEDDING = "model.embedding.name"
ALL = "all trials"
LEVEL = 0.95
ROUNDING = 1e-12
"""A value below this share of the largest value counts as zero: it is the rounding error of a sum."""


@dataclass(frozen=True)
class Bounds:
    """The range of a factor that takes any number between two bounds."""

    low: float
    high: float
    log: bool = False
    """Whether the factor is sampled on a logarithmic scale."""

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            floor = "0 < " if self.log else ""
            raise ResultsError(
                f"spaces: a range must have {floor}low < high, got low {self.low} and high {self.high}. Widen the range."
            )

    @property
    def size(self) -> float:
        """Width of the range on its own scale: decades when logarithmic, else high minus low."""
        return log10(self.high / self.low) if self.log else self.high - self.low


Space = Bounds | Sequence[object]


@dataclass(frozen=True, eq=False)
class Trials:
    """The trials of a study, complete and incomplete, scored on the validation split.

    A setting may lie outside its factor's space: the base point of a study need not be among its choices.
    """

    table: pd.DataFrame
    """One row per (trial, seed): the columns of COLUMNS, and one per factor, NaN or None where it does not apply."""
    objective: str
    """Name of the quantity in the column `value`. A name that contains "accuracy" means a rate in [0, 1], shown in percent."""
    direction: Literal["maximize", "minimize"]
    """Whether a higher or a lower value is better."""
    spaces: Mapping[str, Space]
    """Factors by dotted path, each with its choices or its range."""

    def __post_init__(self) -> None:
        if self.direction not in {"maximize", "minimize"}:
            raise ResultsError(
                f"direction: must be 'maximize' or 'minimize', got {self.direction!r}. Name one of them."
            )
        check_columns("trials", self.table, COLUMNS)
        if self.table.empty:
            raise ResultsError("trials: must hold at least one trial, got none. Run some first.")
        check_unique("trials", self.table, ["trial", "seed"])
        unknown = sorted(set(self.table["state"]) - set(STATES))
        if unknown:
            raise ResultsError(f"trials.state: must be among {', '.join(STATES)}, got {unknown[0]!r}. Translate it.")
        self._check_factors()
        self._check_constant()
        self._check_complete()

    def _check_factors(self) -> None:
        missing = [factor for factor in self.spaces if factor not in self.table]
        if missing:
            raise ResultsError(
                f"trials: must have a column for each factor, got none for {missing[0]}. Add the column."
            )
        for factor, space in self.spaces.items():
            if isinstance(space, Bounds):
                continue
            if isinstance(space, str) or not space or len(set(space)) < len(space):
                raise ResultsError(f"spaces.{factor}: must list distinct choices, got {space!r}. Name each once.")

    def _check_constant(self) -> None:
        counts = self.table.groupby("trial")[["state", *self.spaces]].nunique(dropna=False)
        wrong = counts[(counts > 1).any(axis=1)]
        if len(wrong):
            column = counts.columns[(wrong.iloc[0] > 1).to_numpy()][0]
            raise ResultsError(
                f"trials.{column}: must be the same for all seeds of a trial, got {wrong.iloc[0][column]} for trial "
                f"{wrong.index[0]}. Give each setting a trial of its own."
            )

    def _check_complete(self) -> None:
        complete = self.table[self.table["state"] == "COMPLETE"]
        wrong = complete[~np.isfinite(complete["value"])]
        if len(wrong):
            raise ResultsError(
                f"trials.value: must be finite for a complete trial, got {wrong['value'].iloc[0]} for trial "
                f"{wrong['trial'].iloc[0]} seed {wrong['seed'].iloc[0]}. Mark the trial FAILED."
            )
        outside = complete[~complete["value"].between(0, 1)]
        if self.is_rate and len(outside):
            raise ResultsError(
                f"trials.value: {self.objective} must lie in [0, 1], got {outside['value'].iloc[0]}. "
                "Give rates, not percent."
            )
        gaps = self.scores[self.scores.isna().any(axis=1)]
        if len(gaps):
            seed = gaps.columns[gaps.iloc[0].isna()][0]
            raise ResultsError(
                f"trials.seed: complete trials must share their seeds, got none for trial {gaps.index[0]} seed {seed}. "
                "Run it, or mark the trial FAILED."
            )

    @property
    def factors(self) -> list[str]:
        """The paths of the factors, in the order of the study."""
        return list(self.spaces)

    @property
    def sign(self) -> int:
        """1 if higher values are better, else -1."""
        return 1 if self.direction == "maximize" else -1

    @property
    def goal(self) -> str:
        """The objective as written in the report."""
        return self.objective.replace("_", " ")

    @property
    def is_rate(self) -> bool:
        """Whether values are rates in [0, 1], shown in percent."""
        return "accuracy" in self.objective

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Values of the complete trials (T, S), trials and seeds in ascending order."""
        complete = self.table[self.table["state"] == "COMPLETE"]
        return complete.pivot(index="trial", columns="seed", values="value").astype(float)  # noqa: PD010

    @cached_property
    def means(self) -> pd.Series:
        """Mean over seeds of each complete trial (T,)."""
        return self.scores.mean(axis=1)

    @cached_property
    def per_trial(self) -> pd.DataFrame:
        """One row per trial, ascending: state, factors, seeds, epochs over all seeds, parameters, epoch_seconds."""
        groups = self.table.sort_values(["trial", "seed"]).groupby("trial")
        costs = groups.agg({"epochs": "sum", "parameters": "mean", "epoch_seconds": "mean"})
        return groups[["state", *self.spaces]].nth(0).set_index(costs.index).assign(seeds=groups.size(), **costs)

    @cached_property
    def groups(self) -> dict[str, pd.DataFrame]:
        """Rows of `per_trial` by embedding, in the order of the choices; a single group where the embedding is not a factor."""
        if EMBEDDING not in self.spaces:
            return {ALL: self.per_trial}
        return {
            label(level): self.per_trial[self.per_trial[EMBEDDING] == level]
            for level in levels(self.spaces[EMBEDDING], self.per_trial[EMBEDDING])
        }

    def over_seeds(self, values_S: Sequence[float] | np.ndarray) -> Estimate:
        """Estimate a mean over seeds with S - 1 df; differences in the last digits count as rounding, not as variance."""
        values = np.asarray(values_S, dtype=float)
        dust = ROUNDING * float(np.abs(self.scores.to_numpy()).max(initial=0))
        mean = 0.0 if abs(values.mean()) <= dust else float(values.mean())
        same = float(np.ptp(values)) <= dust
        return (
            estimate(mean, [Part(0.0 if same else float(values.var(ddof=1)), len(values))])
            if len(values) > 1
            else (Estimate(mean, np.nan, np.nan))
        )

    def show(self, value: float) -> str:
        """Return a value of the objective as text."""
        return percent(value) if self.is_rate else UNKNOWN if np.isnan(value) else f"{value:.4g}"

    def show_gap(self, gap: float) -> str:
        """Return a signed difference of values as text; in percentage points for rates."""
        return f"{points(gap)} points" if self.is_rate else UNKNOWN if np.isnan(gap) else f"{gap:+.3g}"


def levels(space: Space, column: pd.Series) -> list[object]:
    """Return all levels of a factor: the choices in their order, then any other values that were tried, ascending."""
    choices = [] if isinstance(space, Bounds) else list(space)
    tried = [value for value in column.dropna().unique() if value not in choices]
    return choices + sorted(tried, key=lambda value: (isinstance(value, str), value))


def label(value: object, digits: int = 6) -> str:
    """Return a short text for a setting; whole numbers keep all their digits."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value)).lower()
    if not isinstance(value, (int, float, np.number)):
        return as_words(str(value), letters=1000)
    number = float(value)
    return f"{number:.0f}" if number.is_integer() and abs(number) < 1e9 else f"{number:.{digits}g}"  # noqa: PLR2004


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Return the shortest unique suffix of each dotted path."""
    names = {}
    for path in paths:
        parts = path.split(".")
        endings = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        taken = [f".{other}" for other in paths if other != path]
        names[path] = next((end for end in endings if not any(o.endswith(f".{end}") for o in taken)), path)
    return names
