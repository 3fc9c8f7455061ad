"""Event times before a training: their gaps, and the effective ranks of their encodings."""

from collections.abc import Mapping
from math import ceil, log10

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure

from analysis.figures.parts.style import COLOURS, GRID, INK, LABEL_SIZE, MUTED, SMALL_SIZE, colour_key, colours, finish
from analysis.wording import series

WIDTH, HEIGHT, ROW = 840, 420, 27
SHADES = {"fits": COLOURS[0], "blurs": COLOURS[5], "collapsed": COLOURS[1], "constant": MUTED, "refused": MUTED}
"""Colour of each verdict."""


def gaps_figure(spectrum: pd.DataFrame, *, ties: float, marks: Mapping[str, float], unit: str) -> Figure:
    """Draw the share of gaps in each bin of a logarithmic axis; `ties` is the share of gaps equal to 0, `marks` are named gaps."""
    figure = Figure()
    low, high = np.log10(spectrum["low"].to_numpy()), np.log10(spectrum["high"].to_numpy())
    figure.add_bar(
        x=(low + high) / 2,
        y=100 * spectrum["share"],
        width=(high - low) * 0.94,
        marker={"color": COLOURS[0], "line": {"width": 0}},
        customdata=spectrum[["low", "high"]],
        hovertemplate="%{customdata[0]:.3g} to %{customdata[1]:.3g}: %{y:.2f} %<extra></extra>",
    )
    for name, gap in marks.items():
        figure.add_vline(x=log10(gap), line={"color": INK, "width": 2, "dash": "dot"})
        note = {"text": f"{name} {gap:.3g}", "x": log10(gap), "y": 1, "yref": "paper", "yanchor": "bottom"}
        figure.add_annotation(**note, showarrow=False, font={"size": SMALL_SIZE, "color": INK})
    first, last = float(low.min()), float(high.max())
    step = max(1, round((last - first) / 8))
    powers = list(range(int(np.floor(first)), int(np.ceil(last)) + 1, step))
    figure.update_layout(
        xaxis={
            "title": f"Gap ({unit})",
            "range": [first - 0.1, last + 0.1],
            "tickvals": powers,
            "ticktext": [f"{10.0**power:g}" for power in powers],
        },
        yaxis={"title": "Gaps (%)", "rangemode": "tozero"},
    )
    most = spectrum.iloc[int(spectrum["share"].to_numpy().argmax())]
    return finish(
        figure,
        title="How long the gaps are",
        subtitle=f"Share of gaps in bins of equal width in the logarithm;<br>{ties:.1%} of the gaps are 0 and not drawn",
        seen=(
            f"Gaps run from {10**first:.3g} to {10**last:.3g} {unit}; most, {most['share']:.0%}, lie between {most['low']:.3g} "
            f"and {most['high']:.3g}; {ties:.1%} are 0."
        ),
        width=110 + WIDTH + 40,
        height=HEIGHT + 90,
        margin={"l": 110, "r": 40, "b": 90},
    )


def encodings_figure(encodings: pd.DataFrame) -> Figure:
    """Draw a bar per encoding, its effective rank on the data's times, and a mark at its effective rank on the times 0 to 783."""
    rows = encodings.reset_index(drop=True)
    figure = Figure()
    for verdict, colour in SHADES.items():
        of = rows[rows["verdict"] == verdict]
        figure.add_bar(
            x=of["rank"].fillna(0), y=of.index, orientation="h", width=0.72, marker={"color": colour}, name=verdict
        )
        for place in of.index:
            figure.add_annotation(
                x=1, xref="paper", y=place, xanchor="left", xshift=12, text=verdict, showarrow=False,
                font={"size": SMALL_SIZE, "color": INK},
            )  # fmt: skip
    figure.add_scatter(
        x=rows["reference"],
        y=rows.index,
        mode="markers",
        marker={"symbol": "line-ns", "size": 17, "line": {"color": INK, "width": 3}},
        name="on 0 to 783",
    )
    figure.update_layout(
        barmode="overlay",
        xaxis={"title": "Effective rank", "range": [0, 1.03 * max(rows["rank"].max(), rows["reference"].max(), 1)]},
        yaxis={
            "range": [len(rows) - 0.4, -0.6],
            "tickvals": list(rows.index),
            "ticktext": list(rows["name"]),
            "tickfont": {"size": LABEL_SIZE},
            "showgrid": False,
            "ticks": "",
        },
    )
    counts = rows["verdict"].value_counts()
    return finish(
        figure,
        title="What each encoding makes of these times",
        subtitle="Effective rank before training at the data's times (bar),<br>and at the whole times 0 to 783 (upright mark)",
        seen=f"{series(f'{count} {verdict}' for verdict, count in counts.items())}.",
        width=230 + WIDTH - 200 + 130,
        height=ROW * len(rows) + 90,
        margin={"l": 230, "r": 130, "b": 90},
    )


def units_figure(curve: pd.DataFrame, *, late: float, factor: float, unit: str) -> Figure:
    """Draw the effective rank of encodings of raw times over the unit; the axis shows the late time in that unit."""
    figure, names = Figure(), list(dict.fromkeys(curve["name"]))
    for name, colour in colours(names).items():
        rows = curve[curve["name"] == name].sort_values("factor")
        figure.add_scatter(
            x=late * rows["factor"], y=rows["rank"], mode="lines+markers", name=name,
            line={"color": colour, "width": 3.5}, marker={"size": 10},
        )  # fmt: skip
    marks = {"now": late} if factor == 1 else {"now": late, "advised": late * factor}
    for name, place in marks.items():
        figure.add_vline(x=place, line={"color": INK, "width": 2, "dash": "dot"})
        note = {"text": name, "x": log10(place), "y": 1, "yref": "paper", "yanchor": "bottom"}
        figure.add_annotation(**note, showarrow=False, font={"size": SMALL_SIZE, "color": INK})
    figure.update_layout(
        xaxis={
            "title": "99 % of the times lie before (units)",
            "type": "log",
            "exponentformat": "power",
            "dtick": ceil((log10(curve["factor"].max()) - log10(curve["factor"].min())) / 8) or 1,
        },
        yaxis={"title": "Effective rank", "rangemode": "tozero", "gridcolor": GRID},
    )
    ranks = [f"{row['name']} {row['rank']:.1f} at {late * row['factor']:.3g}" for _, row in curve.iterrows()]
    return finish(
        figure,
        title="What another unit would do",
        subtitle=f"Encodings of raw times, which are in the unit {unit} now<br>{colour_key(names)}",
        seen=f"Effective rank: {series(ranks, 16)}.",
        width=110 + WIDTH + 40,
        height=HEIGHT + 90,
        margin={"l": 110, "r": 40, "b": 90},
    )
