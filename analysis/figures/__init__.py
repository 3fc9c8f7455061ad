"""Figures from tables, one module per subject, built from `parts`. Plotly is imported only in this package."""

from plotly.graph_objects import Figure

from analysis.figures.accuracy import accuracy_figure
from analysis.figures.budget import expected_best_figure, tuning_figure
from analysis.figures.confidence import reliability_figure
from analysis.figures.confusion import MANY, confusion_figure
from analysis.figures.convergence import convergence_figure
from analysis.figures.differences import differences_figure
from analysis.figures.disagreement import examples_figure
from analysis.figures.effects import interaction_figure
from analysis.figures.efficiency import efficiency_figure
from analysis.figures.encoding import gates_figure, kernel_figure, spectrum_figure
from analysis.figures.estimates import Row, estimates_figure
from analysis.figures.export import SCRIPT_FILE, FigureError, plot_script, sized, to_html, to_images, to_json, to_png
from analysis.figures.importance import importance_figure
from analysis.figures.pareto import pareto_figure
from analysis.figures.parts.style import described, night_colours
from analysis.figures.profile import profile_figure
from analysis.figures.ranks import ranks_figure
from analysis.figures.shift import shift_figure
from analysis.figures.significance import significance_figure
from analysis.figures.temporal import temporal_figure
from analysis.figures.time_use import anytime_figure, time_use_figure
from analysis.figures.times import encodings_figure, gaps_figure, units_figure
from analysis.figures.training import training_curves_figure

__all__ = [
    "MANY",
    "SCRIPT_FILE",
    "Figure",
    "FigureError",
    "Row",
    "accuracy_figure",
    "anytime_figure",
    "confusion_figure",
    "convergence_figure",
    "described",
    "differences_figure",
    "efficiency_figure",
    "encodings_figure",
    "estimates_figure",
    "examples_figure",
    "expected_best_figure",
    "gaps_figure",
    "gates_figure",
    "importance_figure",
    "interaction_figure",
    "kernel_figure",
    "night_colours",
    "pareto_figure",
    "plot_script",
    "profile_figure",
    "ranks_figure",
    "reliability_figure",
    "shift_figure",
    "significance_figure",
    "sized",
    "spectrum_figure",
    "temporal_figure",
    "time_use_figure",
    "to_html",
    "to_images",
    "to_json",
    "to_png",
    "training_curves_figure",
    "tuning_figure",
    "units_figure",
]
