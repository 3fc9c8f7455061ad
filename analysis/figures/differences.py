"""The difference of each pair of models, one row per pair, with its unadjusted interval and that adjusted for multiple comparisons."""

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
from analysis.wording import points, series

ROW_HEIGHT, WIDTH = 66, 520
MOST_ROWS = 30
"""Number of rows above which only declared pairs are drawn, if there are some."""
VERDICT_COLOURS = {"better": COLOURS[0], "worse": COLOURS[0], "equivalent": COLOURS[2], "undecided": MUTED}


def differences_figure(pairs: pd.DataFrame, alpha: float, margin: float, what: str) -> Figure:
    """Draw a row per pair: `model_a` minus `model_b` in percentage points, its interval as a thick line, the adjusted one as a thin.

    `pairs` has difference, ci_low, ci_high, adjusted_low and adjusted_high in [0, 1] units, verdict and declared. The band
    shows `margin` on both sides of zero; `what` names the quantity.
    """
    shown = pairs[pairs["declared"]] if len(pairs) > MOST_ROWS and pairs["declared"].any() else pairs
    names = [f"{row['model_a']} - {row['model_b']}" for _, row in shown.iterrows()]
    figure = Figure()
    for place, (name, (_, row)) in enumerate(zip(names, shown.iterrows(), strict=True)):
        _row(figure, row, place, name)
    figure.add_vline(x=0, line={"color": INK, "width": 1.5, "dash": "dot"})
    band = {"fillcolor": faint(COLOURS[2], 0.22), "line": {"width": 0}, "layer": "below"}
    figure.add_vrect(x0=-100 * margin, x1=100 * margin, **band)
    columns = ["difference", "ci_low", "ci_high", "adjusted_low", "adjusted_high"]
    ends = np.append(shown[columns].to_numpy(dtype=float), [margin, -margin])
    figure.update_layout(
        xaxis={"title": "Difference (points)", "nticks": 7, "range": padded(100 * ends)},
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
    return finish(
        figure,
        title=f"Differences of {what}",
        subtitle=(
            f"Thick: {thick}, thin: adjusted for the number of pairs,<br>"
            f"which the verdict goes by. Band: margin of {100 * margin:g} points{explored}"
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
    text = {"showarrow": False, "y": place, "font": {"size": SMALL_SIZE, "color": INK}}
    if pd.notna(middle):
        figure.add_annotation(text=f"<b>{points(row['difference'])}</b>", x=middle, yshift=22, **text)
    verdict = row["verdict"] + ("" if row["declared"] else " *")
    figure.add_annotation(text=verdict, x=1, xref="paper", xanchor="left", xshift=16, **text)


def _said(row: pd.Series) -> str:
    adjusted = (
        "no interval"
        if pd.isna(row["adjusted_low"])
        else f"adjusted interval {points(row['adjusted_low'])} to {points(row['adjusted_high'])}"
    )
    return f"{row['model_a']} minus {row['model_b']} {points(row['difference'])} points, {adjusted}, {row['verdict']}"
