"""A data card: the content of a data set, the length and density of its sequences, and conversions.

Letters: N events.
"""

import torch
from torch import Tensor

from pipeline.data.base import DatasetConfig, Splits
from pipeline.data.events import EventDataset

MOST_CLASSES = 12
"""Most classes that are listed; further ones are only counted."""

Rows = list[tuple[str, str]]


def card(config: DatasetConfig) -> Rows:
    """Return the rows of the card of a data set; DataError if it cannot be loaded."""
    splits = config.load()
    parts = [part for part in (splits.train, splits.validation, splits.test) if len(part)]
    data, unit = splits.train, splits.train.time_unit
    lengths = torch.cat([part.lengths for part in parts])
    gaps = torch.cat([_gaps(part) for part in parts])
    largest = max(float(part.times.max()) for part in parts if len(part.times))
    named = {name: len(getattr(splits, name)) for name in ("train", "validation", "test")}
    sizes = ", ".join(f"{size:,} {name}" for name, size in named.items() if size)
    ties = int((gaps == 0).sum())
    rows = [
        ("sequences", f"{len(lengths):,}: {sizes}"),
        ("classes", _classes(parts)),
        ("events", f"{int(lengths.sum()):,}"),
        ("events of a sequence", _spread(lengths)),
        ("times", f"0 to {largest:g}, horizon {data.horizon:g}, in the unit {unit}, kept as {_name(data.times)}"),
    ]
    if len(gaps):
        share = f"{ties / len(gaps):.2%} of the gaps"
        rows += [
            ("gaps between events", _spread(gaps)),
            ("ties", f"{ties:,} events at the time of the one before, {share}"),
        ]
    return [*rows, *_features(config, splits), *(("note", note) for note in splits.notes)]


def _gaps(data: EventDataset) -> Tensor:
    """Return the gaps between neighbouring events of a sequence; its first event has none."""
    inside = torch.ones(len(data.times), dtype=torch.bool)
    inside[data.offsets[:-1][data.lengths > 0]] = False
    return data.gaps[inside]


def _spread(values: Tensor) -> str:
    numbers = values.double()
    return f"{numbers.min():g} to {numbers.max():g}, median {numbers.median():g}, mean {numbers.mean():.4g}"


def _classes(parts: list[EventDataset]) -> str:
    names = parts[0].class_names
    counts = torch.bincount(torch.cat([part.labels for part in parts]), minlength=len(names))
    listed = ", ".join(f"{name} {int(count):,}" for name, count in zip(names[:MOST_CLASSES], counts, strict=False))
    more = f" and {len(names) - MOST_CLASSES} more" if len(names) > MOST_CLASSES else ""
    return f"{len(names)}: {listed}{more}; the largest is {counts.max() / counts.sum():.1%} of the sequences"


def _name(values: Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")


def _features(config: DatasetConfig, splits: Splits) -> Rows:
    names = getattr(config, "feature_columns", None) or [str(i) for i in range(splits.train.feature_dim)]
    known = splits.standardization
    if known:
        return [
            (f"feature {name}", f"mean {mean:g}, standard deviation {deviation:g} in the training split; standardised")
            for name, mean, deviation in zip(names, known.means, known.deviations, strict=True)
        ]
    features = splits.train.features
    columns = [] if features is None else features.unbind(1)
    return [(f"feature {name}", _spread(column)) for name, column in zip(names, columns, strict=True)]
