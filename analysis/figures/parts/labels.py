"""Names beside line ends, moved apart so that they do not overlap."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from plotly.graph_objects import Figure
from scipy.optimize import isotonic_regression

from analysis.figures.parts.style import LABEL_SIZE, axis, legible, text_width

GAP = 28
LEADER = 34


def label_room(names: list[str]) -> int:
    """Return the width, in pixels, needed by names beside line ends."""
    return LEADER + 12 + max(text_width(name, LABEL_SIZE) for name in names)


def label_ends(
    figure: Figure,
    ends: Mapping[str, tuple[float, float]],
    colour: Mapping[str, str],
    *,
    panel: int,
    limits: tuple[float, float],
    height: float,
    lift: float = 0,
) -> None:
    """Write each name beside the end (x, y) of its line, in a panel that shows `limits` of y over `height` pixels.

    `lift` raises the names by that many pixels, to clear a horizontal bar.
    """
    pixels = height / (limits[1] - limits[0])
    wanted = np.array([(y - limits[0]) * pixels for _, y in ends.values()])
    places = spread(wanted, GAP, height)
    for (name, (x, y)), want, place in zip(ends.items(), wanted, places, strict=True):
        figure.add_annotation(
            x=x,
            y=y,
            xref=axis("x", panel),
            yref=axis("y", panel),
            ax=LEADER,
            ay=want - place - lift,
            xanchor="left",
            text=name,
            font={"color": legible(colour[name]), "size": LABEL_SIZE},
            arrowcolor=colour[name],
            arrowwidth=1.5,
            arrowhead=0,
            standoff=7,
        )


def spread(wanted: NDArray[np.float64], gap: float, height: float) -> NDArray[np.float64]:
    """Return positions at least `gap` apart within [0, height], in the order of `wanted` and as near to them as possible."""
    if not len(wanted):
        return wanted
    order = np.argsort(wanted, kind="stable")
    steps = gap * np.arange(len(wanted))
    # Subtracting the steps turns "at least a gap apart" into "not decreasing".
    free = isotonic_regression(wanted[order] - steps).x
    places = np.empty(len(wanted))
    places[order] = np.clip(free, 0, max(0.0, height - steps[-1])) + steps
    return places
