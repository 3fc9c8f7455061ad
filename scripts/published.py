"""Records runs of the published protocols: `.venv/bin/python -m scripts.published [STORE]`, where STORE is the URI of a tracking store.

It reads the runs of the studies `lete_paper` and `kan_mammote_protocol`, finished or not, writes those that have more epochs
than the run on record into docs/results/published_protocols.json, and writes the table and the figure of
docs/results/published_protocols.md. The accuracies are on the test split, which is not used for selection here.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from mlflow.tracking import MlflowClient
from plotly.subplots import make_subplots

from analysis.figures import to_png
from analysis.figures.parts.style import COLOURS

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "results"
PAGE, RECORD, FIGURE = (FOLDER / f"published_protocols.{ending}" for ending in ("md", "json", "png"))
BEGIN, END = "<!-- runs: begin -->\n", "\n<!-- runs: end -->"
EPOCHS = (1, 2, 5, 10, 20, 50, 80, 100, 150, 200)
STUDIES = {"lete_paper": "batch 512, no clipping", "kan_mammote_protocol": "batch 128, clipped at 1"}
PUBLISHED = {
    # Chen et al. 2025, figure 3, read off to 0.1 points, and the notebook of the authors' repository.
    "lete_paper lete": {1: 43.5, 10: 91.8, 20: 95.2, 50: 96.3, 100: 96.7, 200: 97.29},
    "lete_paper position": {200: 95.96},
    # Repository MichaelScodaeng/kan-mammotev2, October 2025; single runs, the best of 200 epochs on test.
    "kan_mammote_protocol position": {1: 77.1, 5: 93.3, 10: 95.1, 20: 95.6, 50: 95.95, 200: 96.47},
    "kan_mammote_protocol kmote_gap": {200: 97.38},
    "kan_mammote_protocol kan_mammote": {200: 97.68},
}
"""Test accuracy in percent by epoch, by study and model."""

Record = dict[str, dict[str, Any]]
"""By study and model: the number of `epochs`, `mean_of_last_10`, and `test_accuracy` by epoch, in percent."""


def main() -> None:
    """Write the record, the table and the figure."""
    record: Record = json.loads(RECORD.read_text(encoding="utf-8"))
    for name, curve in histories(sys.argv[1]).items() if len(sys.argv) > 1 else ():
        if len(curve) >= record.get(name, {"epochs": 0})["epochs"]:
            record[name] = {
                "epochs": len(curve),
                "mean_of_last_10": round(curve.tail(10).mean(), 2),
                "test_accuracy": {str(epoch): round(value, 2) for epoch, value in curve.items()},
            }
    record = dict(sorted(record.items(), key=lambda item: (list(STUDIES).index(item[0].split()[0]), item[0])))
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    PAGE.write_text(before + BEGIN + table(record) + END + rest.split(END)[1], encoding="utf-8")
    FIGURE.write_bytes(to_png({"curves": figure(record)})["curves"])


def histories(store: str) -> dict[str, pd.Series]:
    """Return test accuracy in percent by epoch, by study and model."""
    client = MlflowClient(store)
    found = {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id], "tags.model != ''"):
            parent = run.data.tags.get("mlflow.parentRunId")  # runs of `train` have no parent, and trials no study name
            study = client.get_run(parent).data.tags.get("study_name") if parent else None
            if study in STUDIES and (values := client.get_metric_history(run.info.run_id, "test/accuracy")):
                curve = pd.Series({point.step: 100 * point.value for point in values}).sort_index()
                found[f"{study} {run.data.tags['model']}"] = curve
    return found


def table(record: Record) -> str:
    """Return one row per run, and below it the published numbers."""
    shown = " | ".join(f"epoch {epoch}" for epoch in EPOCHS)
    lines = [f"| protocol | model | {shown} | epochs run | mean of the last 10 |", "| --- " * (len(EPOCHS) + 4) + "|"]
    for name, run in record.items():
        study, model = name.split()
        cells = [_percent(run["test_accuracy"].get(str(epoch))) for epoch in EPOCHS]
        lines.append(f"| {study} | {model} | {' | '.join(cells)} | {run['epochs']} | {run['mean_of_last_10']:.2f} |")
        if points := PUBLISHED.get(name):
            cells = [_percent(points.get(epoch)) for epoch in EPOCHS]
            lines.append(f"| {study} | {model}, published | {' | '.join(cells)} | | |")
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def figure(record: Record) -> go.Figure:
    """Return a figure with a panel per study: a line per run through the epochs on record, and a ring per published point."""
    drawn = make_subplots(
        cols=len(STUDIES), shared_yaxes=True, horizontal_spacing=0.03, subplot_titles=[*STUDIES.values()]
    )
    drawn.update_layout(template="simple_white", width=1200, height=620, margin={"t": 40, "r": 20, "b": 60})
    for number, (name, run) in enumerate(record.items()):
        study, model = name.split()
        column, colour = [*STUDIES].index(study) + 1, COLOURS[number % len(COLOURS)]
        points = PUBLISHED.get(name, {})
        drawn.add_scatter(
            x=[int(epoch) for epoch in run["test_accuracy"]], y=list(run["test_accuracy"].values()), name=model, col=column,
            row=1, mode="lines+markers", line_color=colour, marker_size=4, legend=f"legend{column}",
        )  # fmt: skip
        drawn.add_scatter(
            x=list(points), y=list(points.values()), name=f"{model}, published", col=column, row=1, mode="markers",
            marker={"symbol": "circle-open", "size": 11, "color": colour, "line_width": 2.5}, showlegend=False,
        )  # fmt: skip
        box = drawn.layout[f"xaxis{column}"].domain
        drawn.layout[f"legend{column}"] = {"x": box[1] - 0.01, "y": 0.03, "xanchor": "right", "yanchor": "bottom"}
    drawn.update_xaxes(title="epoch", type="log", range=[0, 2.35], tickvals=EPOCHS)
    drawn.update_yaxes(title="test accuracy in percent (rings: published)", range=[74, 98.5], col=1)
    return drawn


if __name__ == "__main__":
    main()
