"""Draws test accuracy by epoch against published points: `.venv/bin/python -m scripts.published STORE`, a tracking store's URI.

It takes the runs of the studies `lete_paper` and `kan_mammote_protocol`, finished or not, and writes the figure and the
table of docs/results/published_protocols.md. The accuracies are on the test split, which chose nothing here.
"""

import sys
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from mlflow.tracking import MlflowClient

from analysis.figures import to_png
from analysis.figures.style import COLOURS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "results" / "published_protocols.md"
BEGIN, END = "<!-- runs: begin -->\n", "\n<!-- runs: end -->"
EPOCHS = (1, 2, 5, 10, 20, 50, 80, 100, 150, 200)
PUBLISHED = {
    # Chen et al. 2025, figure 3, read off to 0.1 points, and the notebook of the authors' repository.
    ("lete_paper", "lete"): {1: 43.5, 10: 91.8, 20: 95.2, 50: 96.3, 100: 96.7, 200: 97.29},
    ("lete_paper", "position"): {200: 95.96},
    # Repository MichaelScodaeng/kan-mammotev2, October 2025; single runs, the best of 200 epochs on test.
    ("kan_mammote_protocol", "position"): {1: 77.1, 5: 93.3, 10: 95.1, 20: 95.6, 50: 95.95, 200: 96.47},
    ("kan_mammote_protocol", "kmote_gap"): {200: 97.38},
    ("kan_mammote_protocol", "kan_mammote"): {200: 97.68},
}
"""Test accuracy in percent by epoch, by study and model."""


def main() -> None:
    """Write the table and the figure."""
    curves = histories(sys.argv[1])
    lines = [
        "| protocol | model | "
        + " | ".join(f"epoch {epoch}" for epoch in EPOCHS)
        + " | epochs run | mean of the last 10 |"
    ]
    lines.append("| --- " * (len(EPOCHS) + 4) + "|")
    for (study, model), curve in curves.items():
        shown = [f"{curve[epoch]:.2f}" if epoch in curve else "" for epoch in EPOCHS]
        lines.append(f"| {study} | {model} | {' | '.join(shown)} | {len(curve)} | {curve.tail(10).mean():.2f} |")
        points = PUBLISHED.get((study, model), {})
        if points:
            shown = [f"{points[epoch]:.2f}" if epoch in points else "" for epoch in EPOCHS]
            lines.append(f"| {study} | {model}, published | {' | '.join(shown)} | | |")
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    PAGE.write_text(before + BEGIN + "\n".join(lines) + END + rest.split(END)[1], encoding="utf-8")
    (PAGE.parent / "published_protocols.png").write_bytes(to_png({"curves": figure(curves)})["curves"])


def histories(store: str) -> dict[tuple[str, str], pd.Series]:
    """Return test accuracy in percent by epoch, by study and model."""
    client = MlflowClient(store)
    found = {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id], "tags.model != ''"):
            parent = client.get_run(run.data.tags["mlflow.parentRunId"])
            values = client.get_metric_history(run.info.run_id, "test/accuracy")
            if values:
                curve = pd.Series({point.step: 100 * point.value for point in values}).sort_index()
                found[parent.data.tags["study_name"], run.data.tags["model"]] = curve
    return dict(sorted(found.items(), reverse=True))


def figure(curves: dict[tuple[str, str], pd.Series]) -> go.Figure:
    """Return a line a run, with its name at the end, and a ring for each published point."""
    drawn = go.Figure(layout={"template": "simple_white", "showlegend": False, "width": 1100, "height": 620})
    for number, ((study, model), curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        label = f"{model} ({'batch 512' if study == 'lete_paper' else 'batch 128'})"
        drawn.add_scatter(x=curve.index, y=curve, mode="lines", line_color=colour)
        drawn.add_annotation(
            x=curve.index[-1], y=curve.iloc[-1], text=label, xanchor="left", showarrow=False, font_color=colour
        )
        points = {
            epoch: value for epoch, value in PUBLISHED.get((study, model), {}).items() if epoch <= curve.index[-1]
        }
        drawn.add_scatter(
            x=list(points), y=list(points.values()), mode="markers",
            marker={"symbol": "circle-open", "size": 11, "color": colour, "line_width": 2.5},
        )  # fmt: skip
    drawn.update_xaxes(title="epoch", range=[0, 1.25 * max(len(curve) for curve in curves.values())])
    drawn.update_yaxes(title="test accuracy in percent (rings: published)", range=[88, 98.5])
    return drawn


if __name__ == "__main__":
    main()
