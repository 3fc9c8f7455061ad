"""The in-memory twin of the MLflow tracker: the same verbs over dictionaries, for tests and for measuring overhead."""

import itertools
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from pipeline.errors import UsageError
from pipeline.tracking.base import Tracker
from pipeline.tracking.model_registry import MemoryRegistry
from pipeline.tracking.ownership import ByLocks, FileLocks
from pipeline.tracking.run import Row, Run, Status


class MemoryTracker(Tracker):
    """Runs of this process, with their artifacts in a folder."""

    uri = "memory"

    def __init__(self, folder: Path) -> None:
        """Start empty; artifacts go below `folder`."""
        self._ids = itertools.count()
        self._runs: dict[str, Run] = {}
        self._folder = folder
        self.checkpoints = folder / "unfinished"
        self.ownership = ByLocks("files", FileLocks(folder / "locks"))
        self.params: dict[str, dict[str, Any]] = {}
        self.history: dict[str, list[tuple[int, dict[str, float]]]] = {}
        self.rows: dict[str, list[Row]] = {}
        """The content of `history`, with times."""
        self.datasets: dict[str, str] = {}
        self._registry = MemoryRegistry(lambda run_id: (folder / run_id / "model").is_dir())

    @property
    def registry(self) -> MemoryRegistry:
        """Return the registry of this process."""
        return self._registry

    def address(self) -> NoReturn:
        """Refuse: no other process sees these runs."""
        raise UsageError("--workers: must be 1 with runs in memory, which no other process sees, got more. Use 1.")

    def create(self, name: str, *, parent: str | None = None, tags: Mapping[str, str]) -> str:
        """Create a run in memory."""
        run_id = f"run{next(self._ids)}"
        nested = {"mlflow.parentRunId": parent} if parent else {}
        self._runs[run_id] = Run(run_id, name, "RUNNING", {**tags, **self.ownership.tags(), **tags, **nested})
        self.params[run_id], self.history[run_id], self.rows[run_id] = {}, [], []
        return run_id

    def delete(self, run_id: str) -> None:
        """Forget a run."""
        del self._runs[run_id]

    def get(self, run_id: str) -> Run:
        """Return a run."""
        return self._runs[run_id]

    def get_all(self, run_ids: Collection[str]) -> dict[str, Run]:
        """Return the runs that exist."""
        return {run_id: self._runs[run_id] for run_id in run_ids if run_id in self._runs}

    def find(self, *, status: str | None = None, **tags: str) -> list[Run]:
        """Search by status and tags."""
        runs = [run for run in reversed(self._runs.values()) if tags.items() <= run.tags.items()]
        return [run for run in runs if status in (None, run.status)]

    def set_status(self, run_id: str, status: Status) -> None:
        """Replace the status."""
        self._runs[run_id] = replace(self._runs[run_id], status=status)

    def set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Add tags."""
        self._runs[run_id] = replace(self._runs[run_id], tags={**self._runs[run_id].tags, **tags})

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Keep the first value of each param."""
        self.params[run_id] = {**params, **self.params[run_id]}

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
        """Append to the history and keep the last values."""
        self.rows[run_id].append(Row(step, int(time.time() * 1000), dict(metrics)))
        self._keep(run_id, step, metrics)

    def log_rows(self, run_id: str, rows: Sequence[Row]) -> None:
        """Append the rows that the run does not have."""
        for row in rows:
            if row not in self.rows[run_id]:
                self.rows[run_id].append(row)
                self._keep(run_id, row.step, row.metrics)

    def _keep(self, run_id: str, step: int, metrics: Mapping[str, float]) -> None:
        self.history[run_id].append((step, dict(metrics)))
        self._runs[run_id] = replace(self._runs[run_id], metrics={**self._runs[run_id].metrics, **metrics})

    def read_rows(self, run_id: str) -> list[Row]:
        """Split the rows into one for each value."""
        return [
            Row(row.step, row.milliseconds, {name: value})
            for row in self.rows[run_id]
            for name, value in row.metrics.items()
        ]

    def read_params(self, run_id: str) -> dict[str, str]:
        """Return the params as text."""
        return {name: str(value) for name, value in self.params[run_id].items()}

    def log_dataset(self, run_id: str, *, name: str, digest: str, profile: Mapping[str, Any]) -> None:
        """Keep the digest."""
        del name, profile
        self.datasets[run_id] = digest

    def log_text(self, run_id: str, path: str, text: str) -> None:
        """Write the text to the run's folder."""
        self._place(run_id, path).write_text(text, encoding="utf-8")

    def log_file(self, run_id: str, file: Path, folder: str = "") -> None:
        """Copy the file to the run's folder."""
        shutil.copy(file, self._place(run_id, f"{folder}/{file.name}" if folder else file.name))

    def log_table(self, run_id: str, path: str, table: pd.DataFrame) -> None:
        """Write the table as JSON."""
        self.log_text(run_id, path, self.table_text(table))

    def log_model(
        self, run_id: str, *, name: str, card: str, weights: Path, config: Path, example: pd.DataFrame
    ) -> None:
        """Keep the files that a model is made of."""
        del name
        self.log_text(run_id, "model/card.md", card)
        self.log_file(run_id, weights, "model")
        self.log_file(run_id, config, "model")
        self.log_table(run_id, "model/example.json", example)

    def fetch(self, run_id: str, path: str) -> Path:
        """Return the file in the run's folder."""
        file = self._folder / run_id / path
        if not file.is_file():
            raise FileNotFoundError(f"run {run_id} has no artifact {path}")
        return file

    def model_files(self, uri: str) -> tuple[Path, Path]:
        """Return the files of the model of a run."""
        run_id = uri.removeprefix("runs:/").partition("/")[0]
        return self.fetch(run_id, "model/description.json"), self.fetch(run_id, "model/best.pt")

    def delete_artifacts(self, run_id: str, folder: str) -> None:
        """Delete the folder."""
        shutil.rmtree(self._folder / run_id / folder, ignore_errors=True)

    def _place(self, run_id: str, path: str) -> Path:
        file = self._folder / run_id / path
        file.parent.mkdir(parents=True, exist_ok=True)
        return file
