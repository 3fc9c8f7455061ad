"""Comparison of time embeddings from Python: missing runs are trained, the study is analysed, and tables are returned."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from analysis.findings import Finding
from analysis.results import Results, ResultsError
from models.config import ModelError
from pipeline.analyze import analyze_study
from pipeline.api.given import Embedding, Model, check_codes, study_from
from pipeline.api.report import Report
from pipeline.comparison import compare as train_missing
from pipeline.console import say
from pipeline.errors import RunError, UsageError, shown
from pipeline.launch import MODULES, ONE_THREAD, cores, prepare_workers
from pipeline.output import check_output
from pipeline.stored_study import StoredStudy, find_study, load_results
from pipeline.tracking import Tracker
from pipeline.verbs import check, open_store

NO_PLAN: dict[str, Any] = {}


@dataclass(frozen=True, eq=False)
class Study:
    """The results of a comparison. Accuracies are in [0, 1].

    As the last value of a notebook cell, it shows its report.
    """

    stored: StoredStudy
    findings: Sequence[Finding]
    """Every analysis, with all its tables."""
    folder: Path
    """Folder with the report, the figures and the tables."""
    tracker: Tracker
    """The store that holds the runs."""

    @property
    def id(self) -> str:
        """The hash of plan and variants; `python -m pipeline analyze --study ID` finds the study by it."""
        return self.stored.id

    @property
    def name(self) -> str:
        """The name of the study."""
        return self.stored.name

    @property
    def verdicts(self) -> pd.DataFrame:
        """One row per pair of models: difference, interval, p, adjusted p and verdict; empty for one model."""
        return self._table("significance", "pairs")

    @property
    def models(self) -> pd.DataFrame:
        """One row per model: the mean of every metric, with its spread over seeds."""
        return self._table("overview", "models")

    @property
    def runs(self) -> pd.DataFrame:
        """One row per model and seed: every metric, and the id of the run in MLflow."""
        return self._table("overview", "runs")

    @property
    def curves(self) -> pd.DataFrame:
        """One row per model, seed, epoch (from 1), split and metric."""
        return self._results.curves

    @property
    def predictions(self) -> pd.DataFrame:
        """One row per model, seed and test sequence, at the epoch that was best on validation."""
        return self._results.predictions

    @cached_property
    def _results(self) -> Results:
        return load_results(self.stored, self.tracker, allow_missing=True, probes=False)

    def _table(self, finding: str, table: str) -> pd.DataFrame:
        return next(one.tables[table] for one in self.findings if one.name == finding).copy()

    @property
    def url(self) -> str:
        """Page of the study in MLflow. The page of a local store exists while `mlflow ui` serves it (`tracker.ui`)."""
        return self._page(self.stored.parent.id)

    def _page(self, run_id: str) -> str:
        return f"{self.tracker.site}{self.tracker.page(run_id)}"

    @property
    def _is_served(self) -> bool:
        return self.tracker.uri.startswith("http")

    def report(self) -> Report:
        """Return the report, which a notebook displays and `print` writes as text."""
        links = {run_id: self._page(run_id) for run_id in self.runs["run_id"]}
        served_by = "" if self._is_served else self.tracker.ui
        return Report(f"{self.name} (study {self.id})", self.findings, self.folder, self.url, served_by, links)

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()

    def __repr__(self) -> str:
        """Return the report as text."""
        return str(self.report())


def compare(
    models: Mapping[str, Model] | Sequence[str | Embedding],
    data: object,
    *,
    seeds: Iterable[int] = range(5),
    name: str = "comparison",
    plan: Mapping[str, Any] = NO_PLAN,
    workers: int | None = None,
    device: str = "auto",
    output: str | Path | None = None,
    allow_missing: bool = False,
    **settings: Any,  # noqa: ANN401 - the settings of the whole tree
) -> Study:
    """Train models that differ in their time embedding, and test which differences are real.

    `models` maps the name of each model to its embedding: the name of a listed embedding; a class; a `functools.partial` of a
    class, with arguments for its constructor; or a dict of settings, whose key `embedding` may be any of these. A list of names and
    classes is accepted, too. A class must derive from `torch.nn.Module`, its constructor must take `dim`, and its `forward` must
    turn times (U,) into codes (U, dim). A class that derives from `models.time_embeddings.TimeEmbedding` receives whole sequences
    instead. A class may be defined in a notebook or script: its source is stored, and runs are trained again if it changes.

    `data` is (times, labels) or (times, labels, features), with a list or array for each sequence; a frame of pandas or
    polars, or a dict of arrays, with the columns id, time and label; the path of a file of events; or the name of a data
    set. A fifth of the sequences is the test set; `test_fraction`, `validation_size` and the other settings of the data change that.

    `seeds`: each model is trained with each of them. `plan`: fields of `analysis.plan.Plan`, such as `{"reference": "lete"}`.
    `workers`: number of processes that train at the same time, by default one per core. `output`: folder of the results, by default
    `results/NAME-ID`. `settings`: any setting by its name (`epochs=20`) or, in `**{"train.epochs": 20}`, by its path.

    Runs that were trained before are found in the store and reused. The store is the MLflow store that MLFLOW_TRACKING_URI names, or
    else `mlflow.db` in the working folder. Raises `pipeline.errors.UsageError` for invalid input, with a remedy, and
    `pipeline.errors.RunError` if a training failed; finished runs stay in the store.
    """
    if workers is not None and (type(workers) is not int or workers < 1):
        raise UsageError(
            f"workers: must be a whole number from 1 on, got {shown(workers)}. Leave it out for one a core."
        )
    try:
        study = study_from(name, models, data, seeds=seeds, plan=plan, settings=settings)
        folder = Path(output) if output else Path("results") / f"{name}-{study.id}"
        with _one_thread():
            if (workers or cores()) > 1:
                prepare_workers(*MODULES)
            check(study.variants.values())
            check_codes(study)
            check_output(folder, study.id)
            tracker, _ = open_store()
            failed = None
            try:
                train_missing(study, tracker, workers=workers or cores(), device=device, probed=True)
            except RunError as error:
                if not allow_missing:
                    raise
                failed = error
            stored = find_study(tracker, study.id)
            findings = analyze_study(stored, tracker, output=folder, allow_missing=allow_missing)
    except (ModelError, ResultsError) as error:  # raised by packages that cannot import UsageError
        raise UsageError(str(error)) from error
    if failed:
        say(f"Note. {failed}")
    return Study(stored, findings, folder, tracker)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limit this process, and those that it starts, to one thread each, as for every run; restore the settings at the end."""
    before, threads = {variable: os.environ.get(variable) for variable in ONE_THREAD}, torch.get_num_threads()
    os.environ.update(ONE_THREAD)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        for variable, value in before.items():
            if value is None:
                del os.environ[variable]
            else:
                os.environ[variable] = value
