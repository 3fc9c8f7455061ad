"""The contents of an archive of evidence: a study, its declaration and its finished runs, independent of their store.

| member | holds |
|---|---|
| `evidence.json` | the version of the format, and the tags and params of the study's run |
| `study.json` | the manifest; its cells have no run ids, because a run is found by its cell |
| `plan.json`, `looks.json` | the declaration from before the first training, and the ledger of looks, as stored |
| `advice.json` | the advice of the encoding doctor from before the first training, as stored |
| `runs/CELL/run.json` | name, tags, params and every recorded metric value of a run, and the digest of each of its files |
| `runs/CELL/...` | the files of the run, as stored |
| `report/...` | texts that are computed from the members above |
| `ro-crate-metadata.json`, `croissant.json` | descriptions of the archive in formats of other programs (`crate.py`) |
| `signature.json` | the signature, if the archive was signed (`signature.py`) |

The names are part of the format: a change of a name, or of the content under it, requires a higher `VERSION`.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from analysis.plan import Declaration
from analysis.results import Results, ResultsError
from pipeline.errors import UsageError, one_line
from pipeline.exchange import archive
from pipeline.exchange.archive import ANOTHER, Members
from pipeline.manifest import CellEntry, Manifest, advice_of, ledger_of
from pipeline.rows import curves_of_history, row_of_run
from pipeline.training.choice import History

FORMAT, VERSION = "evidence of time-embedding-comparison", 1
INDEX, MANIFEST, PLAN = "evidence.json", "study.json", "plan.json"
LOOKS, ADVICE = "looks.json", "advice.json"
RUNS, RUN, REPORT = "runs/", "run.json", "report/"
CONFIG, HISTORY, PREDICTIONS = "config.json", "history.json", "predictions.parquet"
CLASSES, ENVIRONMENT, CONFUSION = "classes.json", "environment.json", "confusion_matrix.json"
PROBES, WEIGHTS = "probes/", "checkpoints/best.pt"
CRATE, CROISSANT, SIGNATURE = "ro-crate-metadata.json", "croissant.json", "signature.json"
NEEDED = (CONFIG, HISTORY, PREDICTIONS, CLASSES, ENVIRONMENT, CONFUSION)
"""Files that every run must have."""

Record = TypeVar("Record", bound=BaseModel)
Parsed = TypeVar("Parsed")


class Index(BaseModel):
    """The format of the archive, and the run of its study."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    version: int
    tags: dict[str, str] = {}
    params: dict[str, str] = {}


class RunRecord(BaseModel):
    """One finished run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: list[tuple[str, int, int, float]]
    """Name, step, milliseconds since 1970 and value of every recorded metric value, ascending."""
    files: dict[str, str]
    """The SHA-256 of each file of the run, by path; it includes weights that the archive leaves out."""

    @property
    def last(self) -> dict[str, float]:
        """The last value of each metric."""
        ordered = sorted(self.metrics, key=lambda row: row[1:3])
        return {name: value for name, _, _, value in ordered}


@dataclass(frozen=True)
class Contents:
    """An archive that was read, or that will be written."""

    file: Path
    """The file of the archive, for messages."""
    members: Members

    @cached_property
    def index(self) -> Index:
        """The index; UsageError if the archive is not one of this project, or has another version of the format."""
        if INDEX not in self.members:
            raise UsageError(
                f"{self.file}: must be an archive of a study, got one without {INDEX}. Name one of `export`."
            )
        index = self._record(INDEX, Index)
        if index.format != FORMAT:
            raise UsageError(f"{self.file}: must be {FORMAT}, got {index.format!r}. Name a file of `export`.")
        if index.version != VERSION:
            raise UsageError(
                f"{self.file}: must have version {VERSION} of the format, got {index.version}. Take the version of this "
                "project that wrote it."
            )
        return index

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest of the study."""
        return self._record(MANIFEST, Manifest)

    @cached_property
    def declaration(self) -> Declaration:
        """The declaration of the study."""
        return self._record(PLAN, Declaration)

    @cached_property
    def advice(self) -> pd.DataFrame | None:
        """The advice of the encoding doctor; None if the study has none."""
        if ADVICE not in self.members:
            return None
        with self.reading(ADVICE):
            return advice_of(self.members[ADVICE].decode())

    @cached_property
    def runs(self) -> dict[str, RunRecord]:
        """The finished runs by their cells, in the order of the study."""
        return {
            entry.cell: self._record(name, RunRecord)
            for entry in self.manifest.cells
            if (name := f"{RUNS}{entry.cell}/{RUN}") in self.members
        }

    @property
    def cells(self) -> Iterator[tuple[CellEntry, RunRecord]]:
        """The cells that have a run, each with its run."""
        return ((entry, self.runs[entry.cell]) for entry in self.manifest.cells if entry.cell in self.runs)

    def content(self, cell: str, path: str) -> bytes:
        """Return a file of a run; UsageError if the archive lacks it."""
        name = f"{RUNS}{cell}/{path}"
        if name not in self.members:
            raise UsageError(f"{self.file}: {name} must be there, got none. {ANOTHER}")
        return self.members[name]

    def config(self, cell: str) -> dict[str, Any]:
        """Return the config of a run."""
        return dict(self.parsed(cell, CONFIG, json.loads))

    def history(self, cell: str) -> History:
        """Return the epochs of a run."""
        return list(self.parsed(cell, HISTORY, json.loads))

    def predictions(self, cell: str) -> pd.DataFrame:
        """Return the predictions of a run, one row per test sequence."""
        return self.parsed(cell, PREDICTIONS, _table)

    def parsed(self, cell: str, path: str, parse: Callable[[bytes], Parsed]) -> Parsed:
        """Return a file of a run as `parse` reads it; UsageError if it is missing or cannot be read."""
        content = self.content(cell, path)
        with self.reading(f"{RUNS}{cell}/{path}"):
            return parse(content)

    @contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """Turn an error while the member `name` is read into a UsageError that names it."""
        try:
            yield
        except (UsageError, ResultsError):
            raise
        # Any unexpected content can raise one of these, pyarrow's errors included.
        except (
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            OSError,
            NotImplementedError,
            ArithmeticError,
        ) as error:
            raise UsageError(f"{self.file}: {name} must be readable, got {one_line(error)}. {ANOTHER}") from error

    def _record(self, name: str, kind: type[Record]) -> Record:
        if name not in self.members:
            raise UsageError(f"{self.file}: must hold {name}, got none. {ANOTHER}")
        try:
            return kind.model_validate_json(self.members[name])
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise UsageError(
                f"{self.file}: {name} must be as `export` writes it, got {first['msg']} at {place or 'its beginning'}. {ANOTHER}"
            ) from None


