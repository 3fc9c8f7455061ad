"""The record of measurements, with place and time: a JSON file in which a new run replaces only the sections that it measured."""

import os
import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Self

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict

from pipeline.bench.lines import Line
from pipeline.errors import UsageError, validate
from pipeline.identity import commit
from pipeline.machine import environment, resolve_precision
from pipeline.study import read_json

FILE = "benchmarks.json"


class Origin(BaseModel):
    """The machine and the time of a measurement."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    date: str
    commit: str
    """The git commit, with `and changes` if the working tree differs from it; empty outside a checkout."""
    environment: dict[str, str]
    """Machine, versions and threads."""
    cores: int
    load: float
    """Load average of the last minute; above 1, other work ran at the same time."""
    precision: str
    """The precision that `train.precision: auto` selects on the machine."""
    quick: bool
    seconds: float
    """Duration of the section in seconds."""

    @classmethod
    def here(cls, began: float, *, quick: bool) -> Self:
        """Describe this machine for a section that began at this `time.monotonic`."""
        known = commit()
        return cls(
            date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            commit=known.get("mlflow.source.git.commit", "")[:9] + " and changes" * (known.get("dirty") == "true"),
            environment={**environment(), "platform": f"{platform.system()} {platform.machine()}"},
            cores=os.cpu_count() or 1,
            load=os.getloadavg()[0],
            precision=resolve_precision("auto", torch.device("cpu")),
            quick=quick,
            seconds=time.monotonic() - began,
        )


class Measured(BaseModel):
    """The lines of a section."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    origin: Origin
    lines: Annotated[tuple[Line, ...], BeforeValidator(tuple)]
    """The lines; a list in JSON."""


class Record(BaseModel):
    """Everything that was measured, by section."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sections: dict[str, Measured] = {}

    def with_section(self, name: str, measured: Measured) -> "Record":
        """Replace one section, or add it."""
        return Record(sections={**self.sections, name: measured})


def read_record(folder: Path) -> Record:
    """Return the record of a folder, or an empty one; `UsageError` if its file is not a record."""
    file = folder / FILE
    if not file.exists():
        return Record()
    tree: Mapping[str, object] = read_json(file)
    try:
        return validate(Record, tree)
    except UsageError as error:
        raise UsageError(f"{file}, {error}") from None
