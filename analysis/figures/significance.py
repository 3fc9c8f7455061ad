"""Significant differences: a matrix of models against models."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure

from analysis.figures.parts.style import (
    INK,
    SMALL_SIZE,
    STRONG_CELL,
    WEAK_CELL,
    colours,
    finish,
    legible,
    text_width,
)
from analysis.wording import interval, p_value, points, series

CELL = 170


def significance_figure(pairs: pd.DataFrame, models: Sequence[str], alpha: float, metric: str) -> Figure:
    """Draw a matrix of models: a cell is dark if its adjusted p is below alpha or the level of its look; the diagonal stays light.

    A cell holds the difference row minus column in percentage points, its adjusted interval and p, and the verdict.
    """
    place = {model: i for i, model in enumerate(models)}
    dark = np.full((len(models), len(models)), np.nan)
    notes: list[dict[str, object]] = []  # set at once: adding one by one takes quadratic time
    for _, row in pairs.iterrows():
        a, b = place[row["model_a"]], place[row["model_b"]]
        significant = bool(row["p_adjusted"] < row.get("level", alpha))
        dark[a, b] = dark[b, a] = significant
        for y, x, sign in ((a, b, 1), (b, a, -1)):
            font = {"size": SMALL_SIZE, "color": "white" if significant else INK}
            notes.append({"x": x, "y": y, "text": _cell(row, sign), "showarrow": False, "font": font})
    for model, i in place.items():
        font = {"color": legible(colours(models)[model])}
        notes.append({"x": i, "y": i, "text": _wrapped(model), "showarrow": False, "font": font})
    figure = Figure(layout={"annotations": notes})
    figure.add_heatmap(
        z=dark,
        colorscale=[[0, WEAK_CELL], [1, STRONG_CELL]],
        zmin=0,
        zmax=1,
        showscale=False,
        xgap=4,
        ygap=4,
        hoverinfo="skip",
    )
    ticks = {"tickvals": list(range(len(models))), "showgrid": False, "ticks": "", "showline": False}
    figure.update_xaxes(range=[-0.5, len(models) - 0.5], ticktext=[_wrapped(model) for model in models], **ticks)
    figure.update_yaxes(range=[len(models) - 0.5, -0.5], ticktext=list(models), **ticks)
    side = max(CELL * len(models), 400)
    left = 40 + max(text_width(model) for model in models)
    explored = " * exploratory" if not pairs["declared"].all() else ""
    subtitle = (
        f"Row minus column in points, its {100 * (1 - alpha):g} % interval and p, both adjusted<br>"
        f"for the number of pairs (dark: p < {alpha:g}), and the verdict on the row{explored}"
    )
    if "level" in pairs:
        subtitle = (
            "Row minus column in points, its interval and p at the level of its look,<br>"
            f"adjusted for the number of pairs (dark: p below it), and the verdict{explored}"
        )
    return finish(
        figure,
        title=f"Differences of {metric}",
        subtitle=subtitle,
        seen=(
            f"{int(np.nansum(dark)) // 2} of {len(pairs)} pairs are dark: "
            f"{series(_said(row) for _, row in pairs.iterrows())}."
        ),
        width=max(side + left + 40, 640),
        height=side + 90,
        margin={"l": left, "r": 40, "b": 90},
    )


def _said(row: pd.Series) -> str:
    return f"{row['model_a']} against {row['model_b']} {points(row['difference'])} points, {row['verdict']}"


def _cell(row: pd.Series, sign: int) -> str:
    verdict = row["verdict"]
    if sign < 0:
        verdict = {"better": "worse", "worse": "better"}.get(verdict, verdict)
    if not row["declared"]:
        verdict += " *"
    low, high = sorted((sign * row["adjusted_low"], sign * row["adjusted_high"]))
    lines = [f"<b>{points(sign * row['difference'])}</b>", interval(low, high), p_value(row["p_adjusted"]), verdict]
    return "<br>".join(lines)


def _wrapped(name: str) -> str:
    """Break a long name at the underscore nearest to its middle, to make it fit a cell."""
    places = [i + 1 for i, letter in enumerate(name) if letter == "_"]
    if text_width(name) < CELL - 10 or not places:
        return name
    middle = min(places, key=lambda i: abs(i - len(name) / 2))
    return f"{name[:middle]}<br>{name[middle:]}"
