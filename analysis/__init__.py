"""Pure functions over tidy tables of runs, curves and predictions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.findings import Finding
    from analysis.results import Results


def run_analyses(results: "Results", names: Sequence[str] | None = None) -> "list[Finding]":
    """Return the findings of the named analyses (all when None), in the registry's order."""
    # Imported lazily, so that users of the plan alone do not import pandas, scipy and plotly.
    from analysis.analyses import registry  # noqa: PLC0415

    return registry.run_analyses(results, names)
