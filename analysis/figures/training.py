"""Loss and accuracy by epoch: solid train, dashed test, a thin line per seed behind each mean."""

from collections.abc import Sequence

import pandas as pd

from analysis.figures.labels import label_ends, label_room
from analysis.figures.style import Figure, axis, colours, faint, finish, panel_title

DASHES = {"train": "solid", "test": "dash"}
PANELS = {"loss": "Loss (cross-entropy)", "accuracy": "Accuracy (%)"}
FEW_EPOCHS = 12
WIDTH, HEIGHT = 640, 600
LEFT, BETWEEN = 100, 80


def training_curves_figure(curves: pd.DataFrame, models: Sequence[str]) -> Figure:
    """Draw loss and accuracy of train and test; `curves` has model, seed, epoch, split, metric and value in [0, 1]."""
    colour = colours(models)
    epochs = max(1, int(curves["epoch"].max())) if len(curves) else 1
    step = WIDTH + label_room(list(models)) + BETWEEN
    plots_width = 2 * step - BETWEEN
    figure = Figure()
    for panel, metric in enumerate(PANELS, start=1):
        shown = curves[curves["metric"] == metric]
        shown = shown.assign(value=shown["value"] * (100 if metric == "accuracy" else 1))
        ends = {}
        for model in models:
            for split in DASHES:
                mean = _lines(figure, shown, model, split, colour[model], panel)
                if len(mean) and split == "test":
                    ends[model] = (float(mean.index[-1]), float(mean.iloc[-1]))
        limits = _limits(shown["value"])
        start = (panel - 1) * step
        figure.update_layout(
            {
                f"xaxis{panel}": {
                    "domain": [start / plots_width, (start + WIDTH) / plots_width],
                    "anchor": axis("y", panel),
                    "title": "Epoch",
                    **_epoch_axis(epochs),
                },
                f"yaxis{panel}": {"anchor": axis("x", panel), "range": limits},
            }
        )
        label_ends(figure, ends, colour, panel=panel, limits=limits, height=HEIGHT)
        panel_title(figure, PANELS[metric], panel)
    seeds = int(curves.groupby("model", observed=True)["seed"].nunique().max()) if len(curves) else 0
    behind = f"Thick: mean of {seeds} seeds, thin: each seed. " if seeds > 1 else "One seed. "
    figure = finish(
        figure,
        title="Training curves",
        subtitle=behind + "Solid: train (running mean while training), dashed: test",
        width=LEFT + plots_width + 20,
        height=HEIGHT + 146 + 80,
        margin={"l": LEFT, "r": 20, "b": 80},
    )
    return figure


def _epoch_axis(epochs: int) -> dict[str, object]:
    pad = 0.5 if epochs == 1 else 0.02 * (epochs - 1)
    ticks = {"dtick": 1} if epochs <= FEW_EPOCHS else {"nticks": 8}
    return {"range": [1 - pad, epochs + pad], **ticks}


def _lines(figure: Figure, curves: pd.DataFrame, model: str, split: str, colour: str, panel: int) -> pd.Series:
    """Draw each seed, and the mean over the epochs that all seeds have; return the mean."""
    rows = curves[(curves["model"] == model) & (curves["split"] == split)]
    table = rows.pivot_table(index="epoch", columns="seed", values="value", observed=True)
    mean = table.dropna().mean(axis=1)
    axes = {"xaxis": axis("x", panel), "yaxis": axis("y", panel)}
    for seed in table.columns if table.shape[1] > 1 else ():
        line = {"color": faint(colour, 0.3), "width": 1.6, "dash": DASHES[split]}
        name = f"{model} {split}, seed {seed}"
        figure.add_scatter(x=table.index, y=table[seed], mode="lines", line=line, name=name, hoverinfo="skip", **axes)
    figure.add_scatter(
        x=mean.index,
        y=mean,
        mode="lines+markers" if len(table) <= FEW_EPOCHS else "lines",
        line={"color": colour, "width": 3.5, "dash": DASHES[split]},
        marker={"size": 9, "symbol": "circle" if split == "train" else "circle-open", "line": {"width": 2}},
        name=f"{model} {split}, mean",
        **axes,
    )
    return mean


def _limits(values: pd.Series) -> tuple[float, float]:
    low, high = (float(values.min()), float(values.max())) if values.notna().any() else (0.0, 1.0)
    pad = 0.04 * (high - low) or 0.5
    return low - pad, high + pad
