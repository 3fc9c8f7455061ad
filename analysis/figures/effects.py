"""Interactions of the factors of an ablation.

Letters: S seeds, A levels along the axis, B lines.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from plotly.graph_objects import Figure

from analysis.figures.parts.grid import Grid
from analysis.figures.parts.labels import label_ends, label_room
from analysis.figures.parts.style import (
    axis,
    colours,
    faint,
    finish,
    padded,
    panel_title,
)
from analysis.wording import series

SIDE, HEIGHT, GAP, DOWN = 430, 380, 130, 170
Panel = tuple[str, Sequence[str], str, Sequence[str], NDArray[np.float64]]
"""Name and levels along the axis, name and levels of the lines, values (S, A, B)."""


def interaction_figure(panels: Sequence[Panel], *, unit: str, percent: bool, cut: str = "") -> Figure:
    """Draw a panel per pair of factors: cell means over seeds as lines, seeds as points; parallel lines mean no interaction."""
    scale = 100 if percent else 1
    room = max(label_room(list(lines)) for _, _, _, lines, _ in panels)
    grid = Grid(len(panels), min(2, len(panels)), (SIDE, HEIGHT), (GAP, DOWN), room)
    figure = Figure()
    for panel, (across, ticks, by, lines, values_SAB) in enumerate(panels, start=1):
        limits = padded(scale * values_SAB)
        ends = [-0.25, len(ticks) - 0.75]
        named = {"tickvals": list(range(len(ticks))), "ticktext": list(ticks), "range": ends, "title": across}
        grid.place(figure, panel, named, {"range": limits, "nticks": 6})
        _lines(figure, scale * values_SAB, lines, panel, limits)
        panel_title(figure, f"{across} by {by}", panel)
    seeds = len(panels[0][4])
    return finish(
        figure,
        title="Do the factors interact?",
        subtitle=(
            f"{unit}{' (%)' if percent else ''}: lines are means, points {'are the seeds' if seeds > 1 else 'one seed'}{cut}.<br>"
            "Parallel lines: no interaction"
        ),
        seen=f"Means of the cells: {series(_span(panel, scale) for panel in panels)}.",
        width=max(100 + grid.width + 20, 760),
        height=grid.height + 90,
        margin={"l": 100, "r": max(20, 660 - grid.width), "b": 90},
    )


def _span(panel: Panel, scale: float) -> str:
    across, _, by, _, values_SAB = panel
    means_AB = scale * values_SAB.mean(axis=0)
    return f"{across} by {by} from {means_AB.min():.3g} to {means_AB.max():.3g}"


def _lines(
    figure: Figure, shown_SAB: NDArray[np.float64], names: Sequence[str], panel: int, limits: tuple[float, float]
) -> None:
    """Draw each line of means, its seeds as points, and its name at its end."""
    colour, places = colours(list(names)), list(range(shown_SAB.shape[1]))
    axes, ends = {"xaxis": axis("x", panel), "yaxis": axis("y", panel)}, {}
    for line, name in enumerate(names):
        marker = {"color": faint(colour[name], 0.45), "size": 9}
        seeds_SA = shown_SAB[:, :, line]
        xs = np.tile(places, len(seeds_SA))
        figure.add_scatter(x=xs, y=seeds_SA.ravel(), mode="markers", marker=marker, hoverinfo="skip", **axes)
        drawn = {"color": colour[name], "width": 4}
        figure.add_scatter(x=places, y=seeds_SA.mean(axis=0), mode="lines", line=drawn, name=name, **axes)
        ends[name] = (places[-1], float(seeds_SA[:, -1].mean()))
    label_ends(figure, ends, colour, panel=panel, limits=limits, height=HEIGHT)
