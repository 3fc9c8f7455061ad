"""Accuracy under altered times, and after the first few events."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure

from analysis.figures.parts.labels import label_ends, label_room
from analysis.figures.parts.style import GRID, colour_key, colours, faint, finish, text_width
from analysis.wording import series

ALTERATION_ROW = 34
WIDTH, HEIGHT = 900, 520


def time_use_figure(probed: pd.DataFrame, models: Sequence[str], sequences: str) -> Figure:
    """Draw a row per alteration: each seed of each model as a point, the mean as a bar; accuracies in [0, 1].

    `sequences` describes the sequences that they were measured on.
    """
    names = list(dict.fromkeys(probed["alteration"]))
    step = 1 / (len(models) + 1)
    figure, seen = Figure(), []
    for place, (model, colour) in enumerate(colours(models).items()):
        rows = probed[probed["model"] == model]
        y = np.array([names.index(name) for name in rows["alteration"]]) + (place + 1) * step - 0.5
        marker = {"color": faint(colour, 0.45), "size": 9}
        figure.add_scatter(x=100 * rows["accuracy"], y=y, mode="markers", marker=marker, name=model)
        means = rows.groupby("alteration", sort=False)["accuracy"].mean().reindex(names)
        bars = {"symbol": "line-ns", "size": 22, "line": {"color": colour, "width": 5}}
        if means.notna().any():
            ends = [f"{100 * means.iloc[at]:.1f} % ({names[at]})" for at in (int(means.argmin()), int(means.argmax()))]
            seen.append(f"{model} from {ends[0]} to {ends[1]}")
        at = np.arange(len(names)) + (place + 1) * step - 0.5
        figure.add_scatter(x=100 * means, y=at, mode="markers", marker=bars, name=f"{model} mean")
    lines = [
        {"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": i + 0.5, "y1": i + 0.5} for i in range(len(names))
    ]
    figure.update_layout(
        shapes=[line | {"line": {"color": GRID, "width": 1}} for line in lines[:-1]],
        xaxis={"title": "Accuracy (%)", "range": [-2, 102]},
        yaxis={
            "range": [len(names) - 0.5, -0.5],
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "showgrid": False,
        },
    )
    left = 40 + max(text_width(name) for name in names)
    height = len(names) * max(60, ALTERATION_ROW * len(models))
    return finish(
        figure,
        title="Accuracy under altered times",
        subtitle=f"On {sequences}. Points: seeds, bars: means<br>{colour_key(models)}",
        seen=f"Mean accuracy, worst and best alteration: {series(seen)}.",
        width=left + WIDTH,
        height=height + 90,
        margin={"l": left, "r": 40, "b": 90},
    )


def anytime_figure(prefixes: pd.DataFrame, models: Sequence[str], sequences: str) -> Figure:
    """Draw accuracy after the first k events (k = 0 means all events), with a thin line per seed behind each mean.

    `sequences` describes the sequences that it was measured on.
    """
    steps = [*sorted(set(prefixes["events"]) - {0}), 0]
    place = {events: i for i, events in enumerate(steps)}
    figure, ends, seen = Figure(), {}, []
    limits = (0.0, 102.0)
    for model, colour in colours(models).items():
        rows = prefixes[prefixes["model"] == model]
        values = rows.pivot_table(index="events", columns="seed", values="accuracy").reindex(steps)
        x = [place[events] for events in values.index]
        for seed in values.columns if values.shape[1] > 1 else []:
            line = {"color": faint(colour, 0.3), "width": 1.6}
            figure.add_scatter(x=x, y=100 * values[seed], mode="lines", line=line, hoverinfo="skip")
        mean = 100 * values.mean(axis=1)
        figure.add_scatter(
            x=x, y=mean, mode="lines+markers", line={"color": colour, "width": 3.5}, marker={"size": 9}, name=model
        )
        if mean.notna().any():
            ends[model] = (float(x[-1]), float(mean.iloc[-1]))
            seen.append(f"{model} {mean.iloc[0]:.1f} % and {mean.iloc[-1]:.1f} %")
    label_ends(figure, ends, colours(models), panel=1, limits=limits, height=HEIGHT)
    figure.update_layout(
        xaxis={
            "title": "First events shown",
            "tickvals": list(range(len(steps))),
            "ticktext": [str(events) if events else "all" for events in steps],
            "range": [-0.2, len(steps) - 0.9],
        },
        yaxis={"title": "Accuracy (%)", "range": limits},
    )
    right = label_room(list(models)) + 20
    return finish(
        figure,
        title="How early the models know",
        subtitle=f"Accuracy on {sequences} of which only the first events are shown.<br>Thick: mean over seeds, thin: each seed",
        seen=f"Mean accuracy after the first {steps[0]} events and after all: {series(seen)}.",
        width=110 + WIDTH + right,
        height=HEIGHT + 90,
        margin={"l": 110, "r": right, "b": 90},
    )
