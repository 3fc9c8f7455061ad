"""The result of a drift comparison: as lines for a terminal, and as a page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np
from numpy.typing import NDArray

from analysis.drift.comparing import ALPHA, NAMES, SMALL, TIMED, Compared
from analysis.figures import Figure, described, shift_figure
from analysis.report.html import page
from analysis.statistics.sketch import Sketch
from analysis.wording import as_words, bullets, listing, markdown_table, p_value, plain, plural, series

SHOWN = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles that the page shows, over all events."""
METHOD = (
    (
        "**Unit.** A sequence is the unit, because events of one sequence depend on each other: each test takes one number of each "
        "sequence. The numbers of all events are shown without a p."
    ),
    (
        "**Reference.** Counts at up to 65 cut points of each distribution, stored with the model when it was trained: of training "
        "sequences, and of its answers to sequences that it was not trained on. The answer above says how many."
    ),
    (
        "**Numbers.** Two-sample Kolmogorov-Smirnov: the effect is the largest difference between shares of sequences up to a value. It is "
        "taken at and just below the cut points, where it is at most that of all values; its p is not too small then, and a sixtieth of "
        "the sequences can move without being seen. Wasserstein: how far a value would have to be moved on average."
    ),
    (
        "**Classes.** Chi-square test of homogeneity of the predicted classes; classes expected fewer than 5 times are taken together. "
        "The effect is total variation: the share of sequences that would need another class."
    ),
    (
        f"**Verdicts.** Holm's procedure limits false alarms in a file to a chance of {ALPHA:g}; over many files they add up. What is "
        f"shown to differ with an effect below {SMALL:g} is said to have moved little."
    ),
    (
        "**Not looked at.** Features, and whether answers are right: that needs labels. A change does not say that the model is worse, and "
        "no change does not say that it is as good."
    ),
)


@dataclass(frozen=True, eq=False)
class Drift:
    """A drift comparison and the data it is about."""

    source: str
    model: str
    compared: Sequence[Compared]
    sketches: Mapping[str, Sketch]
    """The reference sketches, by the name of the quantity."""
    samples: Mapping[str, NDArray[np.float32]]
    events: Mapping[str, tuple[Sketch, NDArray[np.int64]]]
    """Quantities over all events: the reference sketch, and the number of values of the file at or below each cut point."""
    totals: Mapping[str, int]
    """Number of values of each quantity in the file."""
    class_names: Sequence[str]
    unit: str
    notes: Sequence[str]
    """Further remarks, one sentence each."""


def lines(drift: Drift) -> Iterator[str]:
    """Yield lines for the terminal: the distributions that moved, those that did not, and those not tested."""
    for verdict in ("moved", "moved little"):
        for one in _with(drift, verdict):
            yield f"{verdict}: {_said(one, drift)}"
    for verdict in ("no sign", "not tested"):
        if names := [NAMES[one.name] for one in _with(drift, verdict)]:
            yield f"{'no sign of a change' if verdict == 'no sign' else verdict}: {listing(names)}"
    yield from drift.notes


def drift_page(drift: Drift) -> str:
    """Return the page."""
    moved = [one for one in drift.compared if one.verdict == "moved" and one.name in drift.samples]
    figures = {one.name: _figure(one.name, drift) for one in moved}
    parts = [
        f"# {as_words(drift.source)} against the training data of {as_words(drift.model)}",
        "## Answer",
        f"**{headline(drift)}**",
        bullets(map(plain, lines(drift))),
        "## Results",
        markdown_table(
            ("What", "Verdict", "Training", "File", "Effect", "Wasserstein", "Holm p", "Sequences"),
            [_row(one, drift) for one in drift.compared],
            caption="Numbers of a sequence: quartiles over the sequences; of classes, the one whose share changed most",
        ),
        *(f"![{plain(described(figure))}]({stem}.png)" for stem, figure in figures.items()),
        "## Predicted classes",
        _classes(drift),
        "## All events",
        _events(drift),
        "## How it was measured",
        bullets(METHOD),
    ]
    return page("\n\n".join(parts), figures)


def headline(drift: Drift) -> str:
    """Return a sentence with the number of distributions that moved."""
    moved = len(_with(drift, "moved"))
    if not moved:
        return f"No distribution of {len(drift.compared)} moved by more than a little."
    return f"{moved} of {plural(len(drift.compared), 'distribution')} moved."


