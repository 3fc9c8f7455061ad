"""How every figure looks: one colour a model, large type, white ground.

Colours: Okabe and Ito, "Color Universal Design", 2008; distinguishable with the common kinds of colour blindness.
Sizes are in CSS pixels and chosen so that a figure shown at half its size can still be read.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly.graph_objects import Figure

from analysis.wording import printable, shortened

# Yellow comes last, and darkened: it is the weakest on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B3A600")
INK = "#222222"
MUTED = "#6B6B6B"
GRID = "#E4E4E4"
TEXT_SIZE = 20
SMALL_SIZE = 18
LABEL_SIZE = 19
PANEL_SIZE = 22
TITLE_SIZE = 27
SUBTITLE_LINE = 26


def colours(models: Sequence[str]) -> dict[str, str]:
    """Return the colour of each model, by its place in the study."""
    return {model: COLOURS[i % len(COLOURS)] for i, model in enumerate(models)}


def faint(colour: str, opacity: float) -> str:
    """Return a colour '#RRGGBB' with an opacity in [0, 1]."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"


def text_width(text: str, size: int = TEXT_SIZE) -> int:
    """Return about how wide a text is, in pixels."""
    return round(0.6 * size * len(text))


def cut_names(names: Sequence[str], letters: int) -> list[str]:
    """Return names of at most so many letters for plotly, longer ones without their middle; numbered where two would look alike."""
    names = [printable(name) for name in names]
    cut = [shortened(name, letters) for name in names]
    if len(set(cut)) < len(names):
        room = letters - len(f"{len(names)} ")
        cut = [f"{number} {name[:room]}" for number, name in enumerate(names)]
    return [name.replace("&", "&amp;").replace("<", "&lt;") for name in cut]


def axis(letter: str, panel: int) -> str:
    """Return plotly's name of the x or y axis of a panel, counted from 1."""
    return letter if panel == 1 else f"{letter}{panel}"


def padded(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the limits of an axis with room at both ends."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    pad = 0.07 * (high - low) or 0.5
    return low - pad, high + pad


def colour_key(models: Sequence[str]) -> str:
    """Return the models' names in their colours, for a subtitle."""
    return "  ".join(f"<span style='color:{colour}'>\u25cf {model}</span>" for model, colour in colours(models).items())


def error_bars(
    colour: str,
    middle: pd.Series | NDArray[np.float64],
    low: pd.Series | NDArray[np.float64],
    high: pd.Series | NDArray[np.float64],
) -> dict[str, object]:
    """Return the bars of intervals, all in the unit of their axis."""
    return {
        "type": "data",
        "array": high - middle,
        "arrayminus": middle - low,
        "color": colour,
        "thickness": 2,
        "width": 0,
    }


def panel_title(figure: Figure, text: str, panel: int) -> None:
    """Write a heading above a panel, flush with its left edge."""
    figure.add_annotation(
        text=f"<b>{text}</b>",
        x=0,
        y=1,
        xref=f"{axis('x', panel)} domain",
        yref=f"{axis('y', panel)} domain",
        xanchor="left",
        yanchor="bottom",
        yshift=8,
        showarrow=False,
        font={"size": PANEL_SIZE, "color": INK},
    )


def finish(figure: Figure, *, title: str, subtitle: str, width: int, height: int, margin: dict[str, int]) -> Figure:
    """Give a figure its title, look and size in pixels, without the top margin, which fits the subtitle."""
    top = 120 + SUBTITLE_LINE * (1 + subtitle.count("<br>"))
    figure.update_layout(
        title={
            "text": f"<b>{title}</b>",
            "subtitle": {"text": subtitle, "font": {"size": SMALL_SIZE, "color": MUTED}},
            "font": {"size": TITLE_SIZE},
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 26, "l": 30},
        },
        font={"family": "Open Sans, DejaVu Sans, Arial, sans-serif", "size": TEXT_SIZE, "color": INK},
        template="none",
        paper_bgcolor="white",
        plot_bgcolor="white",
        showlegend=False,
        width=width,
        height=top + height,
        margin={**margin, "t": top},
    )
    figure.update_xaxes(gridcolor=GRID, linecolor=MUTED, zeroline=False, automargin=False, title_standoff=14)
    figure.update_yaxes(gridcolor=GRID, linecolor=MUTED, zeroline=False, automargin=False, title_standoff=10)
    return figure
