"""The importance of each factor of an ablation, one panel per measure."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure

from analysis.figures.parts.style import (
    COLOURS,
    SMALL_SIZE,
    axis,
    finish,
    panel_title,
    text_width,
)
from analysis.wording import series


def importance_figure(table: pd.DataFrame, measures: Sequence[str], trials: int) -> Figure:
    """Draw a panel of bars per measure, a bar per factor, shares in percent."""
    figure = Figure()
    side, between = 420, 70
    width = len(measures) * (side + between) - between
    places = list(range(len(table)))
    for panel, measure in enumerate(measures, start=1):
        start = (panel - 1) * (side + between)
        shares = 100 * table[measure]
        figure.add_bar(
            x=shares.fillna(0),
            y=places,
            orientation="h",
            width=0.6,
            marker={"color": COLOURS[0]},
            text=["not measured" if np.isnan(share) else f"{share:.1f}" for share in shares],
            textposition="outside",
            cliponaxis=False,
            textfont={"size": SMALL_SIZE},
            xaxis=axis("x", panel),
            yaxis=axis("y", panel),
            name=measure,
        )
        figure.update_layout(
            {
                f"xaxis{panel}": {
                    "domain": [start / width, (start + side) / width],
                    "anchor": axis("y", panel),
                    "range": [0, 118],
                    "tickvals": [0, 50, 100],
                    "title": "Share (%)",
                },
                f"yaxis{panel}": {
                    "anchor": axis("x", panel),
                    "tickvals": places,
                    "ticktext": list(table["factor"]) if panel == 1 else [""] * len(table),
                    "range": [len(table) - 0.4, -0.6],
                    "showgrid": False,
                    "ticks": "",
                },
            }
        )
        panel_title(figure, measure, panel)
    left = 40 + max(text_width(factor) for factor in table["factor"])
    return finish(
        figure,
        title="Importance of the factors",
        subtitle=f"From {trials:,} complete trials. It depends on the ranges tried,<br>and with few trials it is noise",
        seen=f"{series(_largest(table, measure) for measure in measures)}.",
        width=max(left + width + 50, 800),
        height=64 * len(table) + 130,
        margin={"l": left, "r": 50, "b": 90},
    )


def _largest(table: pd.DataFrame, measure: str) -> str:
    shares = table.set_index("factor")[measure].dropna().sort_values(ascending=False, kind="stable")
    return f"{measure}: {', '.join(f'{factor} {100 * share:.0f} %' for factor, share in shares.head(3).items())}"
