"""The door for notebooks and scripts: compare time embeddings, and look at what came out."""

from pipeline.api.comparison import Study, compare
from pipeline.api.report import Report

__all__ = ["Report", "Study", "compare"]
