"""The reference of a stored model: distributions of its training data, in some kilobytes within its description.

Sequences are the sampling unit, because the events of a sequence depend on each other. Tests therefore use one number of each
sequence, and statistics over all events are shown without a test. Sequences without events are left out, because a file of
events cannot contain any.

Letters: N events, n sequences, C classes.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.statistics.sketch import Sketch
from pipeline.data import EventDataset, Splits
from pipeline.inference import Inference
from pipeline.seeding import seed_for

MOST_TRAINED, MOST_HELD_OUT = 10_000, 500
"""Most training sequences and most held-out sequences of a reference; from more, this many are drawn at random."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Distributions of the training sequences, and of a model's predictions for held-out sequences."""

    sequences: dict[str, Sketch]
    """Distributions of one number per training sequence, by the names of `numbers_of_sequences`."""
    events: dict[str, Sketch]
    """Distributions over all events of the training sequences, by the names of `numbers_of_events`."""
    confidence: Sketch
    """Distribution of the probability of the predicted class, over held-out sequences."""
    predicted: NDArray[np.int64]
    """How often each class is predicted (C,), over held-out sequences."""
    held_out: str
    """The split that those answers are of: the first of validation, test and train in which a sequence has events."""

    @classmethod
    def of(cls, splits: Splits, inference: Inference) -> Self:
        """Return the reference of a model; it is deterministic for the same data and weights."""
        train = _drawn(splits.train, MOST_TRAINED, "train")
        times_N, offsets = train.times.numpy(), train.offsets.numpy()
        held_out = next((name for name in ("validation", "test") if len(getattr(splits, name).times)), "train")
        answered = _drawn(getattr(splits, held_out), MOST_HELD_OUT, "held_out")
        probabilities_nC = inference.probabilities(answered) if len(answered) else np.zeros((0, answered.classes))
        return cls(
            {name: Sketch.of(values) for name, values in numbers_of_sequences(times_N, offsets).items()},
            {name: Sketch.of(values) for name, values in numbers_of_events(times_N, offsets).items()},
            Sketch.of(probabilities_nC.max(1)),
            counts_of(probabilities_nC),
            held_out,
        )

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Self:
        """Return the reference that `to_json` returned."""
        sequences, events = (
            {name: Sketch.from_json(sketch) for name, sketch in told[part].items()} for part in ("sequences", "events")
        )
        confidence, predicted = Sketch.from_json(told["confidence"]), np.array(told["predicted"], dtype=np.int64)
        return cls(sequences, events, confidence, predicted, told["held_out"])

    def to_json(self) -> dict[str, Any]:
        """Return the reference as values that JSON can hold."""
        return {
            "sequences": {name: sketch.to_json() for name, sketch in self.sequences.items()},
            "events": {name: sketch.to_json() for name, sketch in self.events.items()},
            "confidence": self.confidence.to_json(),
            "predicted": self.predicted.tolist(),
            "held_out": self.held_out,
        }


def numbers_of_sequences(times_N: NDArray[Any], offsets: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
    """Return arrays (n,) with one number per sequence, by name: length, gaps and times in the unit of `times_N`.

    Every sequence must have events. Gaps are NaN for a sequence of one event. The median of an even number of values is the lower
    of the two middle ones.
    """
    starts, lengths = offsets[:-1], np.diff(offsets)
    gaps_N = _gaps(times_N, offsets)
    order = np.lexsort((gaps_N, np.repeat(np.arange(len(lengths)), lengths)))
    by_size_N = gaps_N[order]  # sorted within each sequence; the NaN of its first event comes last
    several = lengths > 1
    median_gaps, largest_gaps = np.full((2, len(lengths)), np.nan)
    median_gaps[several] = by_size_N[(starts + (lengths - 2) // 2)[several]]
    largest_gaps[several] = by_size_N[(starts + lengths - 2)[several]]
    numbers = {
        "length": lengths,
        "median_gap": median_gaps,
        "largest_gap": largest_gaps,
        "median_time": times_N[starts + (lengths - 1) // 2],
        "last_time": times_N[offsets[1:] - 1],
    }
    return {name: values.astype(np.float32) for name, values in numbers.items()}


def numbers_of_events(times_N: NDArray[Any], offsets: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
    """Return the times of all events (N,) and the gaps between them (N - n,), by name."""
    gaps_N = _gaps(times_N, offsets)
    return {"time": times_N.astype(np.float32), "gap": gaps_N[~np.isnan(gaps_N)].astype(np.float32)}


def counts_of(probabilities_nC: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how often each class is the most probable one (C,) in probabilities (n, C)."""
    return np.bincount(probabilities_nC.argmax(1), minlength=probabilities_nC.shape[1])


def _gaps(times_N: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the time since the previous event (N,), NaN for the first event of a sequence; each sequence must have events."""
    gaps_N = np.diff(times_N.astype(np.float64), prepend=0.0)
    gaps_N[offsets[:-1]] = np.nan
    return gaps_N


def _drawn(dataset: EventDataset, most: int, what: str) -> EventDataset:
    """Return the sequences that have events, or `most` of them, drawn at random, if there are more."""
    places = dataset.lengths.nonzero()[:, 0].numpy()
    if len(places) > most:
        drawn = np.random.default_rng(seed_for(0, "reference", what)).choice(places, most, replace=False)
        places = np.sort(drawn)
    return dataset.select(torch.from_numpy(places))
