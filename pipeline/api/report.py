"""The report of a study, as a notebook shows it and as text."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from analysis.findings import Finding
from analysis.report.html import MARKDOWN
from analysis.report.markdown import banner_lines, verdict_lines, verdict_markdown

FIGURE = "statistical_significance.png"
"""The figure that a notebook shows; the page has all figures."""


@dataclass(frozen=True)
class Report:
    """Verdicts, results, and links to the rest; a notebook displays it, and `print` writes it as text."""

    title: str
    findings: Sequence[Finding]
    folder: Path
    """Folder with `analysis_report.html`, the figures and the tables."""
    url: str
    """Page of the study in MLflow."""
    served_by: str
    """Command that serves that page, if no server does."""
    links: dict[str, str]
    """Page of each run in MLflow, by its id."""

    @property
    def page(self) -> Path:
        """The whole report as one HTML file, which needs no network."""
        return self.folder / "analysis_report.html"

    def __str__(self) -> str:
        """Return notes, verdicts, and links as text."""
        notes = [f"Note. {banner}" for banner in banner_lines(self.findings)]
        return "\n".join(
            [self.title, *notes, *verdict_lines(self.findings), f"report: {self.page}", f"MLflow: {self._mlflow}"]
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows."""
        parts = [f"<h3>{escape(self.title)}</h3>", MARKDOWN.render(verdict_markdown(self.findings, self.links))]
        figure = self.folder / FIGURE
        if figure.is_file():
            drawn = b64encode(figure.read_bytes()).decode()
            about = "Every pair of models: difference of test accuracy, interval, p and verdict"
            parts.append(f'<img alt="{about}" style="max-width: 100%" src="data:image/png;base64,{drawn}">')
        shown = f'<a href="{escape(self.url)}">the study in MLflow</a>'
        served = f" (served by <code>{escape(self.served_by)}</code>)" if self.served_by else ""
        parts.append(f'<p><a href="{escape(self.page.as_posix())}">The whole report</a>, {shown}{served}</p>')
        return "\n".join(parts)

    @property
    def _mlflow(self) -> str:
        return f"{self.url} ({self.served_by} serves it)" if self.served_by else self.url
