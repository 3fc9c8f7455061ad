"""Comparison of the variants of several studies over their data sets; nothing is trained, and no study is changed."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from analysis.analyses.need import certificate_of
from analysis.analyses.suite import LEAST_SETS, Member, suite
from analysis.figures import SCRIPT_FILE, FigureError, plot_script, to_html, to_images
from analysis.findings import Finding
from analysis.metrics.registry import BY_NAME
from analysis.report.markdown import section
from analysis.report.records import jsonable
from analysis.results import Results
from analysis.wording import bullets, couples
from pipeline.config import digest_of
from pipeline.console import say
from pipeline.errors import UsageError
from pipeline.manifest import Manifest
from pipeline.output import check_output, put_all
from pipeline.settings import flat
from pipeline.stored_study import StoredStudy, load_results
from pipeline.tracking import Tracker

SAME = ("primary_metric", "margin", "alpha", "family", "pairs", "reference")
"""Fields of the plan that must be the same in all studies of a suite."""
SOURCES = {"mnist_sample": "event_mnist"}
"""Data sets that consist of sequences of another one: name to the other's name."""
REPORT_FILE = "suite_report.md"


def check_ids(studies: Sequence[str]) -> None:
    """Refuse too few studies, or a study that is named twice, before a store is opened."""
    if len(studies) < LEAST_SETS:
        raise UsageError(
            f"--studies: must be {LEAST_SETS} or more, got {len(studies)}. `python -m pipeline ls studies` lists what the store has."
        )
    if twice := [study for study, times in Counter(studies).items() if times > 1]:
        raise UsageError(f"--studies: must be each named once, got {twice[0]} twice. Drop one.")


def compare_over_data(
    studies: Sequence[StoredStudy], tracker: Tracker, *, output: Path, allow_missing: bool
) -> Finding:
    """Compare the models of studies over their data sets, write report, tables and figure to `output`, and return the finding.

    UsageError if the studies have different plans or variants, or the same data.
    """
    suite_id = digest_of(sorted(study.id for study in studies))[:12]
    check_output(output, suite_id)
    _check_plans(studies)
    names = _names(studies)
    members, digests = [], dict[str, str]()
    for study, name in zip(studies, names, strict=True):
        results = load_results(study, tracker, allow_missing=allow_missing, probes=False)
        digest = str(results.runs["data_digest"].iloc[0])
        if digest in digests:
            raise UsageError(
                f"--studies: must be of different data, got the same in {digests[digest]} and {name}. Leave one out."
            )
        digests[digest] = name
        members.append(member_of(study.manifest, name, results))
    finding = suite(members, studies[0].manifest.plan)
    _write(finding, suite_id, studies, output)
    return finding


def _check_plans(studies: Sequence[StoredStudy]) -> None:
    """Refuse studies whose plans differ in `SAME`, or whose variants of the same name have different models."""
    first = studies[0]
    for study in studies[1:]:
        for field in SAME:
            one, other = (getattr(each.manifest.plan, field) for each in (first, study))
            if one != other:
                if field == "pairs":
                    one, other = couples(one), couples(other)
                raise UsageError(
                    f"--studies: must have the same plan.{field}, got {one} in study {first.id} and {other} in study {study.id}. "
                    "Leave that study out, or run it with the same plan."
                )
        if set(first.manifest.variants) != set(study.manifest.variants):
            one, other = (", ".join(each.manifest.variants) for each in (first, study))
            raise UsageError(
                f"--studies: must have the same variants, got {one} in study {first.id} and {other} in study {study.id}. Leave "
                "that study out, or run it with the same ones."
            )
        for variant, config in study.manifest.variants.items():
            one, other = (flat(each["model"]) for each in (first.manifest.variants[variant], config))
            for setting in sorted(one.keys() | other.keys()):
                if one.get(setting) != other.get(setting):
                    raise UsageError(
                        f"--studies: must have the same variants, got {variant} with model.{setting} {one.get(setting)} in study "
                        f"{first.id} and {other.get(setting)} in study {study.id}. Name one of them otherwise, or train it alike."
                    )


def _names(studies: Sequence[StoredStudy]) -> list[str]:
    """Return the name of each study, followed by its id if two studies have the same name."""
    counts = Counter(study.name for study in studies)
    return [study.name if counts[study.name] == 1 else f"{study.name} {study.id}" for study in studies]


def member_of(manifest: Manifest, name: str, results: Results) -> Member:
    """Return a study as a member of a suite, with the mean of its primary metric over the seeds of each model."""
    values = BY_NAME[manifest.plan.primary_metric].compute(results)
    means = values.groupby(results.runs["model"].astype(str)).mean()
    return Member(
        study=name,
        dataset=str(results.runs["dataset"].iloc[0]),
        source=_source(manifest),
        seeds=min(len(results.seeds(model)) for model in results.models),
        sequences=len(results.test_set.label),
        scores={model: float(means[model]) for model in results.models},
        certificate=certificate_of(results),
    )


def _source(manifest: Manifest) -> str:
    """Return the source of a study's sequences: the path of its file, or the data set that they are taken from."""
    data = next(iter(manifest.variants.values()))["data"]
    return str(data.get("path") or SOURCES.get(data["name"], data["name"]))


def _trained_otherwise(studies: Sequence[StoredStudy]) -> list[str]:
    """Return a note on the settings of training that differ between the studies."""
    trained = [flat(next(iter(study.manifest.variants.values()))["train"]) for study in studies]
    differ = [f"train.{key}" for key in trained[0] if len({str(settings.get(key)) for settings in trained}) > 1]
    return [f"Trained with other settings from study to study: {', '.join(differ)}."] if differ else []


def _write(finding: Finding, suite_id: str, studies: Sequence[StoredStudy], output: Path) -> None:
    """Write all files, or none if an error occurs before writing; without a browser, all files except the images."""
    try:
        images, problem = to_images(finding.figures), None
    except FigureError as error:
        images, problem = {"png": {}, "svg": {}}, error
    warnings = [*finding.data["warnings"], *_trained_otherwise(studies)]
    title = f"# Suite of {len(studies)} studies"
    text = "\n\n".join([title, *([bullets(warnings)] if warnings else []), *section(finding), _listed(studies)]) + "\n"
    found: Mapping[str, Any] = {"study": suite_id, "studies": [study.id for study in studies], **finding.data}
    texts = {
        REPORT_FILE: text,
        "suite_scores.csv": finding.tables["scores"].to_csv(index=False),
        "suite_pairs.csv": finding.tables["pairs"].to_csv(index=False),
        "summary.json": json.dumps(jsonable(found), indent=2, allow_nan=False),
        SCRIPT_FILE: plot_script(),
    }
    for stem, figure in finding.figures.items():
        texts[f"{stem}.html"] = to_html(stem, figure, images["svg"].get(stem, b"").decode())
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, content in texts.items():
            (folder / name).write_text(content, encoding="utf-8")
        for kind, drawn in images.items():
            for stem, image in drawn.items():
                (folder / f"{stem}.{kind}").write_bytes(image)
        put_all(folder, output)
    for note in [*warnings, *([str(problem)] if problem else [])]:
        say(f"Note. {note}")
    for line in finding.data["verdicts"]:
        say(line)
    say()
    say(f"report and figure: {output}/{REPORT_FILE}")


def _listed(studies: Sequence[StoredStudy]) -> str:
    return "Studies: " + ", ".join(f"{study.name} ({study.id})" for study in studies) + "."
