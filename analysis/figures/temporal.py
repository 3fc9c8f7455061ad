"""Accuracy by sequence length, its correlation with length, and the distribution of lengths."""

from collections.abc import Sequence
from math import ceil

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly.graph_objects import Figure

from analysis.figures.parts.labels import label_ends, label_room
from analysis.figures.parts.strips import ROW_HEIGHT, strip
from analysis.figures.parts.style import MUTED, colours, error_bars, faint, finish, panel_title, text_width
from analysis.wording import series

TOP_HEIGHT, BETWEEN = 480, 170
BIN_WIDTH = 120
STRIP_SHARE, HISTOGRAM_START = 0.42, 0.53
DODGE = 0.7
HISTOGRAM_BINS = 40


def temporal_figure(
    bins: pd.DataFrame, correlations: pd.DataFrame, lengths: NDArray[np.int64], models: Sequence[str], level: float
) -> Figure:
    """Draw the three panels; accuracies of `bins` in [0, 1] with intervals at `level`, `lengths` (n,) in events."""
    bottom_height = max(260, len(models) * ROW_HEIGHT)
    height = TOP_HEIGHT + BETWEEN + bottom_height
    bottom = [0, bottom_height / height]
    width = max(1100, BIN_WIDTH * bins["shortest"].nunique())
    figure = Figure()
    _by_length(figure, bins, models, [1 - TOP_HEIGHT / height, 1])
    strip(figure, correlations, "correlation", models, panel=2, form="+.3f", absent="undefined")
    _controlled(figure, correlations, models)
    _histogram(figure, lengths)
    figure.update_layout(
        xaxis2={"anchor": "y2", "domain": [0, STRIP_SHARE], "title": "Correlation r"},
        yaxis2={"domain": bottom},
        xaxis3={"domain": [HISTOGRAM_START, 1], "anchor": "y3", "title": "Events in the sequence"},
        yaxis3={"domain": bottom, "anchor": "x3", "rangemode": "tozero"},
        bargap=0,
    )
    for panel, title in enumerate(("Accuracy by length (%)", "Length and being right", "Test sequences"), start=1):
        panel_title(figure, title, panel)
    left = max(110, 40 + max(text_width(model) for model in models))
    right = label_room(list(models)) + 20
    return finish(
        figure,
        title="Accuracy and sequence length",
        subtitle=(
            f"Top: mean over seeds in quantile bins of length, intervals at {100 * level:g} %.<br>"
            "Bottom left: points are seeds, the bar their mean, the diamond the mean correlation within classes"
        ),
        seen=f"{series(_ends(bins, models))}.",
        width=left + width + right,
        height=height + 90,
        margin={"l": left, "r": right, "b": 90},
    )


def _ends(bins: pd.DataFrame, models: Sequence[str]) -> list[str]:
    """Return text on the accuracy of each model on the shortest and on the longest sequences."""
    said = []
    for model in models:
        rows = bins[bins["model"] == model]
        short, long = rows.iloc[0], rows.iloc[-1]
        said.append(
            f"{model} is right in {100 * short['accuracy']:.1f} % of the sequences of {short['shortest']} to {short['longest']} "
            f"events and in {100 * long['accuracy']:.1f} % of those of {long['shortest']} to {long['longest']}"
        )
    return said


def _by_length(figure: Figure, bins: pd.DataFrame, models: Sequence[str], domain: list[float]) -> None:
    """Draw accuracy by bin, with the models side by side within a bin."""
    colour = colours(models)
    names = bins.drop_duplicates("shortest")
    limits = _limits(bins)
    ends = {}
    for place, model in enumerate(models):
        rows = bins[bins["model"] == model]
        x = np.arange(len(rows)) + DODGE * ((place + 0.5) / len(models) - 0.5)
        rates = 100 * rows["accuracy"].to_numpy()
        figure.add_scatter(
            x=x,
            y=rates,
            mode="lines+markers",
            line={"color": faint(colour[model], 0.45), "width": 2},
            marker={"color": colour[model], "size": 10},
            error_y=error_bars(colour[model], rates, *(100 * rows[end].to_numpy() for end in ("low", "high"))),
            name=model,
        )
        ends[model] = (len(names) - 0.5, float(rates[-1]))
    figure.update_layout(
        xaxis={
            "anchor": "y",
            "title": "Events in the sequence, shortest to longest of each bin",
            "range": [-0.5, len(names) - 0.5],
            "tickvals": list(range(len(names))),
            "ticktext": [f"{row.shortest} to {row.longest}" for row in names.itertuples()],
            "showgrid": False,
        },
        yaxis={"anchor": "x", "domain": domain, "range": limits},
    )
    label_ends(figure, ends, colour, panel=1, limits=limits, height=TOP_HEIGHT)


def _histogram(figure: Figure, lengths: NDArray[np.int64]) -> None:
    # Each bin spans the same number of integers; other bins would show spikes that the lengths do not have.
    step = ceil((int(np.ptp(lengths)) + 1) / HISTOGRAM_BINS)
    edges = np.arange(lengths.min(), lengths.max() + step + 1, step) - 0.5
    counts, _ = np.histogram(lengths, bins=edges)
    figure.add_bar(x=edges[:-1] + step / 2, y=counts, width=step, marker_color=MUTED, xaxis="x3", yaxis="y3")


def _controlled(figure: Figure, correlations: pd.DataFrame, models: Sequence[str]) -> None:
    means = correlations.groupby("model", observed=True)["controlled"].mean().reindex(list(models))
    marker = {"symbol": "diamond-open", "size": 17, "color": list(colours(models).values()), "line": {"width": 3}}
    y = np.arange(len(models)) + 0.13
    figure.add_scatter(x=means, y=y, mode="markers", marker=marker, name="within classes", xaxis="x2", yaxis="y2")
    both = pd.concat([correlations["correlation"], means]).dropna()
    if len(both):
        pad = 0.18 * (both.max() - both.min()) or 0.1
        figure.update_layout(xaxis2={"range": [both.min() - pad, both.max() + pad]})


def _limits(bins: pd.DataFrame) -> tuple[float, float]:
    low, high = 100 * float(bins["low"].min()), 100 * float(bins["high"].max())
    pad = 0.05 * (high - low)
    return low - pad, high + pad
