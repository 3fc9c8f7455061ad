"""The accuracy of every run, one row per model, with the mean of each model and its interval."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure

from analysis.figures.parts.strips import ROW_HEIGHT, strip
from analysis.figures.parts.style import colours, finish, padded, text_width
from analysis.wording import interval_of_rate, percent, plural, series

WIDTH = 620
LINE_BELOW = 0.42
"""Vertical offset of the interval below its model's name, in rows: it lies under the points of the seeds."""


def accuracy_figure(
    runs: pd.DataFrame, means: pd.DataFrame, models: Sequence[str], *, what: str, level: float, sequences: int
) -> Figure:
    """Draw the accuracy of each seed as a point, the mean of each model as a bar and its interval as a line.

    `runs` has model and accuracy; `means` has model, mean, low and high; all in [0, 1]. `what` names the accuracy.
    """
    figure = Figure()
    strip(figure, runs.assign(shown=100 * runs["accuracy"]), "shown", models, panel=1, form=".2f", absent="none")
    by_model, seen = means.set_index("model"), []
    for place, (model, colour) in enumerate(colours(models).items()):
        mean, low, high = (float(by_model[end][model]) for end in ("mean", "low", "high"))
        rates = runs.loc[runs["model"] == model, "accuracy"]
        seen.append(
            f"{model} {percent(mean)}{interval_of_rate(low, high)}, seeds from {percent(rates.min())} to {percent(rates.max())}"
        )
        if pd.notna(low):
            y = [place + LINE_BELOW] * 2
            line = {"color": colour, "width": 3}
            figure.add_scatter(x=[100 * low, 100 * high], y=y, mode="lines", line=line, hoverinfo="skip")
    ends = np.concatenate([runs["accuracy"], means["low"], means["high"]])
    figure.update_layout(
        xaxis={"range": padded(100 * ends), "title": f"{what} (%)"}, yaxis={"range": [len(models) - 0.4, -0.5]}
    )
    left = 40 + max(text_width(model) for model in models)
    counts = runs.groupby("model", observed=True).size()
    seeds = (
        plural(int(counts.max()), "seed") if counts.min() == counts.max() else f"{counts.min()} to {counts.max()} seeds"
    )
    return finish(
        figure,
        title=f"{what} of every seed",
        subtitle=(
            f"{seeds} x {plural(sequences, 'test sequence')}. Points: seeds, bar: mean,<br>"
            f"line: {100 * level:g} % interval of the mean over seeds and sequences"
        ),
        seen=f"{series(seen)}.",
        width=left + WIDTH + 60,
        height=len(models) * ROW_HEIGHT + 100,
        margin={"l": left, "r": 60, "b": 90},
    )