def _with(drift: Drift, verdict: str) -> list[Compared]:
    return [one for one in drift.compared if one.verdict == verdict]


def _said(one: Compared, drift: Drift) -> str:
    what = f"{NAMES[one.name]}{f' ({drift.unit})' if one.name in TIMED else ''}"
    if one.name == "predicted":
        order = sorted(range(len(one.earlier)), key=lambda place: -abs(one.later[place] - one.earlier[place]))
        changes = [
            f"{drift.class_names[place]}: {one.earlier[place]:.1%} in training, {one.later[place]:.1%} now"
            for place in order
        ]
        return f"{what}: {series(changes, 3)}; total variation {one.shift.effect:.3f}, Holm {p_value(one.adjusted)}"
    return (
        f"{what}: median {_quartiles(one.earlier)} in training, {_quartiles(one.later)} now{_change(one)}; Kolmogorov-Smirnov "
        f"{one.shift.effect:.3f}, Wasserstein {one.shift.wasserstein:.3g}, Holm {p_value(one.adjusted)}"
    )


def _quartiles(three: Sequence[float]) -> str:
    low, middle, high = three
    return f"{middle:.4g} (quartiles {low:.4g} to {high:.4g})"


def _change(one: Compared) -> str:
    """Return the relative change of the median as text; "" where there is none."""
    before, after = one.earlier[1], one.later[1]
    return f" ({after / before - 1:+.1%})" if before > 0 and after != before else ""


def _row(one: Compared, drift: Drift) -> tuple[str, ...]:
    if one.name == "predicted":
        most = int(np.argmax(np.abs(np.subtract(one.later, one.earlier))))
        name = plain(drift.class_names[most])
        earlier, later = (f"{name}: {shares[most]:.1%}" for shares in (one.earlier, one.later))
    else:
        earlier, later = (" / ".join(f"{value:.4g}" for value in three) for three in (one.earlier, one.later))
    return (
        f"{NAMES[one.name].removesuffix(' of a sequence')}{f' ({plain(drift.unit)})' if one.name in TIMED else ''}",
        one.verdict,
        earlier,
        later,
        _number(one.shift.effect, ".3f"),
        _number(one.shift.wasserstein, ".3g"),
        p_value(one.adjusted).removeprefix("p = ").removeprefix("p "),
        f"{one.sizes[0]:,} / {one.sizes[1]:,}",
    )


def _number(value: float, form: str) -> str:
    return "" if isnan(value) else format(value, form)


def _classes(drift: Drift) -> str:
    [one] = [one for one in drift.compared if one.name == "predicted"]
    rows = [
        (plain(name), f"{before:.1%}", f"{after:.1%}", f"{100 * (after - before):+.1f}")
        for name, before, after in zip(drift.class_names, one.earlier, one.later, strict=True)
    ]
    return markdown_table(("Class", "Training", "File", "Points"), rows, caption="Shares of the predicted classes")


def _events(drift: Drift) -> str:
    rows = []
    for name, (sketch, reached) in drift.events.items():
        if not sketch.size:
            continue
        for at in SHOWN:
            value = sketch.quantile(at)
            place = int(np.searchsorted(sketch.cuts, np.float32(value)))
            share = f"{reached[place] / drift.totals[name]:.1%}" if drift.totals[name] else ""
            rows.append(
                (f"{name}s up to {value:.4g} {plain(drift.unit)}", f"{sketch.counts[place] / sketch.size:.1%}", share)
            )
    caption = "Shares of all events, which depend on each other within a sequence and are not tested"
    return markdown_table(("What", "Training", "File"), rows, caption=caption)


def _figure(name: str, drift: Drift) -> Figure:
    sketch, values = drift.sketches[name], drift.samples[name]
    values = np.sort(values[~np.isnan(values)])
    places = np.quantile(values, np.linspace(0, 1, len(sketch.cuts)), method="inverted_cdf")
    x = np.union1d(sketch.cuts, places)
    earlier = sketch.shares(x.astype(np.float64), "right")
    later = np.searchsorted(values, x, side="right") / len(values)
    return shift_figure(x, earlier, later, name=NAMES[name], unit=drift.unit if name in TIMED else "")
