"""The style of all figures: one colour per model, large type, white background.

Colours: Okabe and Ito, "Color Universal Design", 2008; distinguishable with the common kinds of colour blindness. Text
in the colour of a model is darker than its marks, so that it has the contrast that WCAG 2.2 asks for at level AA.
Sizes are in CSS pixels and chosen so that a figure shown at half its size can still be read.
"""

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly.graph_objects import Figure

from analysis.wording import printable, shortened

# Yellow comes last and is darkened, because it has the least contrast on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B3A600")
PAPER = "#FFFFFF"
INK = "#222222"
MUTED = "#6B6B6B"
GRID = "#E4E4E4"
STRONG_CELL, WEAK_CELL = "#0B3C5D", "#DCE6EC"
"""Backgrounds of significant cells (white text) and of other cells (dark text)."""
TILE = "#EDF1F3"
"""The background of a drawn sequence."""
TEXT_CONTRAST = 4.5
"""Least contrast of text with its background: WCAG 2.2, success criterion 1.4.3."""
NIGHT = "#14181C"
"""The background that replaces PAPER for readers who prefer dark pages."""
TEXT_SIZE = 20
SMALL_SIZE = 18
LABEL_SIZE = 19
PANEL_SIZE = 22
TITLE_SIZE = 27
SUBTITLE_LINE = 26
SEEN = "seen"
"""Key of the description in words in the figure's metadata."""


def colours(models: Sequence[str]) -> dict[str, str]:
    """Return the colour of each model, by its position in the study."""
    return {model: COLOURS[i % len(COLOURS)] for i, model in enumerate(models)}


def channels(colour: str) -> list[int]:
    """Return the red, green and blue channels of a colour '#RRGGBB', 0 to 255."""
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def faint(colour: str, opacity: float) -> str:
    """Return the colour '#RRGGBB' with an opacity in [0, 1], as 'rgba(...)'."""
    red, green, blue = channels(colour)
    return f"rgba({red}, {green}, {blue}, {opacity})"


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours '#RRGGBB', 1 to 21, as WCAG 2.2 defines it."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    shares = [value / 255 for value in channels(colour)]
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4  # noqa: PLR2004  of sRGB
        for share in shares
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@cache
def legible(colour: str, ground: str = PAPER) -> str:
    """Return a colour '#RRGGBB' mixed with enough black (white on a dark background) for text in it to reach TEXT_CONTRAST."""
    end = 0 if _luminance(ground) > 0.5 else 255  # noqa: PLR2004
    for step in range(101):
        mixed = "#" + "".join(f"{round(value + (end - value) * step / 100):02X}" for value in channels(colour))
        if contrast(mixed, ground) >= TEXT_CONTRAST:
            return mixed
    raise AssertionError("black or white can be read on any ground")


def night_colours() -> dict[str, str]:
    """Return {colour of a figure: its colour on a dark page}, in the forms of the JSON of a figure: '#RRGGBB' and 'rgba(R, G, B'."""
    marks = [*COLOURS, *(legible(colour) for colour in COLOURS)]
    night = {colour: legible(colour, NIGHT) for colour in marks}
    night |= {PAPER: NIGHT, INK: "#E8E6E3", MUTED: "#A9B0B7", GRID: "#3A424A", TILE: "#2A3138"}
    night |= {WEAK_CELL: "#2B343C", STRONG_CELL: "#1D6A9E"}
    return night | {_opening(light): _opening(dark) for light, dark in night.items()}


def _opening(colour: str) -> str:
    return faint(colour, 1).removesuffix(", 1)")


def text_width(text: str, size: int = TEXT_SIZE) -> int:
    """Return the approximate width of a text, in pixels."""
    return round(0.6 * size * len(text))


def cut_names(names: Sequence[str], letters: int) -> list[str]:
    """Return names of at most `letters` characters for plotly: the middle of longer ones is cut, and equal results are numbered."""
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
    """Return the limits of an axis that holds the values, with room at both ends."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    pad = 0.07 * (high - low) or 0.5
    return low - pad, high + pad


def colour_key(models: Sequence[str]) -> str:
    """Return the models' names in their colours, for a subtitle."""
    return "  ".join(
        f"<span style='color:{colour}'>\u25cf</span> <span style='color:{legible(colour)}'>{model}</span>"
        for model, colour in colours(models).items()
    )


def error_bars(
    colour: str,
    middle: pd.Series | NDArray[np.float64],
    low: pd.Series | NDArray[np.float64],
    high: pd.Series | NDArray[np.float64],
) -> dict[str, object]:
    """Return the error bars of intervals, all in the unit of their axis."""
    return {
        "type": "data",
        "array": high - middle,
        "arrayminus": middle - low,
        "color": colour,
        "thickness": 2,
        "width": 0,
    }


def panel_title(figure: Figure, text: str, panel: int) -> None:
    """Write a heading above a panel, aligned with its left edge."""
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


def finish(
    figure: Figure, *, title: str, subtitle: str, seen: str, width: int, height: int, margin: dict[str, int]
) -> Figure:
    """Set the title, style and size of a figure, in pixels; the top margin is added, to fit the subtitle.

    `seen` describes the figure in words, for readers who cannot see it.
    """
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
        meta={SEEN: f"{title}{'' if title.endswith('?') else '.'} {seen}"},
        paper_bgcolor=PAPER,
        plot_bgcolor=PAPER,
        showlegend=False,
        width=width,
        height=top + height,
        margin={**margin, "t": top},
    )
    figure.update_xaxes(gridcolor=GRID, linecolor=MUTED, zeroline=False, automargin=False, title_standoff=14)
    figure.update_yaxes(gridcolor=GRID, linecolor=MUTED, zeroline=False, automargin=False, title_standoff=10)
    return figure


def described(figure: Figure) -> str:
    """Return the description of a figure in words; for an external figure its title, if it has one."""
    meta = figure.layout.meta
    if isinstance(meta, dict) and SEEN in meta:
        return str(meta[SEEN])
    return re.sub("<[^>]*>", " ", figure.layout.title.text or "").strip()
