"""The codes of embeddings: similarity of times, spectrum of periods, and shares of the experts."""

from collections.abc import Sequence
from math import log10

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure

from analysis.figures.parts.grid import squares
from analysis.figures.parts.style import MUTED, SMALL_SIZE, axis, colour_key, colours, finish, panel_title
from analysis.wording import series

WIDTH, HEIGHT = 900, 520
KERNEL_SIDE, KERNEL_GAP = 420, 110


def kernel_figure(kernel: pd.DataFrame, models: Sequence[str]) -> Figure:
    """Draw a square panel per model: the similarity of the codes of two times, -100 to 100 %."""
    shown = [model for model in models if (kernel["model"] == model).any()]
    grid = squares(len(shown), KERNEL_SIDE, KERNEL_GAP)
    figure, seen = Figure(), []
    for panel, model in enumerate(shown, start=1):
        square = kernel[kernel["model"] == model].pivot_table(index="time", columns="other", values="similarity")
        figure.add_heatmap(
            z=(100 * square.to_numpy()).round().astype(np.int8),  # one byte per cell keeps the page small
            x=square.columns,
            y=square.index,
            colorscale="RdBu",
            zmin=-100,
            zmax=100,
            showscale=panel == 1,
            colorbar={"title": {"text": "similarity (%)", "side": "right"}, "thickness": 18, "len": 0.6},
            xaxis=axis("x", panel),
            yaxis=axis("y", panel),
        )
        if len(square) > 1:
            near, far = (float(np.diagonal(square.to_numpy(), lag).mean()) for lag in (1, len(square) // 2))
            seen.append(f"{model} {near:.0%} for neighbouring times and {far:.0%} for times half the axis apart")
        grid.place(figure, panel, {"nticks": 6}, {"nticks": 6, "autorange": "reversed"})
        panel_title(figure, model, panel)
    return finish(
        figure,
        title="Which times look alike",
        subtitle=(
            "Cosine similarity of the centred codes of two times (or gaps),<br>first seed, after training. "
            "Blue: alike, red: opposite"
        ),
        seen=f"Mean similarity: {series(seen)}.",
        width=grid.width + 260,
        height=grid.height + 90,
        margin={"l": 90, "r": 170, "b": 90},
    )


def spectrum_figure(means: pd.DataFrame, models: Sequence[str], row: int | None) -> Figure:
    """Draw the cumulative share of the code's variance over periods, long to short; `row` is a period to mark."""
    figure, seen = Figure(), []
    for model, colour in colours(models).items():
        rows = means[means["model"] == model].sort_values("cycles")
        total = 100 * rows["share"].cumsum()
        if (total >= 50).any():  # noqa: PLR2004
            seen.append(f"{model} {rows['period'][total >= 50].iloc[0]:.3g}")  # noqa: PLR2004
        figure.add_scatter(x=rows["period"], y=total, mode="lines", line={"color": colour, "width": 3.5}, name=model)
    longest = float(means["period"].max())
    ticks = [step * 10**power for power in range(6) for step in (1, 2, 5) if step * 10**power <= longest]
    figure.update_layout(
        xaxis={
            "title": "Period, in time units",
            "type": "log",
            "range": [log10(longest) + 0.05, log10(2) - 0.03],
            "tickvals": ticks,
            "ticktext": [str(tick) for tick in ticks],
        },
        yaxis={"title": "Variance at this period or longer (%)", "range": [0, 102]},
    )
    if row:
        figure.add_vline(x=row, line={"color": MUTED, "width": 2, "dash": "dot"})
        note = {"text": f"row: {row}", "x": log10(row), "y": 1, "yref": "paper", "yanchor": "bottom"}
        figure.add_annotation(**note, showarrow=False, font={"size": SMALL_SIZE, "color": MUTED})
    return finish(
        figure,
        title="How fast the codes change",
        seen=f"Half of the variance lies in waves of this period or longer: {series(seen)}.",
        subtitle=f"Share of the code's variance in waves of a period or longer, mean over columns and seeds<br>{colour_key(models)}",
        width=110 + WIDTH + 40,
        height=HEIGHT + 90,
        margin={"l": 110, "r": 40, "b": 90},
    )


def gates_figure(loads: pd.DataFrame, models: Sequence[str], sequences: str) -> Figure:
    """Draw, for each model with a mixture, the mean gate of each expert over the time axis as stacked areas.

    `sequences` describes the sequences that the gates were measured on.
    """
    shown = [model for model in models if (loads["model"] == model).any()]
    experts = list(dict.fromkeys(loads["expert"]))
    height = len(shown) * (HEIGHT // 2 + 90) - 90
    figure = Figure()
    for panel, model in enumerate(shown, start=1):
        for expert, colour in colours(experts).items():
            rows = loads[(loads["model"] == model) & (loads["expert"] == expert)].sort_values("start")
            figure.add_scatter(
                x=rows["start"],
                y=100 * rows["gate"],
                mode="lines",
                line={"width": 0, "shape": "hv"},
                fillcolor=colour,
                stackgroup=model,
                name=expert,
                xaxis=axis("x", panel),
                yaxis=axis("y", panel),
            )
        top = 1 - (panel - 1) * (HEIGHT // 2 + 90) / height
        figure.update_layout(
            {
                f"xaxis{panel}": {"anchor": axis("y", panel), "title": "Time (or gap)" if panel == len(shown) else ""},
                f"yaxis{panel}": {
                    "anchor": axis("x", panel),
                    "domain": [max(0.0, top - HEIGHT / 2 / height), top],
                    "range": [0, 100],
                },
            }
        )
        panel_title(figure, f"{model}: mean gate (%)", panel)
    return finish(
        figure,
        title="Which expert is used when",
        seen=f"Mean gates: {series(_gates(loads, model) for model in shown)}.",
        subtitle=f"Mean over seeds and the pairs of time and gap that occur in {sequences}<br>{colour_key(experts)}",
        width=110 + WIDTH + 40,
        height=height + 90,
        margin={"l": 110, "r": 40, "b": 90},
    )


def _gates(loads: pd.DataFrame, model: str) -> str:
    means = loads[loads["model"] == model].groupby("expert", sort=False)["gate"].mean()
    return f"{model} {', '.join(f'{expert} {100 * gate:.0f} %' for expert, gate in means.items())}"
