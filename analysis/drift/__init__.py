"""Drift: whether new sequences have the distribution of the sequences that a model was trained on."""

from analysis.drift.comparing import Compared, compare
from analysis.drift.page import Drift, drift_page, headline, lines

__all__ = ["Compared", "Drift", "compare", "drift_page", "headline", "lines"]
