"""Drawings of sequences that all seeds of one model classify correctly and all seeds of another misclassify."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly.graph_objects import Figure

from analysis.figures.parts.style import (
    INK,
    PAPER,
    SMALL_SIZE,
    TILE,
    colours,
    cut_names,
    finish,
    legible,
    text_width,
)
from analysis.wording import plural, series

SIDE = 28
"""Width and height of a tile, in cells."""
IMAGE_HORIZON = SIDE**2
"""A sequence with this horizon is drawn as an image of 28 x 28 pixels, row by row."""
STEP, ROW, LINE = 34, 40, 5
"""Distance in cells between tiles across and down, and height in cells of a second line of text."""
ONE_LINE, LONGEST_NAME = 14, 12
"""Number of characters that fit in one line below a tile, and the most characters of a class's name written there."""
GROUND = -1
"""Value of the cells between tiles; cells of tiles are 0 or 1."""
CELL = 3.4
"""Size of a cell in pixels."""


def examples_figure(drawn: pd.DataFrame, events: pd.DataFrame, models: Sequence[str], classes: Sequence[str]) -> Figure:
    """Draw a row of tiles per pair (right, missed), one tile per sequence of `events` (sample_id, time, horizon).

    A sequence with a horizon of 784 is drawn as the 28 x 28 image that it came from; others as bars, events by time.
    """
    groups = [((str(a), str(b)), group) for (a, b), group in drawn.groupby(["right", "missed"], sort=False)]
    most = max(len(group) for _, group in groups)
    names = cut_names(classes, LONGEST_NAME)
    wraps = 2 * max(map(len, classes)) + len(", not ") > ONE_LINE
    down = ROW + LINE * wraps
    tiles: dict[object, NDArray[np.float64]] = {
        sample: raster(of["time"].to_numpy(), float(of["horizon"].iloc[0]))
        for sample, of in events.groupby("sample_id")
    }
    cells = np.full((len(groups) * down, most * STEP), GROUND, dtype=np.int8)
    colour = colours(models)
    notes: list[dict[str, object]] = []
    for i, ((right, missed), group) in enumerate(groups):
        named = [f"<span style='color:{legible(colour[model])}'>{model}</span>" for model in (right, missed)]
        told = f"{named[0]} right,<br>{named[1]} wrong"
        beside = {"xref": "paper", "x": 0, "xshift": -14, "xanchor": "right", "align": "right"}
        notes.append({"text": told, **beside, "y": i * down + SIDE / 2})
        for j, row in enumerate(group.to_dict("records")):
            cells[i * down : i * down + SIDE, j * STEP : j * STEP + SIDE] = tiles[row["sample_id"]]
            told = f"{names[row['label']]},{'<br>' if wraps else ' '}not {names[row['said']]}"
            caption = {"text": told, "y": i * down + SIDE + 4 + LINE * wraps / 2}
            notes.append({**caption, "x": j * STEP + SIDE / 2, "font": {"size": SMALL_SIZE - 4 * wraps, "color": INK}})
    figure = Figure(
        layout={
            "annotations": [{"font": {"size": SMALL_SIZE, "color": INK}, **note, "showarrow": False} for note in notes]
        }
    )
    scale = [[0, PAPER], [0.5, TILE], [1, INK]]
    figure.add_heatmap(z=cells, colorscale=scale, zmin=GROUND, zmax=1, showscale=False, hoverinfo="skip")
    hidden = {"visible": False, "showgrid": False}
    figure.update_xaxes(range=[-1, cells.shape[1]], **hidden)
    figure.update_yaxes(range=[cells.shape[0], -1], **hidden)
    seen = [
        f"{plural(len(of), 'sequence')} that {right} gets right and {missed} misses" for (right, missed), of in groups
    ]
    left = 40 + text_width(max(models, key=len) + " wrong", SMALL_SIZE)
    width, height = round(CELL * cells.shape[1]), round(CELL * cells.shape[0])
    return finish(
        figure,
        title="Sequences on which two models part",
        subtitle=(
            "All seeds of the first model are right, all seeds of the second wrong.<br>"
            "Below each: the class, and what the second model's first seed said"
        ),
        seen=f"{series(seen)}.",
        width=max(left + width + 30, 760),
        height=height + 20,
        margin={"l": left, "r": max(30, 760 - left - width), "b": 20},
    )


def raster(times: NDArray[np.number], horizon: float) -> NDArray[np.float64]:
    """Return a tile (28, 28) of 0 and 1: image pixels if the horizon is that of an image, else one bar per interval of time."""
    if horizon == IMAGE_HORIZON:
        pixels = np.zeros(SIDE * SIDE)
        pixels[times.astype(int)] = 1
        return pixels.reshape(SIDE, SIDE)
    counts, _ = np.histogram(times, bins=SIDE, range=(0, horizon))
    heights = SIDE * counts / max(counts.max(), 1)
    bars: NDArray[np.float64] = (np.arange(SIDE)[::-1, None] < heights).astype(float)
    return bars
