"""The difference of each pair of models, one row per pair, with its unadjusted interval and that adjusted for multiple comparisons."""

from typing import Any

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure

from analysis.figures.parts.style import (
    COLOURS,
    INK,
    LABEL_SIZE,
    MUTED,
    SMALL_SIZE,
    faint,
    finish,
    padded,
    text_width,
)
from analysis.wording import interval, points, series

ROW_HEIGHT, WIDTH = 66, 520
MOST_ROWS = 30
"""Number of rows above which only declared pairs are drawn, if there are some."""
FAR = 4
"""A row whose adjusted interval begins farther from zero than this many times the median reach of the rows is drawn as an arrow."""
COLUMNS = ["difference", "ci_low", "ci_high", "adjusted_low", "adjusted_high"]
VERDICT_COLOURS = {"better": COLOURS[0], "worse": COLOURS[0], "equivalent": COLOURS[2], "undecided": MUTED}


def differences_figure(pairs: pd.DataFrame, alpha: float, margin: float, what: str) -> Figure:
    """Draw a row per pair: `model_a` minus `model_b` in percentage points, its interval as a thick line, the adjusted one as a thin.

    `pairs` has difference, ci_low, ci_high, adjusted_low and adjusted_high in [0, 1] units, verdict and declared. The band
    shows `margin` on both sides of zero; `what` names the quantity. A row far outside the others, such as that of a model that
    learned nothing, is an arrow at the edge with its numbers in words: it would squeeze the others.
    """
    shown = pairs[pairs["declared"]] if len(pairs) > MOST_ROWS and pairs["declared"].any() else pairs
    names = [f"{row['model_a']} - {row['model_b']}" for _, row in shown.iterrows()]
    far = _far(shown)
    near = np.append(shown.loc[~far, COLUMNS].to_numpy(dtype=float), [margin, -margin])
    low, high = padded(100 * near)
    figure = Figure()
    for place, (name, (_, row), is_far) in enumerate(zip(names, shown.iterrows(), far, strict=True)):
        if is_far:
            _arrow(figure, row, place, name, (low, high))
        else:
            _row(figure, row, place, name)
    figure.add_vline(x=0, line={"color": INK, "width": 1.5, "dash": "dot"})
    band = {"fillcolor": faint(COLOURS[2], 0.22), "line": {"width": 0}, "layer": "below"}
    figure.add_vrect(x0=-100 * margin, x1=100 * margin, **band)
    figure.update_layout(
        xaxis={"title": "Difference (points)", "nticks": 7, "range": (low, high)},
        yaxis={
            "range": [len(shown) - 0.4, -0.75],
            "tickvals": list(range(len(shown))),
            "ticktext": names,
            "tickfont": {"size": LABEL_SIZE},
            "showgrid": False,
            "ticks": "",
        },
    )
    left = 40 + max(text_width(name, LABEL_SIZE) for name in names)
    thick = "interval at the level of its look" if "level" in pairs else f"{100 * (1 - alpha):g} % interval"
    explored = "; *: exploratory" if not shown["declared"].all() else ""
    beyond = "; arrow: beyond the axis" if far.any() else ""
    return finish(
        figure,
        title=f"Differences of {what}",
        subtitle=(
            f"Thick: {thick}, thin: adjusted for the number of pairs,<br>"
            f"which the verdict goes by. Band: margin of {100 * margin:g} points{beyond}{explored}"
        ),
        seen=f"{series((_said(row) for _, row in shown.iterrows()), 10)}.",
        width=left + WIDTH + 160,
        height=ROW_HEIGHT * len(shown) + 110,
        margin={"l": left, "r": 160, "b": 90},
    )


def _row(figure: Figure, row: pd.Series, place: int, name: str) -> None:
    colour = VERDICT_COLOURS[row["verdict"]]
    for low, high, width in (("adjusted_low", "adjusted_high", 2), ("ci_low", "ci_high", 8)):
        if pd.notna(row[low]):
            figure.add_scatter(
                x=[100 * row[low], 100 * row[high]],
                y=[place, place],
                mode="lines+markers" if low == "adjusted_low" else "lines",
                line={"color": colour, "width": width},
                marker={"symbol": "line-ns", "size": 16, "line": {"color": colour, "width": 2}},
                hoverinfo="skip",
            )
    middle = 100 * row["difference"]
    marker = {"color": colour, "size": 15, "line": {"color": INK, "width": 1}}
    figure.add_scatter(x=[middle], y=[place], mode="markers", marker=marker, name=name)
    if pd.notna(middle):
        figure.add_annotation(text=f"<b>{points(row['difference'])}</b>", x=middle, yshift=22, **_text(place))
    _verdict(figure, row, place)


def _far(rows: pd.DataFrame) -> pd.Series:
    """Return which rows are drawn as an arrow; a row without an interval counts by its difference."""
    both = [rows[end].astype(float).fillna(rows["difference"]) for end in ("adjusted_low", "adjusted_high")]
    ends = pd.concat(both, axis=1)
    begin = ends.abs().min(axis=1).where(ends.prod(axis=1) > 0, 0.0)
    found: pd.Series = begin > FAR * ends.abs().max(axis=1).median()
    return found


def _arrow(figure: Figure, row: pd.Series, place: int, name: str, axis: tuple[float, float]) -> None:
    """Draw a row beyond the axis at its edge, with the interval in words."""
    right = bool(row["difference"] > 0)
    edge = axis[right] + (-0.02 if right else 0.02) * (axis[1] - axis[0])
    marker = {
        "color": VERDICT_COLOURS[row["verdict"]],
        "size": 17,
        "symbol": f"triangle-{'right' if right else 'left'}",
    }
    figure.add_scatter(x=[edge], y=[place], mode="markers", marker=marker, name=name)
    within = "" if pd.isna(row["adjusted_low"]) else f" {interval(row['adjusted_low'], row['adjusted_high'])}"
    said = {"text": f"<b>{points(row['difference'])}</b>{within}", "x": edge, "xanchor": "right" if right else "left"}
    figure.add_annotation(**said, xshift=-14 if right else 14, **_text(place))
    _verdict(figure, row, place)


def _verdict(figure: Figure, row: pd.Series, place: int) -> None:
    verdict = row["verdict"] + ("" if row["declared"] else " *")
    figure.add_annotation(text=verdict, x=1, xref="paper", xanchor="left", xshift=16, **_text(place))


def _text(place: int) -> dict[str, Any]:
    return {"showarrow": False, "y": place, "font": {"size": SMALL_SIZE, "color": INK}}


def _said(row: pd.Series) -> str:
    adjusted = (
        "no interval"
        if pd.isna(row["adjusted_low"])
        else f"adjusted interval {points(row['adjusted_low'])} to {points(row['adjusted_high'])}"
    )
    return f"{row['model_a']} minus {row['model_b']} {points(row['difference'])} points, {adjusted}, {row['verdict']}"
