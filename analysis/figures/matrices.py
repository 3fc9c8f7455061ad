"""Heat maps: which differences are significant, and which classes are confused."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.figures.style import INK, SMALL_SIZE, Figure, finish
from analysis.wording import interval, p_value, points

DARK = "#0B3C5D"
LIGHT = "#DCE6EC"
CELL = 170


def significance_figure(pairs: pd.DataFrame, models: Sequence[str], alpha: float) -> Figure:
    """Draw a square of models: dark where the Holm-adjusted p is under alpha, light elsewhere, the diagonal never.

    A cell holds the row's model minus the column's in points, its interval, the adjusted p and the verdict.
    """
    place = {model: i for i, model in enumerate(models)}
    dark = np.full((len(models), len(models)), np.nan)
    figure = Figure()
    for _, row in pairs.iterrows():
        a, b = place[row["model_a"]], place[row["model_b"]]
        significant = bool(row["p_holm"] < alpha)
        dark[a, b] = dark[b, a] = significant
        for y, x, sign in ((a, b, 1), (b, a, -1)):
            figure.add_annotation(
                x=x,
                y=y,
                text=_cell(row, sign),
                showarrow=False,
                font={"size": SMALL_SIZE, "color": "white" if significant else INK},
            )
    figure.add_heatmap(
        z=dark, colorscale=[[0, LIGHT], [1, DARK]], zmin=0, zmax=1, showscale=False, xgap=3, ygap=3, hoverinfo="skip"
    )
    ticks = {"tickvals": list(range(len(models))), "ticktext": list(models), "showgrid": False}
    figure.update_xaxes(side="bottom", **ticks)
    figure.update_yaxes(autorange="reversed", **ticks)
    side = CELL * len(models)
    return finish(
        figure,
        title="Differences of test accuracy",
        subtitle=f"Row minus column, in points. Dark: Holm-adjusted p < {alpha:g}",
        width=side + 240,
        height=side + 220,
        margin={"l": 180, "r": 60, "t": 130, "b": 90},
    )


def _cell(row: pd.Series, sign: int) -> str:
    low, high = sorted((sign * row["ci_low"], sign * row["ci_high"]))
    verdict = row["verdict"]
    if sign < 0:
        verdict = {"better": "worse", "worse": "better"}.get(verdict, verdict)
    lines = [f"<b>{points(sign * row['difference'])}</b>", interval(low, high), p_value(row["p_holm"]), verdict]
    return "<br>".join(lines)
