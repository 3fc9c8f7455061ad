"""Tables to figures. Plotly is imported in this package and nowhere else."""

from analysis.figures.examples import examples_figure
from analysis.figures.export import FigureError, plot_script, to_html, to_json, to_png, to_svg
from analysis.figures.matrices import confusion_figure, significance_figure
from analysis.figures.probes import anytime_figure, gates_figure, kernel_figure, spectrum_figure, time_use_figure
from analysis.figures.scatter import efficiency_figure, reliability_figure
from analysis.figures.strips import convergence_figure
from analysis.figures.style import Figure
from analysis.figures.temporal import temporal_figure
from analysis.figures.training import training_curves_figure

__all__ = [
    "Figure",
    "FigureError",
    "anytime_figure",
    "confusion_figure",
    "convergence_figure",
    "efficiency_figure",
    "examples_figure",
    "gates_figure",
    "kernel_figure",
    "plot_script",
    "reliability_figure",
    "significance_figure",
    "spectrum_figure",
    "temporal_figure",
    "time_use_figure",
    "to_html",
    "to_json",
    "to_png",
    "to_svg",
    "training_curves_figure",
]
