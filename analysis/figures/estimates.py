"""Estimates, one row each: a name, a value with its interval, and the points of which the value is the mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan

import numpy as np
from plotly.graph_objects import Figure

from analysis.figures.parts.style import COLOURS, INK, LABEL_SIZE, MUTED, SMALL_SIZE, faint, finish, padded, text_width
from analysis.wording import series

HEIGHT, WIDTH = 62, 700
NOTE_LETTERS = 60


@dataclass(frozen=True)
class Row:
    """One row of a figure."""

    label: str
    value: float
    points: Sequence[float]
    low: float = nan
    high: float = nan
    strong: bool = False
    """Whether the row stands out."""
    note: str = ""
    """Text written to the right of the row."""


def estimates_figure(
    rows: Sequence[Row], *, title: str, subtitle: str, unit: str, percent: bool, zero: bool = False
) -> Figure:
    """Draw rows from the top; `percent` multiplies values by 100, and `zero` draws a line at zero."""
    scale = 100 if percent else 1
    figure = Figure()
    for place, row in enumerate(rows):
        _row(figure, row, place, scale)
    ends = [end for row in rows for end in (row.low, row.high) if not isnan(end)]
    shown = [*ends, *(point for row in rows for point in row.points), *([0.0] if zero else [])]
    notes = [row.note if len(row.note) <= NOTE_LETTERS else f"{row.note[: NOTE_LETTERS - 2]} ..." for row in rows]
    for place, note in enumerate(notes):
        figure.add_annotation(
            text=note,
            x=1,
            xref="paper",
            y=place,
            xanchor="left",
            xshift=16,
            showarrow=False,
            font={"size": SMALL_SIZE, "color": INK},
        )
    if zero:
        figure.add_vline(x=0, line={"color": INK, "width": 1.5, "dash": "dot"})
    unit = f"{unit} ({'points' if zero else '%'})" if percent else unit
    figure.update_layout(
        xaxis={"title": unit, "nticks": 7, "range": padded(scale * np.array(shown))},
        yaxis={
            "range": [len(rows) - 0.4, -0.6],
            "tickvals": list(range(len(rows))),
            "ticktext": [row.label for row in rows],
            "tickfont": {"size": LABEL_SIZE},
            "showgrid": False,
            "ticks": "",
        },
    )
    left = 40 + max((text_width(row.label, LABEL_SIZE) for row in rows), default=0)
    right = 50 + max((text_width(note, SMALL_SIZE) for note in notes), default=0)
    return finish(
        figure,
        title=title,
        subtitle=subtitle,
        seen=f"{series(f'{row.label} {scale * row.value:.3g} {row.note}'.strip() for row in rows)}.",
        width=left + WIDTH + right,
        height=HEIGHT * max(len(rows), 2) + 90,
        margin={"l": left, "r": right, "b": 90},
    )


def _row(figure: Figure, row: Row, place: int, scale: float) -> None:
    """Draw the interval of a row as a line, its value as a bar, and its points."""
    colour = COLOURS[0] if row.strong else MUTED
    middle = scale * row.value
    if not isnan(row.low):
        figure.add_scatter(
            x=[scale * row.low, scale * row.high],
            y=[place, place],
            mode="lines",
            line={"color": colour, "width": 4},
            hoverinfo="skip",
        )
    figure.add_shape(
        type="line", x0=middle, x1=middle, y0=place - 0.26, y1=place + 0.26, line={"color": colour, "width": 6}
    )
    figure.add_scatter(
        x=[scale * point for point in row.points],
        y=np.full(len(row.points), place + 0.2),
        mode="markers",
        marker={"color": faint(colour, 0.55), "size": 11},
        name=row.label,
    )
