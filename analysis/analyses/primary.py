"""Wording for the plan's primary metric; where texts do not name the metric, it is test accuracy."""

from analysis.metrics.registry import BY_NAME, Metric
from analysis.plan import Plan


def primary_metric(plan: Plan) -> Metric:
    """Return the plan's primary metric."""
    return BY_NAME[plan.primary_metric]


def of_which(plan: Plan) -> str:
    """Return the words that name the metric of a number of points."""
    return "" if plan.primary_metric == "test_accuracy" else f" of {primary_metric(plan).title.lower()}"


def about_accuracy(plan: Plan) -> list[str]:
    """Return the first sentence of a section about test accuracy if the verdicts are about another metric; otherwise empty."""
    if plan.primary_metric == "test_accuracy":
        return []
    other = primary_metric(plan).title.lower()
    return [f"This section is about test accuracy. The verdicts are about {other}, and the two may disagree."]
