"""Writes docs/results/suite.md from the evidence in the same folder: `.venv/bin/python -m scripts.suite_page`.

Each `suite_NAME.zip` in docs/results/evidence is a study of config/need.json on the data set NAME, as `python -m pipeline export`
writes it. The script does not read the store, so the page can be reproduced from the repository alone. An archive also holds the
report in the wording of the time when it was written; if the wording has changed since, the report is generated again.
"""

from pathlib import Path

from analysis.analyses.need import need
from analysis.analyses.suite import suite
from analysis.figures import to_images
from analysis.findings import Finding
from analysis.results import Results
from analysis.wording import listing, markdown_table, percent
from pipeline.exchange import archive
from pipeline.exchange.contents import CRATE, CROISSANT, Contents, load, results_of
from pipeline.exchange.crate import changed, described
from pipeline.exchange.recount import report_of
from pipeline.suite import member_of

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "results"
PAGE, EVIDENCE = FOLDER / "suite.md", FOLDER / "evidence"
BEGIN, END = "<!-- suite: begin -->\n", "\n<!-- suite: end -->"
FIGURE = "critical_difference"


def main() -> None:
    """Replace the text between the two markers, and the figure."""
    studies = [renewed(load(file)) for file in sorted(EVIDENCE.glob("suite_*.zip"))]
    compared = over_data(studies)
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    PAGE.write_text(before + BEGIN + written(studies, compared) + END + rest.split(END)[1], encoding="utf-8")
    (FOLDER / "suite.svg").write_bytes(to_images(compared.figures)["svg"][FIGURE])


def renewed(study: Contents) -> Contents:
    """Generate the report of an archive again from its runs' predictions, and return the archive."""
    report = report_of(study)
    if report.items() <= study.members.items() and not changed(study):
        return study
    # The two documents about the archive are generated from the rest of its content.
    held = {name: content for name, content in study.members.items() if name not in (CRATE, CROISSANT)}
    contents = Contents(study.file, {**held, **report})
    archive.write(study.file, {**contents.members, **described(contents)})
    return contents


def between(page: str) -> str:
    """Return the text between the two markers of the page."""
    return page.split(BEGIN)[1].split(END, maxsplit=1)[0]


def over_data(studies: list[Contents]) -> Finding:
    """Return the comparison of models over the data sets."""
    tables = [results_of(study) for study in studies]
    members = [
        member_of(study.manifest, dataset(results), results) for study, results in zip(studies, tables, strict=True)
    ]
    return suite(members, studies[0].manifest.plan)


def written(studies: list[Contents], compared: Finding) -> str:
    """Return the results of the evidence as Markdown."""
    tables = [results_of(study) for study in studies]
    certified = [need(results) for results in tables]
    rows = [
        [
            dataset(results),
            finding.data["certificate"],
            listing(finding.data["needed_by"]) or "none",
            f"{min(len(results.seeds(model)) for model in results.models)} x {len(results.test_set.label):,}",
            f"{results.runs['total_seconds'].sum() / 3600:.1f}",
        ]
        for results, finding in zip(tables, certified, strict=True)
    ]
    parts = [
        "## Which data need times",
        markdown_table(["Data set", "Times are", "Shown by", "Seeds x test sequences", "Hours of all runs"], rows),
        "## Which encoding is ahead",
        *(f"**Note.** {warning}" for warning in compared.data["warnings"]),
        compared.summary,
        "![Mean ranks of the models over the data sets that need times](suite.svg)",
    ]
    for study, results, finding in zip(studies, tables, certified, strict=True):
        parts += [f"## {dataset(results)}", accuracies(results), finding.summary, origin(study)]
    return "\n\n".join(parts)


def dataset(results: Results) -> str:
    """Return the name of the data set."""
    return str(results.runs["dataset"].iloc[0])


def accuracies(results: Results) -> str:
    """Return the accuracies of the models, highest mean first."""
    by_model = results.runs.groupby("model", observed=True)["test_accuracy"].agg(["mean", "min", "max"])
    rows = [[model, *map(percent, row)] for model, row in by_model.sort_values("mean", ascending=False).iterrows()]
    return markdown_table(["Model", "Mean test accuracy", "Lowest seed", "Highest seed"], rows)


def origin(study: Contents) -> str:
    """Return when the plan was stored, and how to check the numbers."""
    declared = study.declaration.declared[:16].replace("T", " ")
    return (
        f"The plan was stored at {declared} UTC, before the first run. "
        f"`python -m pipeline verify docs/results/evidence/{study.file.name}` computes these numbers again from the stored predictions."
    )


if __name__ == "__main__":
    main()
