"""The search cost of each model, and the expected best value of a search budget."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure

from analysis.figures.parts.labels import label_ends, label_room
from analysis.figures.parts.style import (
    COLOURS,
    INK,
    PAPER,
    TEXT_SIZE,
    colours,
    faint,
    finish,
    legible,
    padded,
    text_width,
)
from analysis.wording import series

STATES = {"complete": COLOURS[0], "pruned": COLOURS[4], "failed": INK}


def expected_best_figure(table: pd.DataFrame, trials: Mapping[str, pd.Series], *, unit: str, percent: bool) -> Figure:
    """Draw the expected best of n trials as a line per model, and the model's trials as points at n = 1."""
    scale, colour = 100 if percent else 1, colours(list(trials))
    most = int(table["n"].max())
    limits = padded(scale * np.concatenate([values.to_numpy() for values in trials.values()]))
    figure, ends = Figure(), {}
    for model, rows in table.groupby("model", sort=False):
        name, points = str(model), scale * trials[str(model)].to_numpy()
        marker = {"color": faint(colour[name], 0.4), "size": 10}
        ones = np.ones(len(points))
        figure.add_scatter(x=ones, y=points, mode="markers", marker=marker, name=f"{name} trials")
        line = {"color": colour[name], "width": 4}
        mode = "lines+markers" if len(rows) == 1 else "lines"
        figure.add_scatter(x=rows["n"], y=scale * rows["best"], mode=mode, line=line, name=name)
        ends[name] = (float(rows["n"].iloc[-1]), scale * float(rows["best"].iloc[-1]))
    pad = 0.03 * max(most - 1, 10)
    ticks = {"dtick": 1} if most <= 12 else {"nticks": 8}  # noqa: PLR2004
    figure.update_layout(
        xaxis={"title": "n, trials", "range": [1 - pad, most + pad], **ticks},
        yaxis={"title": f"{unit} (%)" if percent else unit, "range": limits},
    )
    label_ends(figure, ends, colour, panel=1, limits=limits, height=560)
    right = label_room(list(trials)) + 20
    bought = scale * table.groupby("model", sort=False)["best"].agg(["first", "last"])
    seen = [f"{model} {row['first']:.3g} and {row['last']:.3g}" for model, row in bought.iterrows()]
    return finish(
        figure,
        title="Expected best of n trials",
        subtitle=(
            "Points at n = 1: the trials (means over seeds). Unbiased for random search,<br>"
            "noisier along a line, only indicative for TPE"
        ),
        seen=f"With one trial and with the most: {series(seen)}.",
        width=110 + 760 + right,
        height=560 + 80,
        margin={"l": 110, "r": right, "b": 80},
    )


def tuning_figure(table: pd.DataFrame) -> Figure:
    """Draw the number of trials of each model by state, with their epochs."""
    figure = Figure()
    places = list(range(len(table)))
    for state, colour in STATES.items():
        counts = table[state]
        figure.add_bar(
            x=counts,
            y=places,
            orientation="h",
            marker={"color": colour},
            width=0.6,
            text=[str(count) if count else "" for count in counts],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont={"color": "black" if state == "pruned" else PAPER, "size": TEXT_SIZE},
            name=state,
        )
    for place, row in enumerate(table.itertuples()):
        figure.add_annotation(
            x=row.trials, y=place, text=f"{row.epochs:,} epochs", xanchor="left", xshift=10, showarrow=False
        )
    figure.update_layout(
        barmode="stack",
        xaxis={"title": "Trials", "range": [0, 1.3 * float(table["trials"].max())], "nticks": 6},
        yaxis={
            "tickvals": places,
            "ticktext": list(table["model"]),
            "range": [len(table) - 0.4, -0.6],
            "showgrid": False,
            "ticks": "",
        },
    )
    words = ", ".join(
        f"<span style='color:{legible(colour)}'><b>{state}</b></span>" for state, colour in STATES.items()
    )
    left = 40 + max(text_width(model) for model in table["model"])
    return finish(
        figure,
        title="Trials and epochs spent",
        subtitle=f"Trials by state: {words}",
        seen=f"{series(f'{row.model} {row.trials} trials, {row.epochs:,} epochs' for row in table.itertuples())}.",
        width=left + 700,
        height=70 * len(table) + 120,
        margin={"l": left, "r": 40, "b": 80},
    )
