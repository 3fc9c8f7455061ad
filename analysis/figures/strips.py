"""Strips: a row per model, a point per seed, a bar at their mean."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure

from analysis.figures.style import INK, MUTED, SMALL_SIZE, axis, colours, finish, panel_title, text_width
from analysis.wording import plural

ROW_HEIGHT = 104
WIDTH, BETWEEN = 420, 60


def convergence_figure(runs: pd.DataFrame, models: Sequence[str]) -> Figure:
    """Draw convergence epoch, overfitting gap and stability of every run, [0, 1] units in `runs` shown as points."""
    epochs = int(runs["epochs"].max())
    shown = runs.assign(gap=100 * runs["overfitting_gap"], instability=100 * runs["training_stability"])
    panels = [
        ("convergence_epoch", "Convergence epoch", "g", "not reached"),
        ("gap", "Overfitting gap (points)", ".2f", "not recorded"),
        ("instability", "Instability (points)", ".2g", "needs 2 epochs"),
    ]
    plots_width = 3 * (WIDTH + BETWEEN) - BETWEEN
    figure = Figure()
    for panel, (value, title, form, absent) in enumerate(panels, start=1):
        start = (panel - 1) * (WIDTH + BETWEEN)
        place = {"domain": [start / plots_width, (start + WIDTH) / plots_width], "anchor": axis("y", panel)}
        figure.update_layout({f"xaxis{panel}": place})
        strip(figure, shown, value, models, panel=panel, form=form, absent=absent)
        panel_title(figure, title, panel)
        from_zero(figure, shown[value], panel)
    figure.update_layout(xaxis={"range": [0, 1.12 * epochs]}, yaxis2_showticklabels=False, yaxis3_showticklabels=False)
    left = 40 + max(text_width(model) for model in models)
    return finish(
        figure,
        title="Convergence, overfitting and stability",
        subtitle=(
            "Points: seeds, bars: means. Convergence: 5 epochs of validation accuracy with a standard deviation "
            "under 0.5 points.<br>Gap: train minus test at the last epoch. Instability: standard deviation of "
            f"validation accuracy over the last {plural(min(10, epochs), 'epoch')}"
        ),
        width=left + plots_width + 50,
        height=len(models) * ROW_HEIGHT + 60,
        margin={"l": left, "r": 50, "b": 60},
    )


def strip(
    figure: Figure, runs: pd.DataFrame, value: str, models: Sequence[str], *, panel: int, form: str, absent: str
) -> None:
    """Draw a column of `runs` as a strip, each mean written above its bar in `form`, or `absent` where there is none."""
    colour = colours(models)
    rows = {
        "anchor": axis("x", panel),
        "range": [len(models) - 0.5, -0.5],
        "tickvals": list(range(len(models))),
        "ticktext": list(models),
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
        found = values.dropna()
        if found.empty:
            _say(figure, absent, {"x": 0.5, "xref": f"{axes['xaxis']} domain", "y": place}, panel, MUTED)
            continue
        mean = float(found.mean())
        line = {"color": colour[model], "width": 5}
        where = {"xref": axes["xaxis"], "yref": axes["yaxis"]}
        figure.add_shape(type="line", x0=mean, x1=mean, y0=place - 0.1, y1=place + 0.36, line=line, **where)
        counted = f" ({len(found)} of {len(values)} seeds)" if len(found) < len(values) else ""
        _say(figure, f"<b>{mean:{form}}</b>{counted}", {"x": mean, "y": place - 0.25}, panel, INK)


def _say(figure: Figure, text: str, where: dict[str, object], panel: int, colour: str) -> None:
    where = {"xref": axis("x", panel), "yref": axis("y", panel)} | where
    figure.add_annotation(text=text, showarrow=False, font={"size": SMALL_SIZE, "color": colour}, **where)


def from_zero(figure: Figure, values: pd.Series, panel: int) -> None:
    """Let the axis of a strip begin or end at zero when all values lie on one side of it."""
    low, high = _limits(values)
    if values.min() >= 0:
        low = -0.02 * high
    elif values.max() <= 0:
        high = -0.02 * low
    if values.notna().any():
        figure.update_layout({f"xaxis{panel}": {"range": [low, high]}})


def _limits(values: pd.Series) -> list[float]:
    """Return a range with room at both ends for the means' labels."""
    low, high = float(values.min()), float(values.max())
    pad = 0.18 * (high - low) or 0.1 * abs(high) or 1.0
    return [low - pad, high + pad]
