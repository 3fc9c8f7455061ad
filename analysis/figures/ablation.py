"""Figures of ablation studies: interactions of factors, trials spent, importance.

Letters: S seeds, A levels along the axis, B lines.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly.graph_objects import Figure

from analysis.figures.grid import Grid
from analysis.figures.labels import label_ends, label_room
from analysis.figures.style import (
    COLOURS,
    INK,
    SMALL_SIZE,
    TEXT_SIZE,
    axis,
    colours,
    faint,
    finish,
    padded,
    panel_title,
    text_width,
)

SIDE, HEIGHT, GAP, DOWN = 430, 380, 130, 170
STATES = {"complete": COLOURS[0], "pruned": COLOURS[4], "failed": INK}
Panel = tuple[str, Sequence[str], str, Sequence[str], NDArray[np.float64]]
"""Name and levels along the axis, name and levels of the lines, values (S, A, B)."""


def interaction_figure(panels: Sequence[Panel], *, unit: str, percent: bool, cut: str = "") -> Figure:
    """Draw a panel per pair of factors: cell means over seeds as lines, seeds as points; parallel lines do not interact."""
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
        width=max(100 + grid.width + 20, 760),
        height=grid.height + 90,
        margin={"l": 100, "r": max(20, 660 - grid.width), "b": 90},
    )


def _lines(
    figure: Figure, shown_SAB: NDArray[np.float64], names: Sequence[str], panel: int, limits: tuple[float, float]
) -> None:
    """Draw the mean of each line, its seeds as points, and its name at its end."""
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


def tuning_figure(table: pd.DataFrame) -> Figure:
    """Draw the trials of each model by state, with the epochs they took."""
    figure = Figure()
    places = list(range(len(table)))
    for state, colour in STATES.items():
        counts = table[state]
        figure.add_bar(
            x=counts,
            y=places,
            orientation="h",
            marker={"color": colour},
            width=0.6,
            text=[str(count) if count else "" for count in counts],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont={"color": INK if state == "pruned" else "white", "size": TEXT_SIZE},
            name=state,
        )
    for place, row in enumerate(table.itertuples()):
        figure.add_annotation(
            x=row.trials, y=place, text=f"{row.epochs:,} epochs", xanchor="left", xshift=10, showarrow=False
        )
    figure.update_layout(
        barmode="stack",
        xaxis={"title": "Trials", "range": [0, 1.3 * float(table["trials"].max())], "nticks": 6},
        yaxis={
            "tickvals": places,
            "ticktext": list(table["model"]),
            "range": [len(table) - 0.4, -0.6],
            "showgrid": False,
            "ticks": "",
        },
    )
    words = ", ".join(f"<span style='color:{colour}'><b>{state}</b></span>" for state, colour in STATES.items())
    left = 40 + max(text_width(model) for model in table["model"])
    return finish(
        figure,
        title="Trials and epochs spent",
        subtitle=f"Trials by state: {words}",
        width=left + 700,
        height=70 * len(table) + 120,
        margin={"l": left, "r": 40, "b": 80},
    )


def importance_figure(table: pd.DataFrame, measures: Sequence[str], trials: int) -> Figure:
    """Draw a panel of bars per measure, a bar per factor, shares in percent."""
    figure = Figure()
    side, between = 420, 70
    width = len(measures) * (side + between) - between
    places = list(range(len(table)))
    for panel, measure in enumerate(measures, start=1):
        start = (panel - 1) * (side + between)
        shares = 100 * table[measure]
        figure.add_bar(
            x=shares.fillna(0),
            y=places,
            orientation="h",
            width=0.6,
            marker={"color": COLOURS[0]},
            text=["not measured" if np.isnan(share) else f"{share:.1f}" for share in shares],
            textposition="outside",
            cliponaxis=False,
            textfont={"size": SMALL_SIZE},
            xaxis=axis("x", panel),
            yaxis=axis("y", panel),
            name=measure,
        )
        figure.update_layout(
            {
                f"xaxis{panel}": {
                    "domain": [start / width, (start + side) / width],
                    "anchor": axis("y", panel),
                    "range": [0, 118],
                    "tickvals": [0, 50, 100],
                    "title": "Share (%)",
                },
                f"yaxis{panel}": {
                    "anchor": axis("x", panel),
                    "tickvals": places,
                    "ticktext": list(table["factor"]) if panel == 1 else [""] * len(table),
                    "range": [len(table) - 0.4, -0.6],
                    "showgrid": False,
                    "ticks": "",
                },
            }
        )
        panel_title(figure, measure, panel)
    left = 40 + max(text_width(factor) for factor in table["factor"])
    return finish(
        figure,
        title="Importance of the factors",
        subtitle=f"From {trials:,} complete trials. It depends on the ranges tried,<br>and with few trials it is noise",
        width=max(left + width + 50, 800),
        height=64 * len(table) + 130,
        margin={"l": left, "r": 50, "b": 90},
    )
