"""Recordings of event cameras in a folder: each is a sequence, and each event has its place on the sensor and its polarity as features.

- A folder for each class holds its recordings. If the folder holds Train and Test, each with folders of classes, these are the
  splits, and validation is cut from Train; otherwise the test set is a stratified share.
- HDF5 files contain their classes, and lie in the folder itself, or in Train and Test.
- Times count from the first event of a recording, in whole units of `time_step` microseconds, rounded down.
- Features are standardised by the training split.
- Names that begin with a dot are ignored; anything else that is not a recording is refused.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from pipeline.data.base import Splits
from pipeline.data.cameras import EVENT_BYTES, LABELLED, READERS, read_recordings
from pipeline.data.cameras.recording import FEATURES
from pipeline.data.columns import LARGEST_TIME
from pipeline.data.events import LARGEST_SHORT, DataError, EventDataset
from pipeline.data.given import GivenConfig, standardized
from pipeline.errors import check_memory

UNITS = {1: "us", 1_000: "ms", 1_000_000: "second"}
"""Names of units, by their length in microseconds."""
BYTES = 64
"""Memory in bytes per event while the splits are made."""
COPY = re.compile(r"\d+_0*[1-9]\d*")
"""Name of a further copy of a recording in tonic's cache."""
FEWEST_CLASSES = 2
TRAIN, TEST = "train", "test"
"""Folders of the splits, in lower case."""


@dataclass(frozen=True)
class _File:
    """A file, with its part and its class by its folders."""

    path: Path
    part: str
    """`train`, `test`, or "" if the folder has no such parts."""
    label: str
    """Name of the folder of the class, or "" if there is none."""


