"""Labelled sequences of timed events, ragged and compact, and the padded batches that models take.

- A data set consists of a few flat tensors, which are completely in the memory of the device. A batch is one gather.
- Times are kept in the unit in which they were measured; scaling is the task of the embedding.
- A sequence without events is allowed; a sequence whose times are not ascending is not.

Letters: n sequences, N events of all sequences, B sequences of a batch, L events (padded), F features of an event.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from pipeline.data.scratch import blocks
from pipeline.errors import UsageError

LARGEST_SHORT = 32767
"""Largest whole time that is stored as int16."""


class DataError(UsageError):
    """Data that is missing, damaged or breaks a rule; the message is one line, `where: rule, got value. what to do.`."""


@dataclass(frozen=True, eq=False)
class EventBatch:
    """A padded batch: times (B, L) int64 or float32, features (B, L, F) or None, lengths (B,), labels (B,).

    L is the longest length, at least 1. Entries past a sequence's length are padding.
    """

    times: Tensor
    features: Tensor | None
    lengths: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        rows = (self.times.shape[0],)
        if self.times.ndim != 2 or self.times.dtype not in (torch.int64, torch.float32):  # noqa: PLR2004  # (B, L)
            raise DataError(
                f"batch.times: must be (B, L) of int64 or float32, got {tuple(self.times.shape)} of {self.times.dtype}. "
                "Build batches with EventDataset.batch."
            )
        if self.lengths.shape != rows or self.labels.shape != rows:
            raise DataError(
                f"batch: lengths and labels must have the shape {rows} of the batch, got {tuple(self.lengths.shape)} "
                f"and {tuple(self.labels.shape)}. Give one of each for every row of times."
            )
        if self.features is not None and (self.features.ndim != 3 or self.features.shape[:2] != self.times.shape):  # noqa: PLR2004  # (B, L, F)
            raise DataError(
                f"batch.features: must be (B, L, F) with the B and L of times {tuple(self.times.shape)}, "
                f"got {tuple(self.features.shape)}. Give F numbers for every event."
            )

    def __len__(self) -> int:
        return len(self.lengths)


@dataclass(frozen=True, eq=False)
class EventDataset:
    """n labelled sequences; sequence i is `times[offsets[i]:offsets[i + 1]]`, ascending, in `time_unit`."""

    times: Tensor
    """Event times (N,), int16 or float32, at least 0."""
    offsets: Tensor
    """Position of the first event of each sequence, and the end of the last sequence (n + 1,), int64."""
    labels: Tensor
    """Classes (n,), int64, in [0, classes)."""
    classes: int
    """Number of classes."""
    horizon: float
    """Length T of the time axis, in `time_unit`: a constant of the task, not of a sequence."""
    time_unit: str
    """Name of the unit of time, for axes and reports."""
    name: str
    """Name of the data set."""
    features: Tensor | None = None
    """Features of each event besides its time (N, F), float32, or None."""
    class_names: tuple[str, ...] = ()
    """Names of the classes, each in one line with single blanks; by default their numbers."""
    groups: Tensor | None = None
    """Group of each sequence (n,), int64, such as a person; a group is never in two splits. None if there are no groups."""

    def __post_init__(self) -> None:
        if not self.class_names:
            object.__setattr__(self, "class_names", tuple(map(str, range(self.classes))))
        self._check_layout()
        self._check_values()

    def _check_layout(self) -> None:
        expected = {
            "times": (1, (torch.int16, torch.float32)),
            "offsets": (1, (torch.int64,)),
            "labels": (1, (torch.int64,)),
        }
        if self.features is not None:
            expected["features"] = (2, (torch.float32,))
        if self.groups is not None:
            expected["groups"] = (1, (torch.int64,))
        for field, (dimensions, dtypes) in expected.items():
            value: Tensor = getattr(self, field)
            if value.ndim != dimensions or value.dtype not in dtypes:
                kinds = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
                raise self._error(
                    field, f"must have {dimensions} dimension(s) of {kinds}", f"{tuple(value.shape)} of {value.dtype}"
                )
        events = len(self.times)
        if self.features is not None and len(self.features) != events:
            raise self._error(
                "features", f"must have one row for each of the {events} events", f"{len(self.features)} rows"
            )
        if len(self.offsets) != len(self.labels) + 1:
            raise self._error("offsets", f"must be one more than the {len(self.labels)} labels", str(len(self.offsets)))
        if self.offsets[0] != 0 or self.offsets[-1] != events or bool((self.offsets.diff() < 0).any()):
            raise self._error("offsets", f"must ascend from 0 to the {events} events", "another order")
        if not (self.classes >= 1 and 0 < self.horizon < float("inf")):
            raise self._error(
                "classes, horizon", "must be at least 1, and finite above 0", f"{self.classes}, {self.horizon}"
            )

        names = tuple(" ".join(name.split()) for name in self.class_names)
        if names != self.class_names or not len(set(names)) == len(names) == self.classes:
            rule = f"must be {self.classes} different ones, each in one line with single blanks"
            raise self._error("class_names", rule, repr(list(self.class_names)))

    def _check_values(self) -> None:
        if self.groups is not None and len(self.groups) != len(self.labels):
            raise self._error("groups", f"must be one for each of the {len(self.labels)} labels", str(len(self.groups)))
        if len(self) and (int(self.labels.min()) < 0 or int(self.labels.max()) >= self.classes):
            bad = self.labels[(self.labels < 0) | (self.labels >= self.classes)][0]
            raise self._error("labels", f"must lie in [0, {self.classes})", str(int(bad)))
        wrong = ~torch.isfinite(self.times) | (self.times < 0)
        if bool(wrong.any()):
            event = int(wrong.nonzero()[0])
            rule = f"must be finite and at least 0 (sequence {self._sequence_of(event)})"
            raise self._error("times", rule, str(self.times[event].item()))
        falls = self.times[1:] < self.times[:-1]
        starts = self.offsets[1:-1]
        falls[starts[(starts > 0) & (starts < len(self.times))] - 1] = False
        if bool(falls.any()):
            event = int(falls.nonzero()[0])
            raise self._error(
                "times",
                f"must ascend within a sequence (sequence {self._sequence_of(event)})",
                f"{self.times[event].item()} before {self.times[event + 1].item()}",
                "Sort the events by time.",
            )
        if self.features is not None and not bool(torch.isfinite(self.features).all()):
            event = int((~torch.isfinite(self.features)).any(dim=1).nonzero()[0])
            raise self._error("features", "must be finite", f"another value in sequence {self._sequence_of(event)}")

    def _sequence_of(self, event: int) -> int:
        return int(torch.searchsorted(self.offsets, event, right=True)) - 1

    def _error(self, field: str, rule: str, got: str, remedy: str = "Correct the data.") -> DataError:
        return DataError(f"data set {self.name}, {field}: {rule}, got {got}. {remedy}")

    @classmethod
    def from_lists(
        cls,
        times: Sequence[ArrayLike],
        labels: ArrayLike | None = None,
        features: Sequence[ArrayLike] | None = None,
        *,
        classes: int,
        horizon: float,
        time_unit: str = "step",
        name: str = "events",
    ) -> Self:
        """Build from a list of times and optionally features (L_i, F) for each sequence; without `labels`, all labels are 0.

        Times are stored as int16 if all are whole numbers up to 32767, otherwise as float32.
        """
        rows = [_numbers(row, 1, f"data set {name}, sequence {i}") for i, row in enumerate(times)]
        flat = np.concatenate([np.zeros(0), *rows])
        whole = bool(np.all((flat == np.floor(flat)) & (flat >= 0) & (flat <= LARGEST_SHORT)))
        flat_features = None
        if features is not None:
            tables = [_numbers(row, 2, f"data set {name}, features of sequence {i}") for i, row in enumerate(features)]
            if [len(table) for table in tables] != [len(row) for row in rows] or len({t.shape[1] for t in tables}) > 1:
                raise DataError(
                    f"data set {name}, features: must be (L_i, F) with the L_i of times and one F for all, got other shapes. "
                    "Give F numbers for every event."
                )
            flat_features = torch.from_numpy(np.concatenate(tables or [np.zeros((0, 1))]).astype(np.float32))
        return cls(
            times=torch.from_numpy(flat.astype(np.int16 if whole else np.float32)),
            offsets=torch.from_numpy(np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)),
            labels=torch.from_numpy(
                np.zeros(len(rows), np.int64) if labels is None else np.array(labels, dtype=np.int64)
            ),
            features=flat_features,
            classes=classes,
            horizon=horizon,
            time_unit=time_unit,
            name=name,
        )

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def lengths(self) -> Tensor:
        """Number of events of each sequence (n,), int64."""
        return self.offsets.diff()

    @property
    def gaps(self) -> Tensor:
        """Time since the previous event of the same sequence (N,), 0 for the first event."""
        gaps = self.times.diff(prepend=self.times[:1])
        gaps[self.offsets[:-1][self.lengths > 0]] = 0
        return gaps

    @property
    def feature_dim(self) -> int:
        """Number F of features per event; 0 without features."""
        return 0 if self.features is None else self.features.shape[1]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content that models receive, independent of names and places of files."""
        digest = hashlib.sha256(f"{self.classes} {self.horizon!r} {self.time_unit}".encode())
        for tensor in (self.times, self.offsets, self.labels, self.features):
            if tensor is None:
                digest.update(b"none")
                continue
            array = tensor.cpu().numpy()
            digest.update(f"{array.dtype.name} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
        return digest.hexdigest()

    def batch(self, indices: Tensor, padding: float = 0) -> EventBatch:
        """Return the sequences `indices` (B,), padded with `padding` to the length of the longest."""
        starts_B = self.offsets[indices]
        lengths_B = self.offsets[indices + 1] - starts_B
        longest = max(int(lengths_B.max()), 1) if len(indices) else 1
        steps_L = torch.arange(longest, device=self.times.device)
        padded_BL = steps_L >= lengths_B[:, None]
        events_BL = (starts_B[:, None] + steps_L).masked_fill_(padded_BL, 0)
        dtype = torch.float32 if self.times.is_floating_point() else torch.int64
        times, features = self.times, self.features
        if len(times) == 0:
            times = times.new_zeros(1)
            features = None if features is None else features.new_zeros(1, self.feature_dim)
        return EventBatch(
            times=times[events_BL].to(dtype).masked_fill_(padded_BL, padding),
            features=None if features is None else features[events_BL].masked_fill_(padded_BL[..., None], padding),
            lengths=lengths_B,
            labels=self.labels[indices],
        )

    def select(self, indices: Tensor) -> Self:
        """Return the sequences `indices` (k,), in that order."""
        return self._parts(self.offsets[indices], self.lengths[indices], indices)

    def truncate(self, max_events: int) -> Self:
        """Return all sequences with only the first `max_events` events of each."""
        return self._parts(self.offsets[:-1], self.lengths.clamp(max=max_events))

    def beginnings(self, sequence: int, lengths: Tensor) -> Self:
        """Return the first `lengths` (k,) events of one sequence, as k sequences."""
        count = len(lengths)
        same = torch.full((count,), sequence, device=self.offsets.device)
        return self._parts(self.offsets[same], lengths, same)

    def _parts(self, starts: Tensor, lengths: Tensor, sequences: Tensor | None = None) -> Self:
        """Return k sequences, each the stretch of events with the given start and length (k,).

        `sequences` (k,) are the sequences from which labels and groups are taken, by default all in their order.
        """
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        times = self.times.new_empty(int(offsets[-1]))
        features = None if self.features is None else self.features.new_empty(len(times), self.feature_dim)
        # Done for some sequences at a time: the indices of all events would take more memory than the events.
        for a, b in blocks(offsets.cpu().numpy()):
            first, last = int(offsets[a]), int(offsets[b])
            shifts = torch.repeat_interleave(starts[a:b] - offsets[a:b], lengths[a:b])
            events = shifts + torch.arange(first, last, device=lengths.device)
            times[first:last] = self.times[events]
            if features is not None and self.features is not None:
                features[first:last] = self.features[events]
        labels, groups = self.labels, self.groups
        if sequences is not None:
            labels, groups = labels[sequences], None if groups is None else groups[sequences]
        return replace(self, times=times, offsets=offsets, labels=labels, features=features, groups=groups)

    def to(self, device: torch.device | str) -> Self:
        """Return the data set on `device`."""
        return replace(
            self,
            times=self.times.to(device),
            offsets=self.offsets.to(device),
            labels=self.labels.to(device),
            features=None if self.features is None else self.features.to(device),
            groups=None if self.groups is None else self.groups.to(device),
        )


def _numbers(row: ArrayLike, dimensions: int, where: str) -> NDArray[np.float64]:
    try:
        array = np.asarray(row, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{where}: must be numbers, got {error}. Give one list of numbers for each sequence."
        ) from error
    if dimensions == 2 and array.size == 0 and array.ndim == 1:  # noqa: PLR2004  # the array of an empty list has only one dimension
        array = array.reshape(0, 1)
    if array.ndim != dimensions:
        raise DataError(
            f"{where}: must have {dimensions} dimension(s), got {array.ndim}. Give one list for each sequence."
        )
    return array
