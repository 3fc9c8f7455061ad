"""Convergence epoch, overfitting gap and stability of runs, one strip each."""

from collections.abc import Sequence

import pandas as pd
from plotly.graph_objects import Figure

from analysis.figures.parts.strips import ROW_HEIGHT, from_zero, strip
from analysis.figures.parts.style import axis, finish, panel_title, text_width
from analysis.wording import series

WIDTH, BETWEEN = 420, 60


def convergence_figure(runs: pd.DataFrame, models: Sequence[str], window: int) -> Figure:
    """Draw convergence epoch, overfitting gap and stability of every run; values of `runs` in [0, 1] are shown in percentage points.

    Stability is measured over the last `window` epochs. It is left out if no run has more epochs, because it then measures learning.
    """
    epochs = int(runs["epochs"].max())
    shown = runs.assign(gap=100 * runs["overfitting_gap"], instability=100 * runs["training_stability"])
    panels = [
        ("convergence_epoch", "Convergence epoch", "g", "not reached"),
        ("gap", "Overfitting gap (points)", ".2f", "not recorded"),
        ("instability", "Instability (points)", ".2g", "needs 2 epochs"),
    ]
    steady = epochs > window
    panels = panels if steady else panels[:-1]
    plots_width = len(panels) * (WIDTH + BETWEEN) - BETWEEN
    figure = Figure()
    for panel, (value, title, form, absent) in enumerate(panels, start=1):
        start = (panel - 1) * (WIDTH + BETWEEN)
        place = {"domain": [start / plots_width, (start + WIDTH) / plots_width], "anchor": axis("y", panel)}
        figure.update_layout({f"xaxis{panel}": place})
        strip(figure, shown, value, models, panel=panel, form=form, absent=absent)
        panel_title(figure, title, panel)
        from_zero(figure, shown[value], panel)
    figure.update_layout(xaxis={"range": [0, 1.12 * epochs]})
    figure.update_layout({f"yaxis{panel}": {"showticklabels": False} for panel in range(2, len(panels) + 1)})
    left = 40 + max(text_width(model) for model in models)
    return finish(
        figure,
        title="Convergence, overfitting and stability" if steady else "Convergence and overfitting",
        subtitle=(
            "Points: seeds, bars: means. Convergence: 5 epochs of validation accuracy<br>with a standard deviation "
            "under 0.5 points. Gap: train minus test at the last epoch"
            + (
                f".<br>Instability: standard deviation of validation accuracy over the last {window} epochs"
                if steady
                else ""
            )
        ),
        seen=f"{series(_said(shown[shown['model'] == model], model, panels) for model in models)}.",
        width=left + plots_width + 50,
        height=len(models) * ROW_HEIGHT + 60,
        margin={"l": left, "r": 50, "b": 60},
    )


def _said(runs: pd.DataFrame, model: str, panels: Sequence[tuple[str, str, str, str]]) -> str:
    means = {title: runs[value].mean() for value, title, *_ in panels}
    known = [f"mean {title.lower()} {mean:.3g}" for title, mean in means.items() if pd.notna(mean)]
    return f"{model} {', '.join(known) or 'not recorded'}"
