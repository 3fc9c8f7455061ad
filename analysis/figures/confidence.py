"""Reliability diagrams: accuracy against confidence, one square panel per model."""

from collections.abc import Sequence

import pandas as pd
from plotly.graph_objects import Figure

from analysis.figures.parts.grid import squares
from analysis.figures.parts.style import MUTED, axis, colours, error_bars, faint, finish, panel_title
from analysis.wording import series

SIDE, GAP = 420, 120


def reliability_figure(bins: pd.DataFrame, means: pd.DataFrame, models: Sequence[str], level: float) -> Figure:
    """Draw accuracy by confidence, one panel per model: the bins of each seed as points, their means with intervals; in [0, 1]."""
    grid = squares(len(models), SIDE, GAP)
    low = 100 * float(min(bins["confidence"].min(), bins["accuracy"].min()))
    limits = [max(-2.0, low - 4), 102]
    figure = Figure()
    for panel, (model, colour) in enumerate(colours(models).items(), start=1):
        across = {"range": limits, "title": "Confidence (%)" if grid.at_bottom(panel) else ""}
        up = {"range": limits, "title": "Right (%)" if grid.at_left(panel) else ""}
        grid.place(figure, panel, across, up)
        line = {"color": MUTED, "width": 2, "dash": "dot"}
        axes = {"xaxis": axis("x", panel), "yaxis": axis("y", panel)}
        figure.add_scatter(x=limits, y=limits, mode="lines", line=line, hoverinfo="skip", name="perfect", **axes)
        _bins(figure, model, bins[bins["model"] == model], means[means["model"] == model], colour=colour, axes=axes)
        panel_title(figure, model, panel)
    return finish(
        figure,
        title="Confidence and accuracy",
        subtitle=(
            "Below the dotted line a model is too sure, above it not sure enough.<br>"
            f"Faint: seeds, strong: their mean, bars: {100 * level:g} % over seeds"
        ),
        seen=f"{series(_said(bins, models))}.",
        width=max(grid.width + 150, 760),
        height=grid.height + 90,
        margin={"l": 110, "r": max(40, 760 - grid.width - 110), "b": 90},
    )


def _said(bins: pd.DataFrame, models: Sequence[str]) -> list[str]:
    """Return text on the mean confidence and mean accuracy of each model."""
    said = []
    for model in models:
        rows = bins[bins["model"] == model]
        sure, right = (
            (rows[name] * rows["sequences"]).sum() / rows["sequences"].sum() for name in ("confidence", "accuracy")
        )
        said.append(f"{model} is {100 * sure:.1f} % sure on average, and right in {100 * right:.1f} %")
    return said


def _bins(
    figure: Figure, model: str, seeds: pd.DataFrame, mean: pd.DataFrame, *, colour: str, axes: dict[str, str]
) -> None:
    """Draw the bins of one model: those of each seed as points, their means with intervals as a line."""
    figure.add_scatter(
        x=100 * seeds["confidence"],
        y=100 * seeds["accuracy"],
        mode="markers",
        marker={"color": faint(colour, 0.35), "size": 8},
        name=f"{model} seeds",
        **axes,
    )
    figure.add_scatter(
        x=100 * mean["confidence"],
        y=100 * mean["mean"],
        mode="lines+markers",
        line={"color": colour, "width": 3},
        marker={"size": 10},
        error_y=error_bars(colour, *(100 * mean[name] for name in ("mean", "low", "high"))),
        name=model,
        **axes,
    )
