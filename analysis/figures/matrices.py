"""Heat maps: which differences are significant, and which classes are confused."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly.graph_objects import Figure

from analysis.figures.grid import squares
from analysis.figures.style import (
    INK,
    MUTED,
    SMALL_SIZE,
    TEXT_SIZE,
    axis,
    colours,
    finish,
    panel_title,
    short_names,
    text_width,
)
from analysis.wording import interval, p_value, points

DARK = "#0B3C5D"
LIGHT = "#DCE6EC"
CELL = 170
CONFUSION_SIDE = 560
CONFUSION_GAP = 120
SHOWN_SHARE = 0.005
LONGEST_NAME = 16
"""Letters of a class's name that are drawn."""


def significance_figure(pairs: pd.DataFrame, models: Sequence[str], alpha: float) -> Figure:
    """Draw a square of models: dark where the Holm-adjusted p is under alpha, light elsewhere, the diagonal never.

    A cell holds the row's model minus the column's in points, its interval, the adjusted p and the verdict.
    """
    place = {model: i for i, model in enumerate(models)}
    dark = np.full((len(models), len(models)), np.nan)
    notes: list[
        dict[str, object]
    ] = []  # set at once: adding them one by one takes time with the square of their number
    for _, row in pairs.iterrows():
        a, b = place[row["model_a"]], place[row["model_b"]]
        significant = bool(row["p_holm"] < alpha)
        dark[a, b] = dark[b, a] = significant
        for y, x, sign in ((a, b, 1), (b, a, -1)):
            font = {"size": SMALL_SIZE, "color": "white" if significant else INK}
            notes.append({"x": x, "y": y, "text": _cell(row, sign), "showarrow": False, "font": font})
    for model, i in place.items():
        font = {"color": colours(models)[model]}
        notes.append({"x": i, "y": i, "text": _wrapped(model), "showarrow": False, "font": font})
    figure = Figure(layout={"annotations": notes})
    figure.add_heatmap(
        z=dark, colorscale=[[0, LIGHT], [1, DARK]], zmin=0, zmax=1, showscale=False, xgap=4, ygap=4, hoverinfo="skip"
    )
    ticks = {"tickvals": list(range(len(models))), "showgrid": False, "ticks": "", "showline": False}
    figure.update_xaxes(range=[-0.5, len(models) - 0.5], ticktext=[_wrapped(model) for model in models], **ticks)
    figure.update_yaxes(range=[len(models) - 0.5, -0.5], ticktext=list(models), **ticks)
    side = max(CELL * len(models), 400)
    left = 40 + max(text_width(model) for model in models)
    explored = " * exploratory" if not pairs["declared"].all() else ""
    return finish(
        figure,
        title="Differences of test accuracy",
        subtitle=(
            f"Row minus column in points, with its interval at {100 * (1 - alpha):g} %,<br>"
            f"the Holm-adjusted p (dark: p < {alpha:g}) and the verdict on the row{explored}"
        ),
        width=max(side + left + 40, 640),
        height=side + 90,
        margin={"l": left, "r": 40, "b": 90},
    )


def _cell(row: pd.Series, sign: int) -> str:
    verdict = row["verdict"]
    if sign < 0:
        verdict = {"better": "worse", "worse": "better"}.get(verdict, verdict)
    if not row["declared"]:
        verdict += " *"
    low, high = sorted((sign * row["ci_low"], sign * row["ci_high"]))
    lines = [f"<b>{points(sign * row['difference'])}</b>", interval(low, high), p_value(row["p_holm"]), verdict]
    return "<br>".join(lines)


def _wrapped(name: str) -> str:
    """Break a long name at the underscore nearest to its middle, so that it fits a cell."""
    places = [i + 1 for i, letter in enumerate(name) if letter == "_"]
    if text_width(name) < CELL - 10 or not places:
        return name
    middle = min(places, key=lambda i: abs(i - len(name) / 2))
    return f"{name[:middle]}<br>{name[middle:]}"


def confusion_figure(confusion: Mapping[str, NDArray[np.int64]], classes: Sequence[str]) -> Figure:
    """Draw a confusion matrix per model from counts (K, K), rows true: errors coloured, shares in percent of the row.

    `classes` are the names of the K classes.
    """
    shares = {model: counts / counts.sum(axis=1, keepdims=True).clip(min=1) for model, counts in confusion.items()}
    wrong = {model: np.where(np.eye(len(share), dtype=bool), np.nan, share) for model, share in shares.items()}
    worst = max(0.01, *(float(np.nanmax(values, initial=0.0)) for values in wrong.values()))
    names = short_names(classes, LONGEST_NAME)
    longest = min(max(map(text_width, classes)), text_width("m" * LONGEST_NAME))
    beside = max(0, longest - text_width("00"))
    # Names that do not fit below their columns stand upright.
    below = beside if longest > CONFUSION_SIDE / len(names) else 0
    grid = squares(len(confusion), CONFUSION_SIDE, CONFUSION_GAP + beside)
    figure = Figure()
    for panel, (model, share) in enumerate(shares.items(), start=1):
        figure.add_heatmap(
            z=100 * wrong[model],
            text=_texts(share),
            texttemplate="%{text}",
            textfont={"size": SMALL_SIZE if len(share) <= 10 else SMALL_SIZE - 5},  # noqa: PLR2004
            colorscale="Oranges",
            zmin=0,
            zmax=100 * worst,
            showscale=False,
            xgap=1,
            ygap=1,
            xaxis=axis("x", panel),
            yaxis=axis("y", panel),
        )
        places = list(range(len(share)))
        ticks = {"tickvals": places, "ticktext": names, "showgrid": False, "ticks": "", "showline": False}
        ends = [-0.5, len(share) - 0.5]
        across = {"range": ends, "tickangle": -90 if below else 0, **ticks}
        grid.place(figure, panel, across, {"range": ends[::-1], **ticks})
        _heading(figure, model, panel, (beside, below))
    return finish(
        figure,
        title="Confusion matrices",
        subtitle=(
            "Percent of each true class (row) by predicted class (column), all seeds together.<br>"
            f"Colour: errors only, the darkest {100 * worst:.1f} %; shares under {100 * SHOWN_SHARE:g} % are left blank"
        ),
        width=grid.width + 150 + beside,
        height=grid.height + 90 + below,
        margin={"l": 90 + beside, "r": 60, "b": 90 + below},
    )


def _texts(share_KK: NDArray[np.float64]) -> list[list[str]]:
    return [
        [f"<b>{100 * x:.0f}</b>" if i == j else f"{100 * x:.1f}" if x >= SHOWN_SHARE else "" for j, x in enumerate(row)]
        for i, row in enumerate(share_KK)
    ]


def _heading(figure: Figure, model: str, panel: int, room: tuple[int, int]) -> None:
    """Name a panel and its axes; `room` is what the names of the classes take beside and below it, in pixels."""
    beside, below = room
    panel_title(figure, model, panel)
    axes = {"xref": f"{axis('x', panel)} domain", "yref": f"{axis('y', panel)} domain", "showarrow": False}
    font = {"size": TEXT_SIZE - 2, "color": MUTED}
    figure.add_annotation(
        text="predicted", x=1, y=0, yshift=-54 - below, xanchor="right", yanchor="bottom", font=font, **axes
    )
    figure.add_annotation(
        text="true", x=0, y=1, xshift=-52 - beside, xanchor="left", yanchor="top", textangle=-90, font=font, **axes
    )
