"""How every figure looks: one colour a model, large type, white ground.

Colours: Okabe and Ito, "Color Universal Design", 2008; distinguishable with the common kinds of colour blindness.
Sizes are in CSS pixels and chosen so that a figure shown at half its size can still be read.
"""

from collections.abc import Sequence
from typing import Any

from plotly.graph_objects import Figure

__all__ = ["COLOURS", "Figure", "colours", "faint", "finish"]

# Yellow comes last: it is the weakest on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#C8B900")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
INK = "#222222"
MUTED = "#6B6B6B"
GRID = "#E4E4E4"
TEXT_SIZE = 20
SMALL_SIZE = 17
TITLE_SIZE = 26


def colours(models: Sequence[str]) -> dict[str, str]:
    """Return the colour of each model, by its place in the study."""
    return {model: COLOURS[i % len(COLOURS)] for i, model in enumerate(models)}


def faint(colour: str, opacity: float) -> str:
    """Return a colour '#RRGGBB' with an opacity in [0, 1]."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"


def finish(figure: Figure, *, title: str, subtitle: str, width: int, height: int, **layout: Any) -> Figure:  # noqa: ANN401
    """Give a figure its title, size and look; further keywords go to plotly's layout."""
    figure.update_layout(
        title={
            "text": f"<b>{title}</b>",
            "subtitle": {"text": subtitle, "font": {"size": SMALL_SIZE, "color": MUTED}},
            "font": {"size": TITLE_SIZE},
            "x": 0,
            "xref": "paper",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 24},
        },
        font={"family": "Open Sans, DejaVu Sans, Arial, sans-serif", "size": TEXT_SIZE, "color": INK},
        template="none",
        paper_bgcolor="white",
        width=width,
        height=height,
        **{"plot_bgcolor": "white"} | layout,
    )
    figure.update_xaxes(gridcolor=GRID, linecolor=MUTED, zeroline=False, automargin=False, title_standoff=14)
    figure.update_yaxes(gridcolor=GRID, linecolor=MUTED, zeroline=False, automargin=False, title_standoff=10)
    return figure
