"""Tables to figures. Plotly is imported in this package and nowhere else."""

from analysis.figures.export import FigureError, to_html, to_png
from analysis.figures.matrices import significance_figure
from analysis.figures.style import Figure

__all__ = ["Figure", "FigureError", "significance_figure", "to_html", "to_png"]
