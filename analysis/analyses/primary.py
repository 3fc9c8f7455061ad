"""What the analyses say of the plan's primary metric; where nothing is said, it is test accuracy."""

from analysis.metrics.registry import BY_NAME, Metric
from analysis.plan import Plan


def primary_metric(plan: Plan) -> Metric:
    """Return the metric that the verdicts are about."""
    return BY_NAME[plan.primary_metric]


def of_which(plan: Plan) -> str:
    """Return what a number of points is of."""
    return "" if plan.primary_metric == "test_accuracy" else f" of {primary_metric(plan).title.lower()}"


def about_accuracy(plan: Plan) -> list[str]:
    """Return the sentence that a section about test accuracy begins with where the verdicts are about another metric."""
    if plan.primary_metric == "test_accuracy":
        return []
    other = primary_metric(plan).title.lower()
    return [f"This section is about test accuracy. The verdicts are about {other}, and the two may disagree."]
