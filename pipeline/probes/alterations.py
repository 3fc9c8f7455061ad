"""Alterations of event times and events, to measure what a model uses of them.

The altered times are valid for every time embedding, a table of positions included: they are rounded if the data set has whole
times, clipped to the valid range, [0, T - 1] or [0, T), and sorted.

Letters: L events of a sequence, T horizon of the data set.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.data import EventDataset

Times = NDArray[np.float64]
Change = Callable[[Times, float, np.random.Generator], tuple[Times, NDArray[np.int64]]]
"""Function of times (L,), T and a generator that returns new times (K,) and, for each, the event (< L) whose features it gets."""


@dataclass(frozen=True)
class Alteration:
    """A change of event times, in words and as a function."""

    name: str
    leaves: str
    """Description of what a model can still see of the times."""
    change: Change


def altered(dataset: EventDataset, alteration: Alteration, generator: np.random.Generator) -> EventDataset:
    """Return the data set with every sequence altered, at valid times."""
    whole = not dataset.times.is_floating_point()
    highest = dataset.horizon - 1 if whole else np.nextafter(np.float32(dataset.horizon), np.float32(0))
    ends = dataset.offsets.tolist()
    times, sources, lengths = [np.zeros(0)], [np.zeros(0, np.int64)], [0]
    for start, end in pairwise(ends):
        events = dataset.times[start:end].double().numpy()
        changed, source = alteration.change(events, dataset.horizon, generator)
        changed = np.clip(np.rint(changed) if whole else changed, 0, highest)
        order = np.argsort(changed, kind="stable")
        times.append(changed[order])
        sources.append(start + source[order])
        lengths.append(len(changed))
    source_N = torch.from_numpy(np.concatenate(sources))
    return replace(
        dataset,
        times=torch.from_numpy(np.concatenate(times)).to(dataset.times.dtype),
        offsets=torch.from_numpy(np.cumsum(lengths, dtype=np.int64)),
        features=None if dataset.features is None else dataset.features[source_N],
    )


def _of_times(function: Callable[[Times, float, np.random.Generator], Times]) -> Change:
    """Return a change of the times that keeps every event."""
    return lambda times, horizon, generator: (function(times, horizon, generator), np.arange(len(times)))


def _shuffled_gaps(times: Times, _horizon: float, generator: np.random.Generator) -> Times:
    gaps = generator.permutation(np.diff(times))
    shuffled: Times = times[:1].repeat(len(times)) + np.concatenate([np.zeros(min(1, len(times))), gaps.cumsum()])
    return shuffled


def _constant(times: Times, horizon: float, _generator: np.random.Generator) -> Times:
    return np.full(len(times), horizon // 2, dtype=np.float64)


def _ranks(times: Times, _horizon: float, _generator: np.random.Generator) -> Times:
    return np.arange(len(times), dtype=np.float64)


def _shift(steps: float) -> Change:
    return _of_times(lambda times, _horizon, _generator: times + steps)


def _stretch(factor: float) -> Change:
    return _of_times(lambda times, _horizon, _generator: factor * times)


def _jitter(spread: float) -> Change:
    return _of_times(lambda times, _horizon, generator: times + generator.normal(0, spread, len(times)))


def _drop(share: float) -> Change:
    def change(times: Times, _horizon: float, generator: np.random.Generator) -> tuple[Times, NDArray[np.int64]]:
        kept = np.flatnonzero(generator.random(len(times)) >= share)
        return times[kept], kept

    return change


def _insert(share: float) -> Change:
    def change(times: Times, horizon: float, generator: np.random.Generator) -> tuple[Times, NDArray[np.int64]]:
        count = round(share * len(times))
        new = np.floor(horizon * generator.random(count))
        source = generator.integers(max(len(times), 1), size=count)
        return np.concatenate([times, new]), np.concatenate([np.arange(len(times)), source])

    return change


def _reversed(times: Times, horizon: float, _generator: np.random.Generator) -> tuple[Times, NDArray[np.int64]]:
    return (horizon - 1 - times)[::-1], np.arange(len(times))[::-1]


ORIGINAL = "true times"
ALTERATIONS: tuple[Alteration, ...] = (
    Alteration("constant", "order and count; every time is T/2", _of_times(_constant)),
    Alteration("rank only", "order and count; the times are 0, 1, 2, ...", _of_times(_ranks)),
    Alteration("shuffled gaps", "first and last time, and the gaps in another order", _of_times(_shuffled_gaps)),
    Alteration("shifted by 1", "all but the absolute time", _shift(1)),
    Alteration("shifted by 28", "all but the absolute time", _shift(28)),
    Alteration("stretched by 0.9", "all but the scale", _stretch(0.9)),
    Alteration("jitter of sd 2", "the times, blurred", _jitter(2)),
    Alteration("10 % dropped", "the times of nine events in ten", _drop(0.1)),
    Alteration("10 % inserted", "all, among random events", _insert(0.1)),
    Alteration("reversed", "all, read backwards: t becomes T - 1 - t", _reversed),
)
