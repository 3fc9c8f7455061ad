"""Strip plots: one row per model, a point per seed, and a bar at the mean."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure

from analysis.figures.parts.style import INK, MUTED, SMALL_SIZE, axis, colours

ROW_HEIGHT = 104


def strip(
    figure: Figure, runs: pd.DataFrame, value: str, models: Sequence[str], *, panel: int, form: str, absent: str
) -> None:
    """Draw a column of `runs` as a strip, with each mean written above its bar in `form`, or `absent` if there is no mean."""
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
    """Let the axis of a strip begin or end at zero if all values lie on one side of zero."""
    low, high = _limits(values)
    if values.min() >= 0:
        low = -0.02 * high
    elif values.max() <= 0:
        high = -0.02 * low
    if values.notna().any():
        figure.update_layout({f"xaxis{panel}": {"range": [low, high]}})


def _limits(values: pd.Series) -> list[float]:
    """Return an axis range with room at both ends for the labels of means."""
    low, high = float(values.min()), float(values.max())
    pad = 0.18 * (high - low) or 0.1 * abs(high) or 1.0
    return [low - pad, high + pad]
