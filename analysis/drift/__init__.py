"""Drift: whether sequences that a model is given now look like those that it was trained on."""

from analysis.drift.comparing import Compared, compare
from analysis.drift.page import Drift, drift_page, headline, lines

__all__ = ["Compared", "Drift", "compare", "drift_page", "headline", "lines"]
