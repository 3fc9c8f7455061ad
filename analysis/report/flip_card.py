"""The flip card: the changed predictions when one run replaces another, compared with the changes caused by the seed alone."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.flips import Flips
from analysis.wording import as_words, bullets, markdown_table, plural

MOST_CLASSES = 12
"""Number of classes that the table shows, those with the most flips first."""
EXAMPLES = 5
"""Number of example sequences named per kind of flip."""


def flip_card(
    flips: Flips,
    churn: Mapping[str, NDArray[np.int64]],
    *,
    labels: NDArray[np.int64],
    sample_ids: NDArray[np.int64],
    classes: Sequence[str],
) -> str:
    """Return the card in Markdown; `churn` maps each of the two models to its churn, which is empty for a model with a single run."""
    righted, wronged = (int(part.sum()) for part in (flips.righted, flips.wronged))
    said = (
        f"Of {plural(len(labels), 'test sequence')}, {righted:,} turn from wrong to right and {wronged:,} from right to wrong: "
        f"{flips.count:,} flips, net {flips.net:+,}. {int(flips.changed.sum()):,} get another answer."
    )
    lines = [
        f"{name}: {ids}"
        for name, part in _kinds(flips).items()
        if (ids := _examples(part, sample_ids, int(part.sum())))
    ]
    return "\n\n".join(
        block for block in (said, _floor(flips.count, churn), _table(flips, labels, classes), bullets(lines)) if block
    )


def _kinds(flips: Flips) -> dict[str, NDArray[np.bool_]]:
    return {"Turned right, by sample id": flips.righted, "Turned wrong": flips.wronged}


def _examples(part: NDArray[np.bool_], sample_ids: NDArray[np.int64], count: int) -> str:
    shown = ", ".join(map(str, sample_ids[part][:EXAMPLES]))
    return f"{shown} and {count - EXAMPLES:,} more" if count > EXAMPLES else shown


def _floor(count: int, churn: Mapping[str, NDArray[np.int64]]) -> str:
    """Return text that compares the flips with those between two seeds of one model."""
    known = {model: pairs for model, pairs in churn.items() if len(pairs)}
    if not known:
        return "How many flips the seed alone makes is not known: neither model has a second run here."
    parts = [
        f"{as_words(model)} {pairs.mean():,.0f} (mean of {plural(len(pairs), 'pair')}, {pairs.min():,} to {pairs.max():,})"
        for model, pairs in known.items()
    ]
    highest = max(int(pairs.max()) for pairs in known.values())
    against = (
        "No more answers flip here than between some two seeds of one model"
        if count <= highest
        else "More answers flip here than between any two of these seeds"
    )
    return f"The floor of noise, flips between two seeds of one model: {'; '.join(parts)}. {against}."


def _table(flips: Flips, labels: NDArray[np.int64], classes: Sequence[str]) -> str:
    counts_C3 = flips.by_class(labels, len(classes))
    total_C = counts_C3[:, 1:].sum(axis=1)
    order = [number for number in np.argsort(-total_C, kind="stable") if total_C[number]]
    if not order:
        return ""
    rows = [
        [as_words(classes[number]), *(f"{count:,}" for count in counts_C3[number]), f"{_net(counts_C3[number]):+,}"]
        for number in order[:MOST_CLASSES]
    ]
    more = f", the {MOST_CLASSES} of {len(order)} with the most" if len(order) > MOST_CLASSES else ""
    header = ["Class", "Sequences", "Turned right", "Turned wrong", "Net"]
    return markdown_table(header, rows, caption=f"Flips by class{more}")


def _net(counts_3: NDArray[np.int64]) -> int:
    return int(counts_3[1] - counts_3[2])
