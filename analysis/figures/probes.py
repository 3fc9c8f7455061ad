"""What probes measured: accuracy under altered times and after few events, and the codes of the embeddings."""

from collections.abc import Sequence
from math import log10

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure

from analysis.figures.grid import squares
from analysis.figures.labels import label_ends, label_room
from analysis.figures.style import MUTED, SMALL_SIZE, axis, colours, faint, finish, panel_title, text_width

ALTERATION_ROW = 34
WIDTH, HEIGHT = 900, 520
KERNEL_SIDE, KERNEL_GAP = 420, 110


def _key(models: Sequence[str]) -> str:
    """Return the models' names in their colours, for a subtitle."""
    return "  ".join(f"<span style='color:{colour}'>\u25cf {model}</span>" for model, colour in colours(models).items())


def time_use_figure(probed: pd.DataFrame, models: Sequence[str]) -> Figure:
    """Draw a row an alteration: each seed of each model as a point, the mean as a bar; accuracies in [0, 1]."""
    names = list(dict.fromkeys(probed["alteration"]))
    step = 1 / (len(models) + 1)
    figure = Figure()
    for place, (model, colour) in enumerate(colours(models).items()):
        rows = probed[probed["model"] == model]
        y = np.array([names.index(name) for name in rows["alteration"]]) + (place + 1) * step - 0.5
        marker = {"color": faint(colour, 0.45), "size": 9}
        figure.add_scatter(x=100 * rows["accuracy"], y=y, mode="markers", marker=marker, name=model)
        means = rows.groupby("alteration", sort=False)["accuracy"].mean().reindex(names)
        bars = {"symbol": "line-ns", "size": 22, "line": {"color": colour, "width": 5}}
        at = np.arange(len(names)) + (place + 1) * step - 0.5
        figure.add_scatter(x=100 * means, y=at, mode="markers", marker=bars, name=f"{model} mean")
    lines = [
        {"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": i + 0.5, "y1": i + 0.5} for i in range(len(names))
    ]
    figure.update_layout(
        shapes=[line | {"line": {"color": "#E4E4E4", "width": 1}} for line in lines[:-1]],
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
        subtitle=f"Points: seeds, bars: means<br>{_key(models)}",
        width=left + WIDTH,
        height=height + 90,
        margin={"l": left, "r": 40, "b": 90},
    )


def anytime_figure(prefixes: pd.DataFrame, models: Sequence[str]) -> Figure:
    """Draw accuracy after the first k events, 0 for all of them, a thin line a seed behind each mean."""
    steps = [*sorted(set(prefixes["events"]) - {0}), 0]
    place = {events: i for i, events in enumerate(steps)}
    figure, ends = Figure(), {}
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
        subtitle="Accuracy when only the first events of a sequence are shown.<br>Thick: mean over seeds, thin: each seed",
        width=110 + WIDTH + right,
        height=HEIGHT + 90,
        margin={"l": 110, "r": right, "b": 90},
    )


def kernel_figure(kernel: pd.DataFrame, models: Sequence[str]) -> Figure:
    """Draw a square a model: the similarity, -1 to 1, of the codes of two times."""
    shown = [model for model in models if (kernel["model"] == model).any()]
    grid = squares(len(shown), KERNEL_SIDE, KERNEL_GAP)
    figure = Figure()
    for panel, model in enumerate(shown, start=1):
        square = kernel[kernel["model"] == model].pivot_table(index="time", columns="other", values="similarity")
        figure.add_heatmap(
            z=square.to_numpy(dtype=np.float32).round(2),
            x=square.columns,
            y=square.index,
            colorscale="RdBu",
            zmin=-1,
            zmax=1,
            showscale=panel == 1,
            colorbar={"title": {"text": "similarity", "side": "right"}, "thickness": 18, "len": 0.6},
            xaxis=axis("x", panel),
            yaxis=axis("y", panel),
        )
        grid.place(figure, panel, {"nticks": 6}, {"nticks": 6, "autorange": "reversed"})
        panel_title(figure, model, panel)
    return finish(
        figure,
        title="Which times look alike",
        subtitle=(
            "Cosine similarity of the centred codes of two times (or gaps),<br>first seed, after training. "
            "Blue: alike, red: opposite"
        ),
        width=grid.width + 260,
        height=grid.height + 90,
        margin={"l": 90, "r": 170, "b": 90},
    )


