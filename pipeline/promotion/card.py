"""The model card of a version: the verdict by which it was promoted, what changes for users, and what users must know."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.analyses.banners import banners
from analysis.analyses.deviations import deviations
from analysis.analyses.probed import over_seeds
from analysis.metrics.registry import BY_NAME, metric_table
from analysis.report.flip_card import flip_card
from analysis.results import Results
from analysis.statistics.flips import churn, flips
from analysis.statistics.rates import rate_interval
from analysis.statistics.two_way import WHOLE
from analysis.wording import as_words, bullets, listing, markdown_table, percent, plain, plural
from pipeline.analyze import addresses
from pipeline.promotion.deciding import Candidate, Decision, environment_of
from pipeline.stored_study import StoredStudy, read_run
from pipeline.texts import REPORT_FILE
from pipeline.tracking import MOST_LETTERS, Run, Tracker, Version

RATES = ("test_accuracy", "balanced_accuracy")
"""Metrics that are means over sequences, so that the value of a single run has an interval, too."""
OTHERS = ("macro_f1", "negative_log_likelihood", "calibration_error", "brier_score", "parameters", "epoch_seconds")
MACHINE = ("platform", "processor", "python", "threads", "numpy", "mlflow")
SHOWN_SETTINGS = ("model.", "train.")
"""Prefixes of the settings that are shown: they decide how a model is trained."""


@dataclass(frozen=True)
class Promotion:
    """The promoted candidate, with the decision on it."""

    study: StoredStudy
    candidate: Candidate
    decision: Decision
    reason: str


def body(promotion: Promotion, tracker: Tracker) -> list[str]:
    """Return the blocks of the card below its headline, in Markdown, the most important first."""
    candidate = promotion.candidate
    environment = environment_of(candidate.run, tracker)
    return [
        _links(promotion, tracker),
        _changes(promotion, tracker),
        _metrics(candidate),
        _limits(candidate.results),
        _data(candidate, environment),
        _training(candidate, environment),
        _environment(candidate.run, environment),
        _settings(candidate.run, tracker),
    ]


def description(blocks: Sequence[str], whole: str) -> str:
    """Return as many complete blocks, from the first on, as fit into the description of a version, and the place of the card."""
    end = f"The model card has the rest: {whole}" if "://" not in whole else f"[The whole model card]({whole})"
    kept: list[str] = []
    for block in blocks:
        if len("\n\n".join([*kept, block, end])) > MOST_LETTERS:
            break
        kept.append(block)
    return "\n\n".join([*kept, end])


def headline(promotion: Promotion, version: Version) -> str:
    """Return a sentence that names the promoted model, its version and the verdict."""
    candidate, decision = promotion.candidate, promotion.decision
    lines = [
        f"# {as_words(version.name)} version {version.number}: {as_words(candidate.model)}, seed {candidate.seed}",
        f"**{plain(decision.sentence)}**",
    ]
    if promotion.reason:
        why = "Reason given" if decision.by_verdict else "Promoted for a reason that was given, not by a verdict"
        lines.append(f"{why}: {plain(promotion.reason)}")
    if champion := decision.champion:
        of = ", ".join(f"{tag} {champion.tags[tag]}" for tag in ("model", "seed") if tag in champion.tags)
        lines.append(f"It takes the place of version {champion.number}{f' ({plain(of)})' if of else ''}.")
    else:
        lines.append("It is the first champion.")
    return "\n\n".join(lines)


def _links(promotion: Promotion, tracker: Tracker) -> str:
    study, run = promotion.study, promotion.candidate.run
    plan = f"study {as_words(study.name)} ({study.id}), plan hash {study.manifest.plan_hash[:12]}"
    if not tracker.site:
        return bullets([plan, f"run {run.id}"])
    analysed = REPORT_FILE in tracker.fetch_all(study.parent.id, [REPORT_FILE])
    pages = addresses(study, tracker) if analysed else {"study": f"{tracker.site}{tracker.page(study.parent.id)}"}
    pages |= {"run of this version": f"{tracker.site}{tracker.page(run.id)}"}
    note = [] if analysed else ["The study has no report yet: `python -m pipeline analyze` writes it."]
    return bullets([plan, *(f"[{name}]({page})" for name, page in pages.items()), *note])


def _changes(promotion: Promotion, tracker: Tracker) -> str:
    """Return the flip card of the promoted run against the champion's."""
    head = "## What changes"
    candidate, decision = promotion.candidate, promotion.decision
    if not decision.champion:
        return f"{head}\n\nNothing was in use before."
    results = candidate.results
    before_n = _answers(decision.replaced, results, tracker)
    if before_n is None:
        return f"{head}\n\nThe answers of version {decision.champion.number} to these test sequences are not known."
    labels_n = results.test_set.label
    after_n = _own_answers(candidate)
    models = dict.fromkeys(filter(None, (candidate.model, decision.against)))
    said = flip_card(
        flips(labels_n, before_n, after_n),
        {model: churn(labels_n, results.predicted[model].astype(np.int64)) for model in models},
        labels=labels_n,
        sample_ids=results.test_set.sample_id,
        classes=results.classes,
    )
    compared = (
        f"The run of version {decision.champion.number} against the run of this one, with the weights that are loaded."
    )
    return f"{head}\n\n{compared} {said}"


def _own_answers(candidate: Candidate) -> NDArray[np.int64]:
    results = candidate.results
    answers_n: NDArray[np.int64] = results.predicted[candidate.model][
        results.seeds(candidate.model).index(candidate.seed)
    ].astype(np.int64)
    return answers_n