class RecordingsConfig(GivenConfig):
    """Recordings of event cameras in a folder of yours: N-MNIST's .bin, AEDAT 2.0 and 3.1, HDF5 as tonic writes it."""

    feature_columns: ClassVar[tuple[str, ...]] = FEATURES

    name: Literal["recordings"] = "recordings"
    path: str = ""
    """The folder: a folder for each class, or Train and Test with such folders. docs/own-data.md lists what is read."""
    time_step: int = Field(1000, ge=1, le=10**9)
    """Microseconds of a unit of time; times are whole units since the first event of the recording."""

    def identity(self) -> dict[str, Any]:
        """Return the settings with the SHA-256 of the content for the path, and without a test share if the folder has a test part."""
        identity = super().identity()
        if any(file.part for file in self._found()):
            del identity["test_fraction"]
        return identity

    def files(self) -> list[Path]:
        """Return the recordings."""
        return [file.path for file in self._found()]

    def read(self, folder: Path) -> tuple[EventDataset, EventDataset]:
        """Return the training and the test recordings; `folder` is not used, and the path is not relative to it."""
        del folder
        files = self._found()
        self._check_files(files)
        self._check_size(files)
        data, of_test = self._dataset(files)
        if not files[0].part:
            return self.parted(data)
        train, test = (torch.from_numpy(np.flatnonzero(part)) for part in (~of_test, of_test))
        return data.select(train), data.select(test)

    def prepared(self, splits: Splits, folder: Path) -> Splits:
        """Return the splits with standardised features; DataError if one of them lacks a class, an empty validation set apart."""
        del folder
        by_folder = any(file.part for file in self._found())
        of_test = (
            "Add recordings of it, or raise data.test_size"
            if by_folder
            else "Raise data.test_size or data.test_fraction"
        )
        self.check_split_classes(splits, of_test)
        note = f"times are whole units of {self.time_step} us since the first event of the recording, rounded down"
        splits = replace(splits, time_origin="sequence")
        return standardized(splits, FEATURES, [0.0] * len(FEATURES), [note])

    def _found(self) -> list[_File]:
        """Return the files of the folder, empty if it does not exist; DataError if its structure is different."""
        root = Path(self.path)
        try:
            if not self.path or not root.is_dir():
                return []
            return list(_walk(root))
        except OSError as error:
            raise DataError(
                f"data.path: must be a folder that can be read, got {self.path!r} ({error.strerror}). Correct it."
            ) from error

    def _check_files(self, files: Sequence[_File]) -> None:
        """Refuse a path that is not a folder of recordings, and files that state their classes in different ways."""
        if not files:
            raise DataError(
                f"data.path: must be a folder of recordings, got {self.path!r}. Give one with a folder for each class."
            )
        for file in files:
            path, ending = file.path, file.path.suffix.lower()
            if ending not in READERS:
                kinds = ", ".join(READERS)
                got = repr(path.suffix) if ending else "no ending"
                remedy = "Take it out of the folder, or write its events as a table for data.name events_file."
                raise DataError(f"{path}: must be a recording that ends in {kinds}, got {got}. {remedy}")
            if ending in LABELLED and file.label:
                raise DataError(
                    f"{path}: must lie in no folder of a class, because it says its own, got {file.label!r}. Move it out of it."
                )
            if ending not in LABELLED and not file.label:
                raise DataError(
                    f"{path}: must lie in a folder that is called as its class, got none. Move it into one."
                )
            if ending in LABELLED and COPY.fullmatch(path.stem):
                raise DataError(
                    f"{path}: must be the only copy of its recording, got a further one. Take the copies out of the folder."
                )

    def _check_size(self, files: Sequence[_File]) -> None:
        """Refuse more events than fit into memory, estimated from the sizes of the files."""
        count = 0
        for file in files:
            inside = file.path.stat().st_size // EVENT_BYTES[file.path.suffix.lower()]
            count += inside if self.max_events is None or not file.label else min(inside, self.max_events)
        check_memory(
            self.path, f"about {count:,} events", BYTES * count, "Set data.max_events, or give fewer recordings."
        )

    def _sequences(self, file: _File) -> Iterator[tuple[str, NDArray[np.int32], NDArray[np.float32]]]:
        """Yield the class, the times (N,) and the features (N, F) of each recording in a file."""
        for recording in read_recordings(file.path):
            label = file.label if recording.label is None else str(recording.label)
            if not label.isprintable() or label != " ".join(label.split()) or not label:
                rule = "must have a class of printable letters with single blanks between them"
                raise DataError(f"{file.path}: {rule}, got {label!r}. Rename it.")
            microseconds = recording.microseconds[: self.max_events]
            times = (microseconds - microseconds[0]) // self.time_step
            if times[-1] > LARGEST_TIME:
                rule = f"must be so many microseconds that a recording has at most {LARGEST_TIME:.8g} of them"
                raise DataError(
                    f"data.time_step: {rule}, got {self.time_step}, of which {file.path} has {times[-1]}. Raise it."
                )
            columns = (getattr(recording, name)[: self.max_events] for name in FEATURES)
            yield label, times.astype(np.int32), np.stack([*columns], axis=1).astype(np.float32)

    def _dataset(self, files: Sequence[_File]) -> tuple[EventDataset, NDArray[np.bool_]]:
        """Return all recordings, and a mask (n,) of those for the test."""
        times, features, labels, tested = [], [], list[str](), list[bool]()
        for file in files:
            for label, times_N, features_NF in self._sequences(file):
                times.append(times_N)
                features.append(features_NF)
                labels.append(label)
                tested.append(file.part == TEST)
        of_test = np.array(tested)
        names = self._class_names(np.array(labels), of_test)
        largest = max(int(times_N[-1]) for times_N in times)
        data = EventDataset(
            times=torch.from_numpy(
                np.concatenate(times, dtype=np.int16 if largest <= LARGEST_SHORT else np.float32, casting="unsafe")
            ),
            offsets=torch.from_numpy(np.cumsum([0, *map(len, times)], dtype=np.int64)),
            labels=torch.tensor([names.index(label) for label in labels]),
            features=torch.from_numpy(np.concatenate(features)),
            classes=len(names),
            horizon=float(largest + 1),
            time_unit=UNITS.get(self.time_step, f"{self.time_step} us"),
            name=self.name,
            class_names=tuple(names),
        )
        return data, of_test

    def _class_names(self, labels: NDArray[np.str_], of_test: NDArray[np.bool_]) -> list[str]:
        """Return the sorted names of the classes, numbers by size; DataError if there is only one, or if a part lacks a class."""
        names = sorted(set(labels.tolist()))
        if len(names) < FEWEST_CLASSES:
            raise DataError(
                f"{self.path}: must have at least {FEWEST_CLASSES} classes, got {len(names)}. Add recordings of another one."
            )
        if of_test.any() and (alone := set(labels[of_test].tolist()) ^ set(labels[~of_test].tolist())):
            raise DataError(
                f"{self.path}: must have the same classes in Train and Test, got {min(alone)!r} in one alone. Correct the folders."
            )
        return sorted(names, key=int) if all(name.isdecimal() for name in names) else names


def _walk(root: Path) -> Iterator[_File]:
    """Yield the files of a folder by name; DataError if a folder in it is empty, or contains something that is not a file."""
    top = _entries(root)
    are_parts = sorted(entry.name.lower() for entry in top) == [TEST, TRAIN] and all(entry.is_dir() for entry in top)
    for part, entries in {entry.name.lower(): _entries(entry) for entry in top}.items() if are_parts else [("", top)]:
        for entry in entries:
            label = entry.name if entry.is_dir() else ""
            for file in _entries(entry) if label else [entry]:
                if not file.is_file():  # a folder, or a pipe, which may never deliver a byte
                    raise DataError(f"{file.path}: must be a file, got something else. Take it out of the folder.")
                yield _File(Path(file), part, label)


def _entries(folder: "Path | os.DirEntry[str]") -> list["os.DirEntry[str]"]:
    """Return the entries of a folder that are not hidden, by name; DataError if there are none."""
    with os.scandir(folder) as found:
        entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    if not entries:
        raise DataError(f"{os.fspath(folder)}: must hold recordings, got an empty folder. Add some, or delete it.")
    return entries
