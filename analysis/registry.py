"""The analyses, one line each. A new one is a function from Results to Finding, and a line here."""

from collections.abc import Sequence
from difflib import get_close_matches

from analysis.calibration import calibration
from analysis.confidence import confidence
from analysis.convergence import convergence
from analysis.efficiency import efficiency
from analysis.encoding import encoding
from analysis.errors import errors
from analysis.findings import Analysis, Finding
from analysis.opinions import opinions
from analysis.overview import overview
from analysis.results import Results, ResultsError
from analysis.significance import significance
from analysis.temporal import temporal
from analysis.time_use import time_use
from analysis.training import training
from analysis.variance import variance

ANALYSES: dict[str, Analysis] = {
    "overview": overview,
    "significance": significance,
    "opinions": opinions,
    "variance": variance,
    "calibration": calibration,
    "training": training,
    "convergence": convergence,
    "temporal": temporal,
    "time_use": time_use,
    "encoding": encoding,
    "errors": errors,
    "confidence": confidence,
    "efficiency": efficiency,
}


def run_analyses(results: Results, names: Sequence[str] | None = None) -> list[Finding]:
    """Run the named analyses, or all, in the order above."""
    for name in names or ():
        if name not in ANALYSES:
            near = get_close_matches(name, ANALYSES, n=1)
            raise ResultsError(
                f"analyses: must be among {', '.join(ANALYSES)}, got {name!r}. "
                + (f"Did you mean {near[0]!r}?" if near else "Name some of these.")
            )
    return [analysis(results) for name, analysis in ANALYSES.items() if names is None or name in names]