def _table(content: bytes) -> pd.DataFrame:
    return pd.read_parquet(BytesIO(content))


def results_of(contents: Contents) -> Results:
    """Return the tables that analyses read; the id of a run is that of its cell.

    They equal those of `load_results`, without the events of sequences: these belong to the data, which archives do not contain.
    UsageError if the archive has no finished run.
    """
    runs, curves, predictions = [], [], []
    probes: dict[str, list[pd.DataFrame]] = {}
    for entry in contents.manifest.cells:
        key: dict[str, Any] = {"run_id": entry.cell, "model": entry.model, "seed": entry.seed}
        if (record := contents.runs.get(entry.cell)) is None:
            runs.append({**key, "status": "MISSING"})
            continue
        with contents.reading(f"{RUNS}{entry.cell}/{RUN}"):
            row = row_of_run(record.tags, record.last) | contents.manifest.about(entry.model)
        runs.append({**key, "status": "FINISHED", **row})
        curves.append(curves_of_history(contents.history(entry.cell)).assign(**key))
        predictions.append(contents.predictions(entry.cell).assign(**key))
        for path in sorted(record.files):
            if path.startswith(PROBES):
                name = path.removeprefix(PROBES).rpartition("-")[0]
                probes.setdefault(name, []).append(contents.parsed(entry.cell, path, _table).assign(**key))
    if not predictions:
        raise UsageError(f"{contents.file}: must hold a finished run, got none. {ANOTHER}")
    first = next(iter(contents.runs))
    return Results(
        runs=pd.DataFrame(runs),
        curves=pd.concat(curves, ignore_index=True),
        predictions=pd.concat(predictions, ignore_index=True),
        probes={name: pd.concat(tables, ignore_index=True) for name, tables in sorted(probes.items())},
        plan=contents.manifest.plan,
        allow_missing=True,
        declaration=contents.declaration,
        ledger=ledger_of(contents.members[LOOKS].decode()) if LOOKS in contents.members else None,
        class_names=tuple(contents.parsed(first, CLASSES, json.loads)),
        advice=contents.advice,
    )


def load(file: Path) -> Contents:
    """Read an archive; UsageError if it is not one of this project. Its statements are not verified here."""
    contents = Contents(file, archive.read(file))
    _ = contents.index, contents.manifest, contents.declaration, contents.advice, contents.runs
    return contents


def canonical(value: Mapping[str, Any]) -> bytes:
    """Return a mapping as JSON, the same bytes for the same values; NaN and infinities become text."""
    return f"{json.dumps(_finite(value), sort_keys=True, allow_nan=False)}\n".encode()


def _finite(value: Any) -> Any:  # noqa: ANN401 - JSON has no type
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not isfinite(value) else value
