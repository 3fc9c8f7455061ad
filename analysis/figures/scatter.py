"""Panels of points: confidence against accuracy, and accuracy against what it costs."""

from collections.abc import Mapping, Sequence
from math import log10

import pandas as pd
from plotly.graph_objects import Figure

from analysis.figures.grid import Grid, squares
from analysis.figures.labels import label_ends, label_room
from analysis.figures.style import MUTED, axis, colours, faint, finish, panel_title

SIDE, GAP = 420, 120
COST_WIDTH, COST_HEIGHT = 460, 360
COST_GAP_ACROSS, COST_GAP_DOWN = 110, 150


def reliability_figure(bins: pd.DataFrame, means: pd.DataFrame, models: Sequence[str], level: float) -> Figure:
    """Draw a square a model: accuracy by confidence, each seed's bins as points, their means with intervals; in [0, 1]."""
    grid = squares(len(models), SIDE, GAP)
    low = 100 * float(min(bins["confidence"].min(), bins["accuracy"].min()))
    limits = [max(-2.0, low - 4), 102]
    figure = Figure()
    for panel, (model, colour) in enumerate(colours(models).items(), start=1):
        across = {"range": limits, "title": "Confidence (%)" if grid.at_bottom(panel) else ""}
        up = {"range": limits, "title": "Right (%)" if grid.at_left(panel) else ""}
        grid.place(figure, panel, across, up)
        line = {"color": MUTED, "width": 2, "dash": "dot"}
        axes = {"xaxis": axis("x", panel), "yaxis": axis("y", panel)}
        figure.add_scatter(x=limits, y=limits, mode="lines", line=line, hoverinfo="skip", name="perfect", **axes)
        _bins(figure, model, bins[bins["model"] == model], means[means["model"] == model], colour=colour, axes=axes)
        panel_title(figure, model, panel)
    return finish(
        figure,
        title="Confidence and accuracy",
        subtitle=(
            "Below the dotted line a model is too sure, above it not sure enough.<br>"
            f"Faint: seeds, strong: their mean, bars: {100 * level:g} % over seeds"
        ),
        width=max(grid.width + 150, 760),
        height=grid.height + 90,
        margin={"l": 110, "r": max(40, 760 - grid.width - 110), "b": 90},
    )


def _bins(
    figure: Figure, model: str, seeds: pd.DataFrame, mean: pd.DataFrame, *, colour: str, axes: dict[str, str]
) -> None:
    """Draw the bins of one model: each seed's as points, their means with intervals as a line."""
    figure.add_scatter(
        x=100 * seeds["confidence"],
        y=100 * seeds["accuracy"],
        mode="markers",
        marker={"color": faint(colour, 0.35), "size": 8},
        name=f"{model} seeds",
        **axes,
    )
    figure.add_scatter(
        x=100 * mean["confidence"],
        y=100 * mean["mean"],
        mode="lines+markers",
        line={"color": colour, "width": 3},
        marker={"size": 10},
        error_y=_bars(mean, colour, "mean"),
        name=model,
        **axes,
    )


def efficiency_figure(
    runs: pd.DataFrame, means: pd.DataFrame, costs: Mapping[str, tuple[str, float]], models: Sequence[str], level: float
) -> Figure:
    """Draw a panel a cost, {column: (title, unit)}: accuracy, in [0, 1], against the cost over its unit.

    `runs` has model, test_accuracy and the costs; `means` has model, dominated_by, test_accuracy with `_low` and `_high`
    and each cost likewise. A model that another dominates is hollow.
    """
    grid = Grid(
        len(costs), 2, (COST_WIDTH, COST_HEIGHT), (COST_GAP_ACROSS, COST_GAP_DOWN), room=label_room(list(models))
    )
    edges = 100 * pd.concat([runs["test_accuracy"], means["test_accuracy_low"], means["test_accuracy_high"]]).dropna()
    pad = 0.06 * (edges.max() - edges.min()) or 1.0
    limits = (max(float(edges.min()) - pad, -1.0), min(float(edges.max()) + pad, 101.0))
    figure = Figure()
    for panel, (cost, (title, unit)) in enumerate(costs.items(), start=1):
        shown = pd.concat([runs[cost], means[f"{cost}_low"], means[f"{cost}_high"]])
        grid.place(figure, panel, _cost_axis(means[cost] / unit, shown / unit), {"range": limits})
        _cost_panel(figure, runs, means, panel=panel, cost=cost, unit=unit, limits=limits)
        panel_title(figure, title, panel)
    return finish(
        figure,
        title="Accuracy and what it costs",
        subtitle=(
            "Test accuracy (%) against each cost: up and to the left is better.<br>"
            f"Small: seeds, large: means with {100 * level:g} % intervals; hollow: another model is no worse on any count"
        ),
        width=100 + grid.width,
        height=grid.height + 70,
        margin={"l": 100, "r": 0, "b": 70},
    )


