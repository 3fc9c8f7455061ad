"""The interface of a data set: a config that loads three splits, which the config alone determines."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from models.config import Config
from pipeline.data.elapsed import Origin
from pipeline.data.events import DataError, EventDataset
from pipeline.data.split import grouped_order, stratified_order
from pipeline.data.standardization import Standardization


@dataclass(frozen=True, eq=False)
class Splits:
    """The sequences for training, for the choice of the epoch, and for the reported results; validation may be empty."""

    train: EventDataset
    validation: EventDataset
    test: EventDataset
    standardization: Standardization | None = None
    """How the features were standardised, by the training split; None where they are as they were given."""
    time_origin: Origin = "zero"
    """From where times count; never `auto`."""
    notes: tuple[str, ...] = ()
    """Sentences about conversions, and about what users should know of the data."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the contents of the three splits."""
        digests = f"{self.train.digest} {self.validation.digest} {self.test.digest}"
        return hashlib.sha256(digests.encode()).hexdigest()

    def to(self, device: torch.device) -> Self:
        """Return the splits on `device`."""
        return replace(self, **{part: getattr(self, part).to(device) for part in ("train", "validation", "test")})


def data_folder() -> Path:
    """Return the folder of downloaded files: that of the variable EVENT_DATA_DIR, by default `data`."""
    return Path(os.environ.get("EVENT_DATA_DIR") or "data")


class DatasetConfig(Config, ABC):
    """Fields of all data sets. Subsets are stratified, nested, and the same for every run."""

    name: str
    """Which data set."""
    train_size: int | None = Field(None, ge=1)
    """Number of training sequences; all that validation leaves by default."""
    validation_size: int = Field(5000, ge=0)
    """Number of sequences held out of the training set to choose the epoch by; 0 trains on all, and nothing is chosen."""
    test_size: int | None = Field(None, ge=1)
    """Number of test sequences; all by default."""
    split_seed: int = Field(0, ge=0)
    """Fixes the split and every subset, apart from the seed of a run."""
    max_events: int | None = Field(None, ge=1)
    """Keep only the first so many events of each sequence; all by default."""

    def identity(self) -> dict[str, Any]:
        """Return the settings that decide the content."""
        return self.effective()

    @abstractmethod
    def read(self, folder: Path) -> tuple[EventDataset, EventDataset]:
        """Return all training sequences and all test sequences; `folder` is the place of downloaded files."""

    def load(self) -> Splits:
        """Return the splits, from memory if this process has loaded an equal config before; DataError if that fails."""
        if handed := _handed.get(self):
            return handed()
        return _load(self, data_folder(), self.stamp())

    def prepared(self, splits: Splits, folder: Path) -> Splits:
        """Return newly cut splits after checks, and with everything that is computed on the training split."""
        del folder
        return splits

    def stamp(self) -> tuple[int, ...]:
        """Return numbers that change when the files change; empty for files that are checked by their digest."""
        return ()


_handed: dict[DatasetConfig, Callable[[], Splits]] = {}
"""Data that this process received instead of loading them."""


def hand_over(config: DatasetConfig, splits: Callable[[], Splits]) -> None:
    """Use `splits` for a config in this process instead of loading it: a node of a cluster need not have the files."""
    _handed[config] = splits


@lru_cache(maxsize=4)
def _load(config: DatasetConfig, folder: Path, stamp: tuple[int, ...]) -> Splits:
    del stamp  # part of the key
    pool, test = config.read(folder)
    if config.max_events is not None:
        pool, test = pool.truncate(config.max_events), test.truncate(config.max_events)
    labels, groups = pool.labels.numpy(), None if pool.groups is None else pool.groups.numpy()
    order = (
        stratified_order(labels, config.split_seed)
        if groups is None
        else grouped_order(labels, groups, config.split_seed)
    )
    trained, chosen, notes = _cut(config, order, groups)
    test_size = len(test) if config.test_size is None else config.test_size
    if test_size > len(test):
        raise DataError(
            f"data.test_size: must fit into the {len(test)} test sequences of {config.name}, got {test_size}. Lower it."
        )
    test_order = stratified_order(test.labels.numpy(), config.split_seed)
    splits = Splits(
        train=pool.select(torch.from_numpy(trained).sort().values),
        validation=pool.select(torch.from_numpy(chosen).sort().values),
        test=test.select(torch.from_numpy(test_order[:test_size]).sort().values),
    )
    splits = config.prepared(splits, folder)
    return replace(splits, notes=(*splits.notes, *notes))


def _cut(
    config: DatasetConfig, order: NDArray[np.int64], groups: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Return the sequences to train on, those to choose the epoch by, and what is to be known of that."""
    room = max(len(order) - config.validation_size, 0)
    # Training takes from one end of the order and validation from the other: changing one size leaves the other set alone.
    free, chosen = order[:room], order[room:]
    if groups is not None:  # training has nothing of the group that the cut goes through
        free = free[~np.isin(groups[free], groups[chosen])]
    parted = room - len(free)
    train_size = config.train_size or len(free)
    if 0 < train_size <= len(free):
        said = f"sequences that training leaves out because validation has others of their group: {parted:,}"
        return free[:train_size], chosen, [said] if parted and config.train_size is None else []
    if parted and not len(free):
        raise DataError(
            f"data.validation_size: must leave groups to train on, got {config.validation_size} of the {len(order)} sequences that "
            f"{config.name} has beside the test set, and the other {parted} are of a group that validation has a part of. "
            "Lower data.validation_size, or give another data.split_seed."
        )
    if config.train_size is None:
        raise DataError(
            f"data.validation_size: must leave sequences to train on, got {config.validation_size} of the {len(order)} that "
            f"{config.name} has beside the test set. Give --data.validation_size {len(order) // 5}, or more sequences."
        )
    less = f", less {parted} whose group is in validation" if parted else ""
    raise DataError(
        f"data.train_size: must fit with data.validation_size into the {len(order)} sequences of {config.name}{less}, got "
        f"{config.train_size} and {config.validation_size}. Lower data.train_size or data.validation_size."
    )
