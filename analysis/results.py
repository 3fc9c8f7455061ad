"""The input of all analyses: the results of a study as three tidy tables, and its plan.

Letters: R runs (cells), S seeds of one model, n test sequences, E epochs.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from hashlib import blake2b
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.plan import Declaration, Plan
from analysis.schema import (
    ACCURACIES,
    ADVICE,
    CURVES,
    PREDICTION_RANGES,
    PREDICTIONS,
    RUNS,
    STREAM_COLUMNS,
    TIMELESS,
    ResultsError,
    check_columns,
    check_one,
    check_range,
    check_unique,
)
from analysis.statistics.guessing import beats_guessing
from analysis.statistics.two_way import WHOLE, Strata, by_class

__all__ = ["Results", "ResultsError", "TestSet"]

Cell = tuple[str, int]


@dataclass(frozen=True, eq=False)
class TestSet:
    """The test sequences that every run predicted, each array (n,), in ascending order of sample_id."""

    __test__ = False  # tells pytest that this is not a test class

    sample_id: NDArray[np.int64]
    length: NDArray[np.int64]
    label: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Results:
    """The runs of a study, their curves, their test predictions, and the plan that was declared for them.

    Rows of `runs` whose status is not FINISHED stand for missing cells. Accuracies are in [0, 1]. After construction, `runs` holds
    only the finished cells, by model in the order of the study and by seed.
    """

    runs: pd.DataFrame
    """One row per cell (model, seed)."""
    curves: pd.DataFrame
    """One row per cell, epoch (from 1), split and metric."""
    predictions: pd.DataFrame
    """One row per cell and test sequence, at the epoch that was best on validation."""
    plan: Plan
    """The plan that was declared before the runs."""
    probes: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """Tables measured on the trained models, by name."""
    allow_missing: bool = False
    """Whether cells may be missing; a pair then uses the seeds that both of its models have."""
    declaration: Declaration | None = None
    """The declaration that was stored before the runs; None if there is none."""
    ledger: pd.DataFrame | None = None
    """The ledger of looks, if the plan has looks: one row per look and pair that was open."""
    class_names: tuple[str, ...] = ()
    """Names of the classes, in the order of their numbers; by default the numbers."""
    advice: pd.DataFrame | None = None
    """The encoding doctor's advice from before the first training; None if it gave none, or was not asked."""
    missing: tuple[Cell, ...] = field(init=False, default=())
    """Missing cells (model, seed)."""

    def __post_init__(self) -> None:
        check_columns("runs", self.runs, {name: RUNS[name] for name in ("model", "seed", "status")})
        check_unique("runs", self.runs, ["model", "seed"])
        finished = self.runs[self.runs["status"] == "FINISHED"]
        if finished.empty:
            raise ResultsError(f"runs: at least one must be FINISHED, got none of {len(self.runs)}. Train some first.")
        check_columns("runs", finished, RUNS)
        object.__setattr__(self, "missing", self._missing_cells(finished))
        position = {model: i for i, model in enumerate(dict.fromkeys(self.runs["model"]))}
        order = np.lexsort((finished["seed"], finished["model"].map(position).astype(int)))
        object.__setattr__(self, "runs", finished.iloc[order].reset_index(drop=True))
        self._check_runs()
        check_columns("curves", self.curves, CURVES)
        check_unique("curves", self.curves, ["model", "seed", "epoch", "split", "metric"])
        check_columns("predictions", self.predictions, PREDICTIONS)
        if self.advice is not None:
            check_columns("advice", self.advice, ADVICE)
            check_unique("advice", self.advice, ["model"])
        for name, bounds in PREDICTION_RANGES.items():
            check_range(f"predictions.{name}", self.predictions[name], *bounds)
        _ = self.test_set, self.classes  # they check that every run predicted the same sequences, of known classes

    def with_probe(self, name: str, table: pd.DataFrame) -> Self:
        """Return the same results with a further table of a probe."""
        extended = copy(self)
        object.__setattr__(extended, "probes", {**self.probes, name: table})
        return extended

    def first_seeds(self, count: int, level: float) -> Self:
        """Return the results at a look: the first `count` declared seeds, and a plan of a single look at `level`."""
        order = self.declaration.seeds if self.declaration else sorted(set(self.runs["seed"]))
        seen = [table[table["seed"].isin(order[:count])] for table in (self.runs, self.curves, self.predictions)]
        plan = self.plan.at(level)
        return replace(self, runs=seen[0], curves=seen[1], predictions=seen[2], plan=plan, allow_missing=True)

    def _missing_cells(self, finished: pd.DataFrame) -> tuple[Cell, ...]:
        if self.plan.looks:  # a model whose pairs are all decided stops, so its later cells are not missing
            rest = self.runs[self.runs["status"] != "FINISHED"]
            missing = tuple((str(m), int(s)) for m, s in zip(rest["model"], rest["seed"], strict=True))
        else:
            missing = self._absent_cells(finished)
        if missing and not self.allow_missing:
            raise ResultsError(
                f"runs: every model must have every seed, got no finished run of {name_cells(missing)}. "
                "Run compare again to train them, or pass --allow-missing."
            )
        return missing

    def _absent_cells(self, finished: pd.DataFrame) -> tuple[Cell, ...]:
        """Return the cells of all models and all seeds that are not finished."""
        present = set(zip(finished["model"], finished["seed"], strict=True))
        models, seeds = dict.fromkeys(self.runs["model"]), sorted(set(self.runs["seed"]))
        return tuple((str(m), int(s)) for m in models for s in seeds if (m, s) not in present)

    def _check_runs(self) -> None:
        remedy = "Compare runs of the same data."
        check_one("runs.dataset", self.runs["dataset"], "data set", remedy)
        check_one("runs.data_digest", self.runs["data_digest"], "digest of the data", remedy)
        for model, rows in self.runs.groupby("model", observed=True, sort=False):
            check_one(
                f"runs.config_hash of {model}", rows["config_hash"], "config", "Give each config a variant of its own."
            )
        for name in ACCURACIES:
            check_range(f"runs.{name}", self.runs[name], 0, 1, "Give rates, not percent.")
        if self.plan.reference and self.plan.reference not in self.models:
            if self.plan.reference in self.lost:
                raise ResultsError(
                    f"plan.reference: must have a finished run, got none of {self.plan.reference}. Train it."
                )
            near = get_close_matches(self.plan.reference, self.models, n=1)
            raise ResultsError(
                f"plan.reference: must be one of {', '.join(self.models)}, got {self.plan.reference!r}. "
                + (f"Did you mean {near[0]!r}?" if near else "Name a variant of the study.")
            )

    @cached_property
    def models(self) -> list[str]:
        """The models, in the order of the study."""
        return list(dict.fromkeys(self.runs["model"].astype(str)))

    @cached_property
    def lost(self) -> list[str]:
        """The models of the study without a finished run; their declared pairs still count in the correction."""
        return list(dict.fromkeys(model for model, _ in self.missing if model not in self.models))

    @cached_property
    def timeless(self) -> list[str]:
        """The models that do not see times; empty if the table has no embeddings."""
        if "embedding" not in self.runs:
            return []
        return list(dict.fromkeys(self.runs["model"][self.runs["embedding"].isin(TIMELESS)].astype(str)))

    @property
    def has_controls(self) -> bool:
        """Whether there is a control that sees the order of events but no times, and a model that sees times."""
        return (
            "embedding" in self.runs
            and {"order"} <= set(self.runs["embedding"])
            and set(self.models) > set(self.timeless)
        )

    @property
    def reference(self) -> str:
        """The reference model, with which the others are compared."""
        return self.plan.reference or self.models[0]

    @property
    def reference_first(self) -> list[str]:
        """The models with the reference first, then in the order of the study: of a pair, the earlier one is named second."""
        return [self.reference, *(model for model in self.models if model != self.reference)]

    @cached_property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of their numbers; without names, the numbers up to the highest that occurs."""
        highest = int(max(self.test_set.label.max(), *(predicted.max() for predicted in self.predicted.values())))
        if not self.class_names:
            return [str(number) for number in range(highest + 1)]
        if highest >= len(self.class_names):
            raise ResultsError(
                f"class_names: must name every class, got {len(self.class_names)} names and class {highest}. Name them all."
            )
        return list(self.class_names)

    @cached_property
    def streams(self) -> tuple[str, ...]:
        """The random streams that vary separately over the seeds; empty if the seed decides all of them together."""
        known = {name: column for name, column in STREAM_COLUMNS.items() if column in self.runs}
        return tuple(name for name, column in known.items() if len(self.runs[column].dropna().unique()) > 1)

    @property
    def is_crossed(self) -> bool:
        """Whether runs of one model share levels of several streams, and are therefore not independent."""
        return len(self.streams) > 1

    def seeds(self, model: str) -> list[int]:
        """Return the seeds of one model, ascending."""
        return [int(seed) for seed in self.runs.loc[self.runs["model"] == model, "seed"]]

    @cached_property
    def _rows(self) -> dict[Cell, int]:
        return {(str(m), int(s)): i for i, (m, s) in enumerate(zip(self.runs["model"], self.runs["seed"], strict=True))}

    def _row_of(self, where: str, table: pd.DataFrame) -> NDArray[np.int64]:
        """Return, for each row of `table`, the row of `runs` to which it belongs, -1 for a missing cell."""
        models, model_names = pd.factorize(table["model"])
        seeds, seed_values = pd.factorize(table["seed"])
        row_MS = np.full((len(model_names), len(seed_values)), -1)
        gone = set(self.missing)
        for i, j in set(zip(models.tolist(), seeds.tolist(), strict=True)):
            cell = (str(model_names[i]), int(seed_values[j]))
            if cell not in self._rows and cell not in gone:
                raise ResultsError(f"{where}: must hold cells of runs only, got {name_cells([cell])}. Add its run.")
            row_MS[i, j] = self._rows.get(cell, -1)
        found: NDArray[np.int64] = row_MS[models, seeds]
        return found

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        """Return (R * n,) positions in `predictions`, run by run in the order of `runs`, by sample_id within."""
        row = self._row_of("predictions", self.predictions)
        order = np.lexsort((self.predictions["sample_id"].to_numpy(), row))[int((row < 0).sum()) :]
        counts = np.bincount(row[row >= 0], minlength=len(self.runs))
        if counts.min() != counts.max() or counts.min() == 0:
            worst = next(cell for cell, i in self._rows.items() if counts[i] == counts.min())
            raise ResultsError(
                f"predictions: every run must have predicted all {counts.max()} test sequences, got {counts.min()} "
                f"of {name_cells([worst])}. Run compare again."
            )
        return order

    @cached_property
    def test_set(self) -> TestSet:
        """The test sequences; ResultsError if runs predicted different ones."""
        arrays = {}
        for name in ("sample_id", "length", "label"):
            values_Rn = self._matrix(name)
            if (values_Rn != values_Rn[0]).any():
                raise ResultsError(
                    f"predictions.{name}: must be the same for every run, got runs that differ. "
                    "Compare runs of the same data."
                )
            arrays[name] = values_Rn[0].astype(np.int64)
        if (np.diff(arrays["sample_id"]) == 0).any():
            raise ResultsError("predictions.sample_id: must be unique within a run, got repeats. Drop them.")
        return TestSet(**arrays)

    def _matrix(self, column: str) -> NDArray[np.generic]:
        values: NDArray[np.generic] = self.predictions[column].to_numpy()[self._order].reshape(len(self.runs), -1)
        return values

    def _by_model(self, values_Rn: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
        return {model: values_Rn[(self.runs["model"] == model).to_numpy()] for model in self.models}

    @cached_property
    def predicted(self) -> dict[str, NDArray[np.generic]]:
        """Predicted class of each model, (S, n), seeds ascending."""
        return self._by_model(self._matrix("predicted"))

    @cached_property
    def log_likelihood(self) -> dict[str, NDArray[np.generic]]:
        """Log-probability of the true class for each model, (S, n), natural logarithm, seeds ascending."""
        return self._by_model(self._matrix("log_likelihood"))

    @cached_property
    def confidence(self) -> dict[str, NDArray[np.generic]]:
        """Probability that each model gave to the class it predicted, (S, n), seeds ascending."""
        return self._by_model(self._matrix("confidence"))

    @cached_property
    def correct(self) -> dict[str, NDArray[np.bool_]]:
        """Whether each model was right, (S, n), seeds ascending."""
        return {model: predicted == self.test_set.label for model, predicted in self.predicted.items()}

    @cached_property
    def class_strata(self) -> Strata:
        """Positions of the test sequences of each class that occurs."""
        return by_class(self.test_set.label)

    @property
    def strata(self) -> Strata:
        """The parts of the test sequences over which the primary metric is a mean: the classes, or all as one."""
        return self.class_strata if self.plan.primary_metric == "balanced_accuracy" else WHOLE

    @cached_property
    def fingerprints(self) -> dict[Cell, bytes]:
        """A digest of the predictions and confidences of each cell: it is equal for cells that agree bit for bit."""
        both = zip(self._matrix("predicted"), self._matrix("log_likelihood"), strict=True)
        digests = [blake2b(predicted_n.tobytes() + likely_n.tobytes()).digest() for predicted_n, likely_n in both]
        return dict(zip(self._rows, digests, strict=True))

    @cached_property
    def copies(self) -> list[Cell]:
        """The cells that repeat an earlier seed of their model bit for bit, and are therefore no additional evidence."""
        first: dict[tuple[str, bytes], Cell] = {}
        for cell, digest in self.fingerprints.items():
            first.setdefault((cell[0], digest), cell)
        return [cell for cell in self.fingerprints if cell not in first.values()]

    @cached_property
    def guessing(self) -> list[Cell]:
        """The cells whose predictions are no better than guessing, and are therefore no evidence that models are equivalent."""
        labels = self.test_set.label
        return [
            (model, seed)
            for model in self.models
            for seed, predicted_n in zip(self.seeds(model), self.predicted[model], strict=True)
            if not beats_guessing(labels, predicted_n.astype(np.int64))
        ]

    def curve(self, split: str, metric: str) -> pd.DataFrame:
        """Return one metric as a table of R rows, aligned with `runs`, and one column per epoch; NaN for epochs that were not run."""
        rows = self.curves[(self.curves["split"] == split) & (self.curves["metric"] == metric)]
        rows = rows.assign(row=self._row_of("curves", rows))
        table = rows[rows["row"] >= 0].pivot(index="row", columns="epoch", values="value")  # noqa: PD010
        return table.reindex(self.runs.index).astype(float)


def name_cells(cells: tuple[Cell, ...] | list[Cell]) -> str:
    """Return cells in words: 'lete seed 2, none seed 0'."""
    return ", ".join(f"{model} seed {seed}" for model, seed in cells)
