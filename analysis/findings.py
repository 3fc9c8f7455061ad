"""The result of an analysis: tables, a summary in words, figures, and machine-readable facts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis.figures import Figure
from analysis.results import Results


@dataclass(frozen=True, eq=False)
class Finding:
    """The outcome of one analysis."""

    name: str
    """Name in the registry, and in file names."""
    title: str
    """Heading in the report."""
    summary: str
    """The result in plain words, as Markdown."""
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """Tables by name, accuracies in [0, 1]."""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    """Figures by file stem."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Facts besides the tables, as plain mappings, lists, numbers and strings."""
    listed: Sequence[str] | None = None
    """Names of the tables that the report shows below the summary, by default all; empty if the summary contains their content."""

    def shown(self) -> dict[str, pd.DataFrame]:
        """Return the tables that the report shows below the summary."""
        return {name: table for name, table in self.tables.items() if self.listed is None or name in self.listed}


Analysis = Callable[[Results], Finding]
