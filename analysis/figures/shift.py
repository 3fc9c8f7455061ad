"""The distribution of a quantity in a file and in the training sequences."""

import numpy as np
from numpy.typing import NDArray
from plotly.graph_objects import Figure

from analysis.figures.parts.style import colour_key, colours, finish

WIDTH, HEIGHT = 840, 400
DRAWN = 0.99
"""Share of each distribution that is drawn; a few extreme values would compress the rest."""


def shift_figure(
    values_K: NDArray[np.floating],
    earlier_K: NDArray[np.float64],
    later_K: NDArray[np.float64],
    *,
    name: str,
    unit: str,
) -> Figure:
    """Draw the shares of training sequences and of a file's sequences that are at or below each value, in [0, 1]."""
    figure = Figure()
    shares = {"training": earlier_K, "file": later_K}
    for (of, share_K), colour in zip(shares.items(), colours(list(shares)).values(), strict=True):
        figure.add_scatter(
            x=values_K, y=100 * share_K, mode="lines", name=of, line={"color": colour, "width": 3.5, "shape": "hv"}
        )
    head = name[0].upper() + name[1:]
    far = values_K[int(np.argmax(np.minimum(earlier_K, later_K) >= DRAWN))]
    figure.update_layout(
        xaxis={"title": f"{head} ({unit})" if unit else head, "range": [float(values_K[0]), float(far)]},
        yaxis={"title": "Sequences (%)", "range": [0, 101]},
    )
    widest = int(np.abs(earlier_K - later_K).argmax())
    return finish(
        figure,
        title=head,
        subtitle=f"Share of sequences with at most so much, to where both reach {DRAWN:.0%}<br>{colour_key(list(shares))}",
        seen=(
            f"Up to {values_K[widest]:.4g} lie {earlier_K[widest]:.0%} of the training sequences and {later_K[widest]:.0%} of the "
            "file's."
        ),
        width=110 + WIDTH + 40,
        height=HEIGHT + 90,
        margin={"l": 110, "r": 40, "b": 90},
    )
