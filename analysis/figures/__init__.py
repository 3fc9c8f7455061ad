"""Tables to figures. Plotly is imported in this package and nowhere else."""

from analysis.figures.export import FigureError, to_html, to_png
from analysis.figures.matrices import confusion_figure, significance_figure
from analysis.figures.strips import convergence_figure
from analysis.figures.style import Figure
from analysis.figures.temporal import temporal_figure
from analysis.figures.training import training_curves_figure

__all__ = [
    "Figure",
    "FigureError",
    "confusion_figure",
    "convergence_figure",
    "significance_figure",
    "temporal_figure",
    "to_html",
    "to_png",
    "training_curves_figure",
]
