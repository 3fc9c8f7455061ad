"""The share of the seeds of each model that exceeds an accuracy."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from plotly.graph_objects import Figure

from analysis.figures.parts.style import colour_key, colours, finish
from analysis.wording import series

WIDTH, HEIGHT = 760, 420


def profile_figure(accuracies: Mapping[str, NDArray[np.float64]], models: Sequence[str]) -> Figure:
    """Draw a step line per model: the share of seeds above each accuracy; `accuracies` {model: (S,)} in [0, 1]."""
    every = 100 * np.concatenate([accuracies[model] for model in models])
    pad = 0.05 * (every.max() - every.min()) or 0.5
    low, high = float(every.min()) - pad, float(every.max()) + pad
    figure = Figure()
    for model, colour in colours(models).items():
        ascending = np.sort(100 * accuracies[model])
        left = 1 - np.arange(1, len(ascending) + 1) / len(ascending)  # share above each
        figure.add_scatter(
            x=[low, *ascending, high],
            y=[100.0, *(100 * left), 0.0],
            mode="lines",
            line={"color": colour, "width": 4, "shape": "hv"},
            name=model,
        )
    figure.update_layout(
        xaxis={"title": "Test accuracy (%)", "range": [low, high]},
        yaxis={"title": "Share of seeds above (%)", "range": [-3, 103]},
    )
    return finish(
        figure,
        title="Performance profiles",
        subtitle=f"Further to the right is better; a step far to the left is a seed that fell behind<br>{colour_key(models)}",
        seen=(
            "Lowest and highest seed: "
            + series(
                f"{model} {100 * accuracies[model].min():.1f} and {100 * accuracies[model].max():.1f} %"
                for model in models
            )
            + "."
        ),
        width=100 + WIDTH,
        height=HEIGHT + 70,
        margin={"l": 100, "r": 20, "b": 70},
    )