def spectrum_figure(means: pd.DataFrame, models: Sequence[str], row: int | None) -> Figure:
    """Draw the cumulative share of the code's variance over periods, long to short; `row` marks a period."""
    figure = Figure()
    for model, colour in colours(models).items():
        rows = means[means["model"] == model].sort_values("cycles")
        total = 100 * rows["share"].cumsum()
        figure.add_scatter(x=rows["period"], y=total, mode="lines", line={"color": colour, "width": 3.5}, name=model)
    longest = float(means["period"].max())
    ticks = [step * 10**power for power in range(6) for step in (1, 2, 5) if step * 10**power <= longest]
    figure.update_layout(
        xaxis={
            "title": "Period, in time units",
            "type": "log",
            "range": [log10(longest) + 0.05, log10(2) - 0.03],
            "tickvals": ticks,
            "ticktext": [str(tick) for tick in ticks],
        },
        yaxis={"title": "Variance at this period or longer (%)", "range": [0, 102]},
    )
    if row:
        figure.add_vline(x=row, line={"color": MUTED, "width": 2, "dash": "dot"})
        note = {"text": f"row: {row}", "x": log10(row), "y": 1, "yref": "paper", "yanchor": "bottom"}
        figure.add_annotation(**note, showarrow=False, font={"size": SMALL_SIZE, "color": MUTED})
    return finish(
        figure,
        title="How fast the codes change",
        subtitle=f"Share of the code's variance in waves of a period or longer, mean over columns and seeds<br>{_key(models)}",
        width=110 + WIDTH + 40,
        height=HEIGHT + 90,
        margin={"l": 110, "r": 40, "b": 90},
    )


def gates_figure(loads: pd.DataFrame, models: Sequence[str]) -> Figure:
    """Draw, for each model with a mixture, the mean gate of each expert over the time axis as stacked areas."""
    shown = [model for model in models if (loads["model"] == model).any()]
    experts = list(dict.fromkeys(loads["expert"]))
    height = len(shown) * (HEIGHT // 2 + 90) - 90
    figure = Figure()
    for panel, model in enumerate(shown, start=1):
        for expert, colour in colours(experts).items():
            rows = loads[(loads["model"] == model) & (loads["expert"] == expert)].sort_values("start")
            figure.add_scatter(
                x=rows["start"],
                y=100 * rows["gate"],
                mode="lines",
                line={"width": 0, "shape": "hv"},
                fillcolor=colour,
                stackgroup=model,
                name=expert,
                xaxis=axis("x", panel),
                yaxis=axis("y", panel),
            )
        top = 1 - (panel - 1) * (HEIGHT // 2 + 90) / height
        figure.update_layout(
            {
                f"xaxis{panel}": {"anchor": axis("y", panel), "title": "Time (or gap)" if panel == len(shown) else ""},
                f"yaxis{panel}": {
                    "anchor": axis("x", panel),
                    "domain": [max(0.0, top - HEIGHT / 2 / height), top],
                    "range": [0, 100],
                },
            }
        )
        panel_title(figure, f"{model}: mean gate (%)", panel)
    return finish(
        figure,
        title="Which expert is used when",
        subtitle=f"Mean over seeds and the pairs of time and gap that occur<br>{_key(experts)}",
        width=110 + WIDTH + 40,
        height=height + 90,
        margin={"l": 110, "r": 40, "b": 90},
    )
