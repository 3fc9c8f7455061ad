"""Value against cost, of N trials with S seeds each."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from plotly.graph_objects import Figure

from analysis.figures.parts.style import INK, MUTED, SMALL_SIZE, colours, faint, finish, legible, padded, text_width
from analysis.wording import series


def pareto_figure(
    table: pd.DataFrame, seeds_NS: NDArray[np.float64], models: Sequence[str], cost: str, *, unit: str, percent: bool
) -> Figure:
    """Draw trials by cost and value; the front is a line through large points that are labelled with their trial numbers."""
    scale, colour = 100 if percent else 1, colours(models)
    figure = Figure()
    front = table[table["front"]]
    figure.add_scatter(
        x=front[cost], y=scale * front["mean"], mode="lines", line={"color": MUTED, "width": 2.5, "dash": "dot"}
    )
    for model in models:
        of_model = (table["model"] == model).to_numpy()
        rows, seeds = table[of_model], scale * seeds_NS[of_model]
        figure.add_scatter(
            x=np.repeat(rows[cost], seeds.shape[1]),
            y=seeds.ravel(),
            mode="markers",
            marker={"color": faint(colour[model], 0.25), "size": 7},
            hoverinfo="skip",
        )
        size = np.where(rows["front"], 18, 12)
        line = {"color": INK, "width": np.where(rows["front"], 2.5, 0)}
        marker = {"color": colour[model], "size": size, "line": line, "opacity": 1}
        text = [f"trial {trial}" for trial in rows["trial"]]
        figure.add_scatter(x=rows[cost], y=scale * rows["mean"], mode="markers", marker=marker, text=text, name=model)
    for _, row in front.iterrows():
        figure.add_annotation(
            x=np.log10(row[cost]) if _spans(table[cost]) else row[cost],
            y=scale * row["mean"],
            text=str(row["trial"]),
            showarrow=False,
            yshift=24,
            font={"size": SMALL_SIZE},
        )
    seen = [f"trial {row['trial']} at {scale * row['mean']:.3g}" for _, row in front.iterrows()]
    words = ", ".join(f"<span style='color:{legible(colour[model])}'><b>{model}</b></span>" for model in models)
    name = {"parameters": "Parameters", "epoch_seconds": "Seconds an epoch"}[cost]
    logarithmic = {"type": "log", "dtick": 1} if _spans(table[cost]) else {"nticks": 7}
    figure.update_layout(
        xaxis={"title": name, **logarithmic},
        yaxis={"title": f"{unit} (%)" if percent else unit, "range": padded(scale * seeds_NS)},
    )
    return finish(
        figure,
        title=f"{unit.capitalize()} against {name.lower()}",
        subtitle=(
            "Large: means over seeds, outlined with its number: on the front; small: seeds.<br>"
            f"{words if len(models) > 1 else 'A trial on the front is beaten by none on both'}"
        ),
        seen=f"On the front: {series(seen)}.",
        width=max(1000, 60 + text_width(", ".join(models), SMALL_SIZE)),
        height=640,
        margin={"l": 110, "r": 50, "b": 80},
    )


def _spans(cost: pd.Series) -> bool:
    """Return whether a cost needs a logarithmic axis."""
    return bool(cost.min() > 0 and cost.max() > 20 * cost.min())
