"""Confusion matrices, one per model."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from plotly.graph_objects import Figure

from analysis.figures.parts.grid import squares
from analysis.figures.parts.style import (
    MUTED,
    SMALL_SIZE,
    TEXT_SIZE,
    axis,
    cut_names,
    finish,
    panel_title,
    text_width,
)
from analysis.wording import series

SIDE = 560
GAP = 120
SHOWN_SHARE = 0.005
MANY = 20
"""Number of classes above which numbers and class names do not fit; the page shows both on hover."""
LONGEST_NAME = 16
"""Number of characters of a class's name that are drawn."""


def confusion_figure(confusion: Mapping[str, NDArray[np.int64]], classes: Sequence[str]) -> Figure:
    """Draw a confusion matrix per model from counts (K, K) with true classes in rows: errors are coloured, cells show row percent.

    `classes` are the names of the K classes.
    """
    shares = {model: counts / counts.sum(axis=1, keepdims=True).clip(min=1) for model, counts in confusion.items()}
    wrong = {model: np.where(np.eye(len(share), dtype=bool), np.nan, share) for model, share in shares.items()}
    worst = max(0.01, *(float(np.nanmax(values, initial=0.0)) for values in wrong.values()))
    names, many = cut_names(classes, LONGEST_NAME), len(classes) > MANY
    longest = min(max(map(text_width, classes)), text_width("m" * LONGEST_NAME))
    beside = max(0, longest - text_width("00"))
    # Names that do not fit below their columns are rotated.
    below = beside if many or longest > SIDE / len(names) else 0
    grid = squares(len(confusion), SIDE, GAP + beside)
    figure = Figure()
    for panel, (model, share) in enumerate(shares.items(), start=1):
        figure.add_heatmap(
            z=100 * wrong[model],
            x=list(classes) if many else None,
            y=list(classes) if many else None,
            hovertemplate="true %{y}, predicted %{x}: %{z:.1f} %<extra></extra>" if many else None,
            text=None if many else _texts(share),
            texttemplate=None if many else "%{text}",
            textfont={"size": SMALL_SIZE if len(share) <= 10 else SMALL_SIZE - 5},  # noqa: PLR2004
            colorscale="Oranges",
            zmin=0,
            zmax=100 * worst,
            showscale=False,
            xgap=0 if many else 1,
            ygap=0 if many else 1,
            xaxis=axis("x", panel),
            yaxis=axis("y", panel),
        )
        places = list(range(len(share)))
        named = {"type": "category"} if many else {"tickvals": places, "ticktext": names}
        ticks = {**named, "showgrid": False, "ticks": "", "showline": False}
        ends = [-0.5, len(share) - 0.5]
        across = {"range": ends, "tickangle": -90 if below else 0, **ticks}
        grid.place(figure, panel, across, {"range": ends[::-1], **ticks})
        _heading(figure, model, panel, (beside, below))
    return finish(
        figure,
        title="Confusion matrices",
        subtitle=(
            "Percent of each true class (row) by predicted class (column), all seeds together.<br>"
            f"Colour: errors only, the darkest {100 * worst:.1f} %; "
            + ("some classes are named" if many else f"shares under {100 * SHOWN_SHARE:g} % are left blank")
        ),
        seen=f"Most frequent errors: {series(_worst(wrong, classes))}.",
        width=grid.width + 150 + beside,
        height=grid.height + 90 + below,
        margin={"l": 90 + beside, "r": 60, "b": 90 + below},
    )


def _worst(wrong: Mapping[str, NDArray[np.float64]], classes: Sequence[str]) -> list[str]:
    """Return text on the most frequent error of each model; `wrong` is NaN on the diagonal."""
    said = []
    for model, share_KK in wrong.items():
        worst = float(np.nanmax(share_KK, initial=0.0))
        if worst == 0:
            said.append(f"{model} makes none")
            continue
        true, predicted = divmod(int(np.nanargmax(share_KK)), len(share_KK))
        said.append(f"{model} takes {100 * worst:.1f} % of {classes[true]} for {classes[predicted]}")
    return said


def _texts(share_KK: NDArray[np.float64]) -> list[list[str]]:
    return [
        [f"<b>{100 * x:.0f}</b>" if i == j else f"{100 * x:.1f}" if x >= SHOWN_SHARE else "" for j, x in enumerate(row)]
        for i, row in enumerate(share_KK)
    ]


def _heading(figure: Figure, model: str, panel: int, room: tuple[int, int]) -> None:
    """Write the title of a panel and of its axes; `room` is the space of the class names beside and below it, in pixels."""
    beside, below = room
    panel_title(figure, model, panel)
    axes = {"xref": f"{axis('x', panel)} domain", "yref": f"{axis('y', panel)} domain", "showarrow": False}
    font = {"size": TEXT_SIZE - 2, "color": MUTED}
    figure.add_annotation(
        text="predicted", x=1, y=0, yshift=-54 - below, xanchor="right", yanchor="bottom", font=font, **axes
    )
    figure.add_annotation(
        text="true", x=0, y=1, xshift=-52 - beside, xanchor="left", yanchor="top", textangle=-90, font=font, **axes
    )
