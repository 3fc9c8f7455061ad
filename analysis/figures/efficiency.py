"""The primary metric against cost, one panel per cost."""

from collections.abc import Mapping, Sequence
from math import log10

import pandas as pd
from plotly.graph_objects import Figure

from analysis.figures.parts.grid import Grid
from analysis.figures.parts.labels import label_ends, label_room
from analysis.figures.parts.style import MUTED, axis, colours, error_bars, faint, finish, panel_title
from analysis.wording import series

WIDTH, HEIGHT = 460, 360
GAP_ACROSS, GAP_DOWN = 110, 150


def efficiency_figure(
    runs: pd.DataFrame,
    means: pd.DataFrame,
    costs: Mapping[str, tuple[str, float]],
    models: Sequence[str],
    *,
    metric: tuple[str, str],
    level: float,
) -> Figure:
    """Draw a panel per cost, {column: (title, unit)}: `metric` (column, title), in [0, 1], against the cost divided by its unit.

    `runs` has model, the metric and the costs; `means` has model, dominated_by, the metric with `_low` and `_high` and
    each cost likewise. The marker of a dominated model is hollow.
    """
    score, titled = metric
    grid = Grid(len(costs), 2, (WIDTH, HEIGHT), (GAP_ACROSS, GAP_DOWN), room=label_room(list(models)))
    edges = 100 * pd.concat([runs[score], means[f"{score}_low"], means[f"{score}_high"]]).dropna()
    pad = 0.06 * (edges.max() - edges.min()) or 1.0
    limits = (max(float(edges.min()) - pad, -1.0), min(float(edges.max()) + pad, 101.0))
    figure = Figure()
    for panel, (cost, (title, unit)) in enumerate(costs.items(), start=1):
        shown = pd.concat([runs[cost], means[f"{cost}_low"], means[f"{cost}_high"]])
        grid.place(figure, panel, _axis_of(means[cost] / unit, shown / unit), {"range": limits})
        _panel(figure, runs, means, panel=panel, score=score, cost=cost, unit=unit, limits=limits)
        panel_title(figure, title, panel)
    return finish(
        figure,
        title="Accuracy and what it costs",
        subtitle=(
            f"{titled} (%) against each cost: up and to the left is better.<br>"
            f"Small: seeds, large: means with {100 * level:g} % intervals; hollow: another model is no worse on any count"
        ),
        seen=f"{series(_said(row, costs, score) for _, row in means.iterrows())}.",
        width=100 + grid.width,
        height=grid.height + 70,
        margin={"l": 100, "r": 0, "b": 70},
    )


def _said(mean: pd.Series, costs: Mapping[str, tuple[str, float]], score: str) -> str:
    known = [f"{title}: {mean[cost] / unit:.3g}" for cost, (title, unit) in costs.items() if pd.notna(mean[cost])]
    return f"{mean['model']} {100 * mean[score]:.1f} %, {', '.join(known)}"


def _panel(
    figure: Figure,
    runs: pd.DataFrame,
    means: pd.DataFrame,
    *,
    panel: int,
    score: str,
    cost: str,
    unit: float,
    limits: tuple[float, float],
) -> None:
    axes = {"xaxis": axis("x", panel), "yaxis": axis("y", panel)}
    colour = colours(list(means["model"]))
    ends = {}
    for model in means["model"]:
        mean = means[means["model"] == model]
        of_model = runs[runs["model"] == model]
        seeds = {"color": faint(colour[model], 0.4), "size": 8}
        figure.add_scatter(
            x=of_model[cost] / unit,
            y=100 * of_model[score],
            mode="markers",
            marker=seeds,
            name=f"{model} seeds",
            **axes,
        )
        if mean[cost].isna().all():
            continue
        x, y = (
            [scale * mean[f"{name}{end}"] for end in ("", "_low", "_high")]
            for name, scale in ((cost, 1 / unit), (score, 100))
        )
        figure.add_scatter(
            x=x[0],
            y=y[0],
            mode="markers",
            marker={
                "size": 16,
                "color": colour[model],
                "symbol": "circle-open" if mean["dominated_by"].item() else "circle",
                "line": {"width": 3, "color": colour[model]},
            },
            error_y=error_bars(colour[model], *y),
            error_x=error_bars(colour[model], *x),
            name=model,
            **axes,
        )
        ends[model] = (float(x[0].item()), float(y[0].item()))
    if not ends:
        where = {"xref": f"{axes['xaxis']} domain", "yref": f"{axes['yaxis']} domain", "x": 0.5, "y": 0.5}
        figure.add_annotation(text="not recorded", showarrow=False, font={"color": MUTED}, **where)
    label_ends(figure, ends, colour, panel=panel, limits=limits, height=HEIGHT, lift=18)


def _axis_of(means: pd.Series, shown: pd.Series) -> dict[str, object]:
    """Return the settings of an axis whose range holds all values `shown`; logarithmic if the means differ more than tenfold."""
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
