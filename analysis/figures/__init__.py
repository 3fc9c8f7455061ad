"""Tables to figures. Plotly is imported in this package and nowhere else."""

from plotly.graph_objects import Figure

from analysis.figures.ablation import (
    importance_figure,
    interaction_figure,
    tuning_figure,
)
from analysis.figures.examples import examples_figure
from analysis.figures.export import FigureError, plot_script, sized, to_html, to_json, to_png, to_svg
from analysis.figures.matrices import confusion_figure, significance_figure
from analysis.figures.probes import anytime_figure, gates_figure, kernel_figure, spectrum_figure, time_use_figure
from analysis.figures.rows import Row, rows_figure
from analysis.figures.scatter import efficiency_figure, reliability_figure
from analysis.figures.search import expected_best_figure, pareto_figure
from analysis.figures.strips import convergence_figure
from analysis.figures.temporal import temporal_figure
from analysis.figures.training import training_curves_figure

__all__ = [
    "Figure",
    "FigureError",
    "Row",
    "anytime_figure",
    "confusion_figure",
    "convergence_figure",
    "efficiency_figure",
    "examples_figure",
    "expected_best_figure",
    "gates_figure",
    "importance_figure",
    "interaction_figure",
    "kernel_figure",
    "pareto_figure",
    "plot_script",
    "reliability_figure",
    "rows_figure",
    "significance_figure",
    "sized",
    "spectrum_figure",
    "temporal_figure",
    "time_use_figure",
    "to_html",
    "to_json",
    "to_png",
    "to_svg",
    "training_curves_figure",
    "tuning_figure",
]
