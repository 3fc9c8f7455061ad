"""Pure functions over tidy tables of runs, curves and predictions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.findings import Finding
    from analysis.results import Results


def analyze(results: "Results", names: Sequence[str] | None = None) -> "list[Finding]":
    """Return the findings of the named analyses (all when None), in the registry's order."""
    # Lazily: whoever needs only the plan must not wait for pandas, scipy and plotly.
    from analysis.analyses.registry import run_analyses  # noqa: PLC0415

    return run_analyses(results, names)
