"""The manifest of a study: its plan, variants and cells.

This module imports neither torch nor a store, so that evidence can be read without them.
"""

import json
from collections.abc import Mapping
from typing import Any, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, model_validator

from analysis.analyses.looking import LEDGER
from analysis.plan import Name, Plan
from analysis.schema import ADVICE


class CellEntry(BaseModel):
    """A cell of a study in its manifest."""

    model_config = ConfigDict(frozen=True)

    model: Name
    """Name of its variant."""
    seed: int
    cell: str = ""
    """Identity of the cell, by which its run can be found."""
    variant: str = ""
    """Identity of the cell without the seed: one search finds all runs of a variant."""
    run_id: str | None = None
    """The finished run of the cell, if there is one."""


class Manifest(BaseModel):
    """The content of a study, on which every analysis relies."""

    model_config = ConfigDict(frozen=True)

    id: str
    """The hash of its plan and variants."""
    name: Name
    """The stem of the file that it came from."""
    plan: Plan
    plan_hash: str
    """Hash of the declaration from before the first training."""
    seeds: tuple[int, ...]
    variants: dict[Name, dict[str, Any]]
    """The config of each variant, without a seed."""
    cells: tuple[CellEntry, ...]
    tuning_trials: dict[str, int] = {}
    """Number of trials from which the settings of each variant were chosen."""

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        if strange := {name for pair in self.plan.pairs for name in pair} - set(self.variants):
            raise ValueError(f"plan.pairs: must be of variants of the study, got {min(strange)}")
        return self

    def about(self, model: str) -> dict[str, Any]:
        """Return the columns of the table of runs that a variant determines, rather than its runs."""
        embedding = self.variants[model]["model"]["embedding"]["name"]
        return {"tuning_trials": self.tuning_trials.get(model, 0), "embedding": embedding}

    def with_runs(self, runs: Mapping[str, str]) -> Self:
        """Return the manifest with missing run ids filled in from `runs`, which maps identities of cells to run ids."""
        cells = [entry.model_copy(update={"run_id": entry.run_id or runs.get(entry.cell)}) for entry in self.cells]
        return self.model_copy(update={"cells": tuple(cells)})


def ledger_of(text: str) -> pd.DataFrame:
    """Return the ledger of looks as a table, from its stored JSON."""
    table = pd.DataFrame(**json.loads(text))[[*LEDGER, "at"]]
    return table.astype({name: float for name in LEDGER if name == "difference" or name.startswith("p")})


def advice_of(text: str) -> pd.DataFrame:
    """Return the advice of the encoding doctor as a table, from its stored JSON."""
    table = pd.DataFrame(**json.loads(text))[list(ADVICE)]
    return table.astype({name: float for name, kind in ADVICE.items() if kind == "number"})
