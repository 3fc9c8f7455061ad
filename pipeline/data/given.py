"""The common part of data sets from users' files: a path, an identity by content, a test share, and standardised features."""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from pydantic import Field
from torch import Tensor

from pipeline.data.base import DatasetConfig, Splits
from pipeline.data.events import DataError, EventDataset
from pipeline.data.split import stratified_order
from pipeline.data.standardization import Standardization


class GivenConfig(DatasetConfig):
    """Fields of the data sets that a user gives. A run is identified by the content of the files, not by where they lie."""

    path: str = ""
    """Where the files are."""
    validation_size: int = Field(100, ge=0)
    """Number of sequences held out of the training set to choose the epoch by; 0 trains on all, and nothing is chosen."""
    test_fraction: float = Field(0.2, gt=0, lt=1)
    """Share of the sequences that form the test set."""

    @abstractmethod
    def files(self) -> Sequence[Path]:
        """Return the files that are read; empty if the path does not exist."""

    def identity(self) -> dict[str, Any]:
        """Return the settings with the SHA-256 of the content in place of the path."""
        return {**super().identity(), "path": content_hash(Path(self.path), tuple(self.files()), self.stamp())}

    def stamp(self) -> tuple[int, ...]:
        """Return numbers that change when a file is written again."""
        files = self.files()
        numbers = [
            number
            for state in (file.stat() for file in files)
            for number in (state.st_ino, state.st_size, state.st_mtime_ns)
        ]
        names = crc32("\n".join(map(str, files)).encode(errors="surrogateescape"))  # names of folders may be values
        return (*numbers, names) if files else ()

    def parted(self, data: EventDataset) -> tuple[EventDataset, EventDataset]:
        """Divide the sequences into those for training and validation, and a stratified share for the test."""
        order = torch.from_numpy(stratified_order(data.labels.numpy(), self.split_seed))
        test_size = max(1, round(self.test_fraction * len(data)))
        return data.select(order[test_size:].sort().values), data.select(order[:test_size].sort().values)

    def check_split_classes(self, splits: Splits, of_test: str) -> None:
        """Refuse a split that lacks a class, unless it is an empty validation split; `of_test` names the setting of the test size."""
        remedies = {
            "train": "Raise data.train_size" if self.train_size else "Lower data.validation_size or data.test_fraction",
            "validation": "Raise data.validation_size, or set it to 0",
            "test": of_test,
        }
        for split, remedy in remedies.items():
            labels: Tensor = getattr(splits, split).labels
            absent = torch.bincount(labels, minlength=splits.train.classes) == 0
            if absent.any() and (len(labels) or split != "validation"):
                name = splits.train.class_names[int(absent.nonzero()[0])]
                got = f"none of class {name} in its {len(labels)}"
                raise self._error(f"{split} split", "must have sequences of each class", got, f"{remedy}.")

    def _error(self, where: str, rule: str, got: str, remedy: str) -> DataError:
        return error_in(self.path, where, rule, got, remedy)


def standardized(splits: Splits, names: Sequence[str], centres: Sequence[float], notes: Sequence[str]) -> Splits:
    """Return the splits with features standardised by the training split, and with notes.

    `names` are the names of the features, and `centres` the numbers that were subtracted from them while reading.
    """
    if splits.train.features is None:
        return replace(splits, notes=tuple(notes))
    standardization = Standardization.of(splits.train.features)
    for split in (splits.train, splits.validation, splits.test):
        if split.features is not None:
            standardization.apply_to(split.features)
    constant = [
        f"column {name}: has one value in the training split, so it tells nothing and is 0 everywhere"
        for name, deviation in zip(names, standardization.deviations, strict=True)
        if not deviation
    ]
    return replace(splits, standardization=standardization.shifted(centres), notes=(*notes, *constant))


def error_in(path: str, where: str, rule: str, got: str, remedy: str) -> DataError:
    """Return an error about something in a file or folder."""
    return DataError(f"{path}, {where}: {rule}, got {got}. {remedy}")


@lru_cache(maxsize=16)
def content_hash(path: Path, files: tuple[Path, ...], stamp: tuple[int, ...]) -> str:
    """Return the SHA-256 of a file in the state of `stamp`, "" if there is no file; cached, because a study asks for each cell.

    The digest of a folder covers the names and contents of the `files` that are read from it.
    """
    if not stamp:
        return ""
    digests = {}
    for file in files:
        with file.open("rb") as stream:
            digests[file.relative_to(path).as_posix()] = hashlib.file_digest(stream, "sha256").hexdigest()
    if path.is_file():
        return digests["."]
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
