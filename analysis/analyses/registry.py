"""The registry of analyses. A new analysis is a function from Results to Finding, and a line here."""

from collections.abc import Sequence
from difflib import get_close_matches

from analysis.analyses.advice import advice, advised
from analysis.analyses.calibration import calibration
from analysis.analyses.confidence import confidence
from analysis.analyses.confusion import confusion
from analysis.analyses.convergence import convergence
from analysis.analyses.efficiency import efficiency
from analysis.analyses.encoding import encoding
from analysis.analyses.looks import looks
from analysis.analyses.need import need
from analysis.analyses.opinions import opinions
from analysis.analyses.overview import overview
from analysis.analyses.significance import significance
from analysis.analyses.streams import streams
from analysis.analyses.temporal import temporal
from analysis.analyses.time_use import time_use
from analysis.analyses.training import training
from analysis.analyses.variance import variance
from analysis.findings import Analysis, Finding
from analysis.results import Results, ResultsError

ANALYSES: dict[str, Analysis] = {
    "overview": overview,
    "significance": significance,
    "looks": looks,
    "need": need,
    "advice": advice,
    "streams": streams,
    "opinions": opinions,
    "variance": variance,
    "calibration": calibration,
    "training": training,
    "convergence": convergence,
    "temporal": temporal,
    "time_use": time_use,
    "encoding": encoding,
    "confusion": confusion,
    "confidence": confidence,
    "efficiency": efficiency,
}
INDEPENDENT_SEEDS = ("opinions", "variance", "calibration")
"""Analyses that assume independent runs; with crossed streams, runs share levels, and these analyses are left out."""


def run_analyses(results: Results, names: Sequence[str] | None = None) -> list[Finding]:
    """Run the named analyses, or all, in the order above; analyses that do not apply to these results are skipped."""
    for name in names or ():
        if name not in ANALYSES:
            near = get_close_matches(name, ANALYSES, n=1)
            raise ResultsError(
                f"analyses: must be among {', '.join(ANALYSES)}, got {name!r}. "
                + (f"Did you mean {near[0]!r}?" if near else "Name some of these.")
            )
    crossed = INDEPENDENT_SEEDS if results.is_crossed else ()
    idle = {*crossed, *(() if results.plan.looks else ("looks",)), *(() if results.streams else ("streams",))}
    idle |= set() if results.has_controls else {"need"}
    idle |= set() if advised(results) else {"advice"}
    return [ANALYSES[name](results) for name in ANALYSES if (names is None or name in names) and name not in idle]