def _cost_panel(
    figure: Figure,
    runs: pd.DataFrame,
    means: pd.DataFrame,
    *,
    panel: int,
    cost: str,
    unit: float,
    limits: tuple[float, float],
) -> None:
    axes = {"xaxis": axis("x", panel), "yaxis": axis("y", panel)}
    colour = colours(list(means["model"]))
    ends = {}
    for _, row in means.iterrows():
        model = str(row["model"])
        of_model = runs[runs["model"] == model]
        seeds = {"color": faint(colour[model], 0.4), "size": 8}
        figure.add_scatter(
            x=of_model[cost] / unit,
            y=100 * of_model["test_accuracy"],
            mode="markers",
            marker=seeds,
            name=f"{model} seeds",
            **axes,
        )
        if pd.isna(row[cost]):
            continue
        one = row.to_frame().T
        figure.add_scatter(
            x=[row[cost] / unit],
            y=[100 * row["test_accuracy"]],
            mode="markers",
            marker={
                "size": 16,
                "color": colour[model],
                "symbol": "circle-open" if row["dominated_by"] else "circle",
                "line": {"width": 3, "color": colour[model]},
            },
            error_y=_bars(one, colour[model], "test_accuracy", 100),
            error_x=_bars(one, colour[model], cost, 1 / unit),
            name=model,
            **axes,
        )
        ends[model] = (row[cost] / unit, 100 * row["test_accuracy"])
    if not ends:
        where = {"xref": f"{axes['xaxis']} domain", "yref": f"{axes['yaxis']} domain", "x": 0.5, "y": 0.5}
        figure.add_annotation(text="not recorded", showarrow=False, font={"color": MUTED}, **where)
    label_ends(figure, ends, colour, panel=panel, limits=limits, height=COST_HEIGHT, lift=18)


def _bars(rows: pd.DataFrame, colour: str, name: str, scale: float = 100) -> dict[str, object]:
    """Return the error bars of a column from its `_low` and `_high`, or of `mean` from `low` and `high`."""
    low, high = ("low", "high") if name == "mean" else (f"{name}_low", f"{name}_high")
    middle = rows[name].astype(float)
    return {
        "type": "data",
        "array": scale * (rows[high].astype(float) - middle),
        "arrayminus": scale * (middle - rows[low].astype(float)),
        "color": colour,
        "thickness": 2,
        "width": 0,
    }


def _cost_axis(means: pd.Series, shown: pd.Series) -> dict[str, object]:
    """Return a range that holds all values `shown`; logarithmic where the means differ more than tenfold."""
    if means.isna().all():
        return {"range": [0, 1], "showticklabels": False}
    low, high = float(shown.min()), float(shown.max())
    if 0 < 10 * means.min() < means.max():
        low = max(low, float(means.min()) / 10)
        ticks = [step * 10.0**power for power in range(-3, 9) for step in (1, 2, 5)]
        ticks = [tick for tick in ticks if low <= tick <= high]
        named = {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
        return {"type": "log", "range": [log10(low) - 0.1, log10(high) + 0.1], **named}
    pad = 0.08 * (high - low) or 0.1 * high or 1.0
    return {"range": [max(0.0, low - pad), high + pad], "nticks": 5}
