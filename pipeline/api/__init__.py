"""The interface for notebooks and scripts: compares time embeddings, and shows the results."""

from pipeline.api.comparison import Study, compare
from pipeline.api.report import Report

__all__ = ["Report", "Study", "compare"]