def _answers(run: Run | None, results: Results, tracker: Tracker) -> NDArray[np.int64] | None:
    """Return the predictions (n,) of a run for the test sequences of a study; None if the run has other test sequences."""
    if run is None or run.tags.get("data_digest") != results.runs["data_digest"].iloc[0]:
        return None
    answers = read_run(run, tracker)[1].sort_values("sample_id")
    if not np.array_equal(answers["sample_id"].to_numpy(), results.test_set.sample_id):
        return None
    predicted_n: NDArray[np.int64] = answers["predicted"].to_numpy().astype(np.int64)
    return predicted_n


def _metrics(candidate: Candidate) -> str:
    results, level = candidate.results, 1 - candidate.results.plan.alpha
    table = metric_table(results)
    own = table[table["run_id"] == candidate.run.id].iloc[0]
    seeds, model = results.seeds(candidate.model), candidate.model
    correct_Sn, rows = results.correct[model], []
    for name in RATES:
        strata = results.class_strata if name == "balanced_accuracy" else WHOLE
        one, every = (
            rate_interval(correct, level, strata) for correct in (correct_Sn[[seeds.index(candidate.seed)]], correct_Sn)
        )
        mean = f"{percent(every[0])} [{percent(every[1])}, {percent(every[2])}]"
        shown = f"{percent(one[0])} [{percent(one[1])}, {percent(one[2])}]"
        rows.append([BY_NAME[name].title, shown, mean if len(seeds) > 1 else percent(every[0])])
    for name in OTHERS:
        metric = BY_NAME[name]
        spread = over_seeds(table, ["model"], name, level).set_index("model")
        middle, low, high = (float(spread[column].astype(float)[model]) for column in ("mean", "low", "high"))
        within = f" [{metric.show(low)}, {metric.show(high)}]" if len(seeds) > 1 and low < high else ""
        rows.append([metric.title, metric.show(own[name]), f"{metric.show(middle)}{within}"])
    header = ["Metric", "This run", f"Mean of {plural(len(seeds), 'seed')}"]
    caption = f"On {plural(correct_Sn.shape[1], 'test sequence')}, intervals at {100 * level:g} %"
    note = (
        "The interval of one run's accuracy is over sequences alone. That of the mean is over seeds and sequences, and of the other "
        "metrics over seeds."
    )
    return f"## Metrics\n\n{markdown_table(header, rows, caption=caption)}\n\n{note}"


def _limits(results: Results) -> str:
    lines = [
        "The verdict is about re-trained models on new sequences of the same source, and says nothing of other data.",
        "The seed was chosen on validation; the numbers above are of the test split, which played no part in it.",
        *deviations(results),
        *banners(results),
    ]
    return f"## Limits\n\n{bullets(dict.fromkeys(lines))}"


def _data(candidate: Candidate, environment: dict[str, object]) -> str:
    run, results = candidate.run, candidate.results
    sizes = [f"{environment[split]} {split}" for split in ("train", "validation", "test") if split in environment]
    lines = [
        f"{as_words(str(results.runs['dataset'].iloc[0]))}: {listing(sizes)} sequences, classes: {len(results.classes)}",
        f"digest {run.tags.get('data_digest', 'unknown')}",
        f"unit of times: {as_words(str(environment.get('time_unit', 'unknown')))}",
    ]
    notes = environment.get("notes")
    lines += [plain(str(note)) for note in notes] if isinstance(notes, list) else []
    return f"## Data\n\n{bullets(lines)}"


def _training(candidate: Candidate, environment: dict[str, object]) -> str:
    results, run = candidate.results, candidate.run
    own = results.runs[results.runs["run_id"] == run.id].iloc[0]
    seeds = results.seeds(candidate.model)
    lines = [
        f"Seed {candidate.seed} of {listing(map(str, seeds))}: the highest validation accuracy, of several the lowest seed.",
        f"Weights of epoch {own['best_epoch']} of {own['epochs']}, the best on validation, or the last without validation.",
    ]
    together = results.runs["total_seconds"].sum()
    if own["device"] == "cpu":
        threads = int(str(environment.get("threads", 1)))
        lines.append(
            f"{own['total_seconds'] * threads:,.1f} CPU seconds of training (epochs in {plural(threads, 'thread')}, evaluation apart); "
            f"the {len(results.runs)} runs of the study took {together * threads:,.1f}."
        )
    else:
        lines.append(
            f"{own['total_seconds']:,.1f} s of training on {own['device']}; the {len(results.runs)} runs took {together:,.1f} s."
        )
    return f"## Training\n\n{bullets(lines)}"


def _environment(run: Run, environment: dict[str, object]) -> str:
    lines = [f"{name}: {plain(str(environment[name]))}" for name in MACHINE if name in environment]
    lines += [
        f"{name}: {plain(run.tags[name])}"
        for name in (
            "torch_version",
            "device",
            "precision",
            "lstm_kernel",
            "code_digest",
            "mlflow.source.git.commit",
            "dirty",
        )
        if name in run.tags
    ]
    return f"## Environment\n\n{bullets(lines)}"


def _settings(run: Run, tracker: Tracker) -> str:
    settings = sorted(tracker.read_params(run.id).items())
    lines = [f"    {name} = {value}" for name, value in settings if name.startswith(SHOWN_SETTINGS)]
    return "## Settings\n\n" + "\n".join(lines)
