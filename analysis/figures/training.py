"""Loss and accuracy by epoch: train solid, test dashed, with a thin line per seed behind each mean."""

from collections.abc import Sequence

import pandas as pd
from plotly.graph_objects import Figure

from analysis.figures.parts.labels import label_ends, label_room
from analysis.figures.parts.style import axis, colours, faint, finish, panel_title
from analysis.wording import series

DASHES = {"train": "solid", "test": "dash"}
PANELS = {"loss": "Loss (cross-entropy)", "accuracy": "Accuracy (%)"}
FEW_EPOCHS = 12
WIDTH, HEIGHT = 640, 600
LEFT, BETWEEN = 100, 80


def training_curves_figure(curves: pd.DataFrame, models: Sequence[str]) -> Figure:
    """Draw loss and accuracy of train and test; `curves` has model, seed, epoch, split, metric and value (accuracy in [0, 1])."""
    colour = colours(models)
    epochs = max(1, int(curves["epoch"].max())) if len(curves) else 1
    step = WIDTH + label_room(list(models)) + BETWEEN
    plots_width = 2 * step - BETWEEN
    figure, seen = Figure(), []
    for panel, metric in enumerate(PANELS, start=1):
        shown = curves[curves["metric"] == metric]
        shown = shown.assign(value=shown["value"] * (100 if metric == "accuracy" else 1))
        lines = {(model, split): _values(shown, model, split) for model in models for split in DASHES}
        for (model, split), values in lines.items():
            _seeds(figure, values, colour[model], DASHES[split], panel)
        ends = {}
        for (model, split), values in lines.items():
            mean = values.dropna().mean(axis=1)
            _mean(figure, mean, model=model, split=split, colour=colour[model], panel=panel)
            if len(mean) and split == "test":
                ends[model] = (float(mean.index[-1]), float(mean.iloc[-1]))
        settled = shown["epoch"] > (epochs / 5 if epochs > FEW_EPOCHS else 0)
        limits = _limits(shown.loc[settled, "value"])
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
        seen += [f"{model} ends at a test {metric} of {end:.3g}" for model, (_, end) in ends.items()]
        panel_title(figure, PANELS[metric], panel)
    seeds = int(curves.groupby("model", observed=True)["seed"].nunique().max()) if len(curves) else 0
    behind = f"Thick: mean of {seeds} seeds, thin: each seed. " if seeds > 1 else "One seed. "
    fitted = "<br>The vertical axes fit the epochs after the first fifth" if epochs > FEW_EPOCHS else ""
    return finish(
        figure,
        title="Training curves",
        seen=f"Lines over {epochs} epochs; {series(seen, 16)}." if seen else "Nothing was recorded.",
        subtitle=behind + "Solid: train (running mean while training), dashed: test" + fitted,
        width=LEFT + plots_width + 20,
        height=HEIGHT + 80,
        margin={"l": LEFT, "r": 20, "b": 80},
    )


def _epoch_axis(epochs: int) -> dict[str, object]:
    pad = 0.5 if epochs == 1 else 0.02 * (epochs - 1)
    ticks = {"dtick": 1} if epochs <= FEW_EPOCHS else {"nticks": 8}
    return {"range": [1 - pad, epochs + pad], **ticks}


def _values(curves: pd.DataFrame, model: str, split: str) -> pd.DataFrame:
    """Return one row per epoch and one column per seed."""
    rows = curves[(curves["model"] == model) & (curves["split"] == split)]
    return rows.pivot_table(index="epoch", columns="seed", values="value", observed=True)


def _seeds(figure: Figure, values: pd.DataFrame, colour: str, dash: str, panel: int) -> None:
    """Draw a thin line per seed; lines are fainter the more seeds there are."""
    if values.shape[1] < 2:  # noqa: PLR2004  one seed is its own mean
        return
    line = {"color": faint(colour, max(0.12, min(0.35, 1 / values.shape[1]))), "width": 1.6, "dash": dash}
    for seed in values.columns:
        figure.add_scatter(
            x=values.index,
            y=values[seed],
            mode="lines",
            line=line,
            name=f"seed {seed}",
            hoverinfo="skip",
            xaxis=axis("x", panel),
            yaxis=axis("y", panel),
        )


def _mean(figure: Figure, mean: pd.Series, *, model: str, split: str, colour: str, panel: int) -> None:
    """Draw the mean over the epochs that all seeds have."""
    figure.add_scatter(
        x=mean.index,
        y=mean,
        mode="lines+markers" if len(mean) <= FEW_EPOCHS else "lines",
        line={"color": colour, "width": 3.5, "dash": DASHES[split]},
        marker={
            "size": 9,
            "symbol": "circle" if split == "train" else "circle-open",
            "line": {"width": 2, "color": colour},
        },
        name=f"{model} {split}",
        xaxis=axis("x", panel),
        yaxis=axis("y", panel),
    )


def _limits(values: pd.Series) -> tuple[float, float]:
    low, high = (float(values.min()), float(values.max())) if values.notna().any() else (0.0, 1.0)
    pad = 0.04 * (high - low) or 0.5
    return low - pad, high + pad
