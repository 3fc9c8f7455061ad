"""Writes the pages of docs/results that stand on the evidence beside them: `.venv/bin/python -m scripts.result_pages`.

Each archive in docs/results/evidence is a study, as `python -m pipeline export` writes it: `suite_NAME.zip` of config/need.json on
the data set NAME, and `STUDY.zip` of config/STUDY.json. No store is read, so anyone who has the repository can write the pages again.
An archive also holds its report, in the words that the project had when it was written: where they have changed since, the report is
written anew.
"""

import re
from pathlib import Path

from analysis.analyses.need import need
from analysis.analyses.significance import significance
from analysis.analyses.suite import suite
from analysis.figures import to_images
from analysis.findings import Finding
from analysis.results import Results
from analysis.wording import listing, markdown_table, percent
from pipeline.exchange import archive
from pipeline.exchange.contents import CRATE, CROISSANT, REPORT, Contents, load, results_of
from pipeline.exchange.crate import changed, described
from pipeline.exchange.recount import report_of
from pipeline.suite import member_of

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "results"
EVIDENCE = FOLDER / "evidence"
SUITE = FOLDER / "suite.md"
STUDIES = {
    FOLDER / "event_mnist.md": EVIDENCE / "event_mnist_10000.zip",
    FOLDER / "event_mnist_contrasts.md": EVIDENCE / "event_mnist_10000_contrasts.zip",
}
"""The pages of single studies, each with its evidence."""
BEGIN, END = "<!-- evidence: begin -->\n", "\n<!-- evidence: end -->"
FIGURE = "critical_difference"
SECTIONS = ("Answer", "Verdict", "Looks", "Convergence", "Efficiency", "Plan", "Environment")
"""Sections of the report that the page of a study shows."""


def main() -> None:
    """Replace what stands between the two markers of each page, and the figure of each page."""
    studies = [renewed(load(file)) for file in sorted(EVIDENCE.glob("suite_*.zip"))]
    compared = over_data(studies)
    write(SUITE, of_suite(studies, compared))
    figures = {SUITE: compared.figures[FIGURE]}
    for page, file in STUDIES.items():
        study = renewed(load(file))
        write(page, of_study(study, page))
        figures[page] = significance(results_of(study)).figures["differences"]
    images = to_images({page.stem: figure for page, figure in figures.items()})
    for stem, image in images["svg"].items():
        (FOLDER / f"{stem}.svg").write_bytes(image)


def write(page: Path, text: str) -> None:
    """Replace what the page has between the two markers."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    page.write_text(before + BEGIN + text + END + rest.split(END)[1], encoding="utf-8")


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


def of_suite(studies: list[Contents], compared: Finding) -> str:
    """Return what the studies of the suite say, as Markdown."""
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


def of_study(study: Contents, page: Path) -> str:
    """Return for its page the results of one study as Markdown: the sections of its report about what was declared, and about costs."""
    report = study.members[f"{REPORT}analysis_report.md"].decode()
    _, *found = re.split(r"^## (.+)\n", report, flags=re.MULTILINE)
    texts = dict(zip(found[::2], found[1::2], strict=True))
    texts["Verdict"] = texts["Verdict"].split("\nExploratory pairs")[0]
    texts["Looks"] = texts["Looks"].split("\nTable: ")[0]
    texts["Answer"] += f"\n![Differences of the declared and other pairs, with their intervals]({page.stem}.svg)\n"
    hours = results_of(study).runs["total_seconds"].sum() / 3600
    parts = [f"## {title}\n{texts[title].rstrip()}" for title in SECTIONS]
    return "\n\n".join([origin(study), f"All runs together trained for {hours:.1f} hours.", *parts])


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
