"""A critical-difference diagram: mean ranks of models over data sets, with bars that join models that do not differ significantly."""

from collections.abc import Mapping, Sequence
from math import ceil

from plotly.graph_objects import Figure

from analysis.figures.parts.style import INK, LABEL_SIZE, MUTED, colours, cut_names, finish, text_width
from analysis.wording import series

WIDTH = 640
ROW, BAR, TOP = 44, 24, 40
"""Heights in pixels: of a name, of a bar, and between the axis and the first bar."""
LETTERS = 30


def ranks_figure(
    mean_ranks: Mapping[str, float], groups: Sequence[tuple[str, ...]], *, sets: int, alpha: float
) -> Figure:
    """Draw mean ranks on an axis, the best at the left; each group of models is a bar with a dot for each member."""
    order = sorted(mean_ranks, key=lambda model: mean_ranks[model])
    colour, shown = colours(list(mean_ranks)), dict(zip(order, cut_names(order, LETTERS), strict=True))
    best, last = 1.0, float(len(order))
    half = ceil(len(order) / 2)
    below = TOP + BAR * len(groups)
    figure = Figure()
    for place, model in enumerate(order):
        left = place < half
        depth = below + ROW * (place if left else len(order) - 1 - place) + ROW / 2
        edge, rank = (best if left else last), mean_ranks[model]
        line = {"color": colour[model], "width": 2}
        figure.add_scatter(x=[rank, rank, edge], y=[0, -depth, -depth], mode="lines", line=line, name=model)
        figure.add_annotation(
            x=edge,
            y=-depth,
            text=f"{shown[model]}  {rank:.2f}" if left else f"{rank:.2f}  {shown[model]}",
            xanchor="right" if left else "left",
            xshift=-10 if left else 10,
            showarrow=False,
            font={"color": colour[model], "size": LABEL_SIZE},
        )
    for number, group in enumerate(groups):
        members = sorted(mean_ranks[model] for model in group)
        figure.add_scatter(
            x=members,
            y=[-(TOP / 2 + BAR * (number + 0.5))] * len(members),
            mode="lines+markers",
            line={"color": INK, "width": 6},
            marker={"color": INK, "size": 14},
            name=", ".join(group),
        )
    height = below + ROW * half + 20
    room = 40 + max(text_width(f"{name}  0.00", LABEL_SIZE) for name in shown.values())
    figure.update_layout(
        xaxis={
            "range": [best, last],
            "tickvals": list(range(1, len(order) + 1)),
            "side": "top",
            "showgrid": False,
            "ticks": "inside",
            "tickcolor": MUTED,
        },
        yaxis={"range": [-height, 0], "visible": False},
    )
    joined = "A bar joins models, its dots, no pair of which differs" if groups else "Every pair of models differs"
    return finish(
        figure,
        title="Mean ranks over data sets",
        subtitle=(
            f"1 is the best; n = {sets} data sets. {joined}<br>"
            f"(Wilcoxon's signed-rank test with Holm, alpha = {alpha:g})"
        ),
        seen=f"{series(f'{model} {mean_ranks[model]:.2f}' for model in order)}. {joined}.",
        width=max(WIDTH + 2 * room, 860),
        height=height + 80,
        margin={"l": room, "r": room, "b": 10},
    )
