"""Strips: a row per model, a point per seed, a bar at their mean."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.figures.style import INK, MUTED, SMALL_SIZE, Figure, axis, colours, finish, panel_title, text_width

ROW_HEIGHT = 104
WIDTH, BETWEEN = 420, 60


def convergence_figure(runs: pd.DataFrame, models: Sequence[str]) -> Figure:
    """Draw convergence epoch, overfitting gap and stability of every run, [0, 1] units in `runs` shown as points."""
    epochs = int(runs["epochs"].max())
    shown = runs.assign(gap=100 * runs["overfitting_gap"], instability=100 * runs["training_stability"])
    panels = [
        ("convergence_epoch", "Convergence epoch", "not reached"),
        ("gap", "Overfitting gap (points)", "not recorded"),
        ("instability", "Instability (points)", "needs 2 epochs"),
    ]
    plots_width = 3 * (WIDTH + BETWEEN) - BETWEEN
    figure = Figure()
    for panel, (value, title, absent) in enumerate(panels, start=1):
        start = (panel - 1) * (WIDTH + BETWEEN)
        place = {"domain": [start / plots_width, (start + WIDTH) / plots_width], "anchor": axis("y", panel)}
        figure.update_layout({f"xaxis{panel}": place})
        strip(figure, shown, value, models, panel=panel, absent=absent, names=panel == 1)
        panel_title(figure, title, panel)
    figure.update_layout(xaxis={"range": [0, 1.15 * epochs + 0.5]})
    left = 40 + max(text_width(model) for model in models)
    return finish(
        figure,
        title="Convergence, overfitting and stability",
        subtitle=(
            "Points: seeds, bars: means. Convergence: 5 epochs of validation accuracy with a standard deviation "
            "under 0.5 points.<br>Gap: train minus test at the last epoch. Instability: standard deviation of "
            f"validation accuracy over the last {min(10, epochs)} epochs"
        ),
        width=left + plots_width + 50,
        height=len(models) * ROW_HEIGHT + 172 + 60,
        margin={"l": left, "r": 50, "b": 60},
    )


def strip(
    figure: Figure, runs: pd.DataFrame, value: str, models: Sequence[str], *, panel: int, absent: str, names: bool
) -> None:
    """Draw a column of `runs` as a strip, the mean written above its bar; seeds without a value are counted there."""
    colour = colours(models)
    rows = {
        "anchor": axis("x", panel),
        "range": [len(models) - 0.5, -0.5],
        "tickvals": list(range(len(models))),
        "ticktext": list(models) if names else [""] * len(models),
        "showgrid": False,
        "ticks": "",
    }
    limits = {"range": _limits(runs[value])} if runs[value].notna().any() else {"showticklabels": False}
    figure.update_layout({f"yaxis{panel}": rows, f"xaxis{panel}": limits})
    axes = {"xaxis": axis("x", panel), "yaxis": axis("y", panel)}
    for place, model in enumerate(models):
        values = runs.loc[runs["model"] == model, value].reset_index(drop=True)
        offsets = np.linspace(0, 0.26, len(values)) if len(values) > 1 else np.array([0.13])
        marker = {"color": colour[model], "size": 11, "opacity": 0.65}
        figure.add_scatter(x=values, y=place + offsets, mode="markers", marker=marker, name=model, **axes)
        _mean(figure, values, place, colour[model], panel, absent)


def _mean(figure: Figure, values: pd.Series, place: int, colour: str, panel: int, absent: str) -> None:
    x, y, found = axis("x", panel), axis("y", panel), values.dropna()
    if found.empty:
        where = {"x": 0.5, "xref": f"{x} domain", "y": place, "yref": y}
        figure.add_annotation(text=absent, showarrow=False, font={"size": SMALL_SIZE, "color": MUTED}, **where)
        return
    mean = float(found.mean())
    line = {"color": colour, "width": 5}
    figure.add_shape(type="line", x0=mean, x1=mean, y0=place - 0.1, y1=place + 0.36, line=line, xref=x, yref=y)
    counted = f" ({len(found)} of {len(values)} seeds)" if len(found) < len(values) else ""
    figure.add_annotation(
        text=f"<b>{mean:.3g}</b>{counted}",
        x=mean,
        y=place - 0.12,
        xref=x,
        yref=y,
        yanchor="bottom",
        showarrow=False,
        font={"size": SMALL_SIZE, "color": INK},
    )


def _limits(values: pd.Series) -> list[float]:
    """Return a range with room at both ends for the means' labels."""
    low, high = float(values.min()), float(values.max())
    pad = 0.18 * (high - low) or 0.1 * abs(high) or 1.0
    return [low - pad, high + pad]
