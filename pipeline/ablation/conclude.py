"""The conclusion of an ablation study: its findings, the best settings, and, for named changes, verdicts on the test split."""

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from analysis.ablation import Bounds, Document, Trials, ablation_findings, ablation_report
from analysis.analyses.overview import overview
from analysis.analyses.significance import significance
from analysis.figures import Figure, FigureError, to_png
from analysis.findings import Finding
from analysis.report.markdown import description, verdict_markdown
from analysis.wording import listing, percent, plural
from pipeline.ablation.designs import ROW
from pipeline.ablation.queue import SCORES, Queue, without_replaced
from pipeline.ablation.space import DIRECTIONS, EMBEDDING, POINT, AblationStudy, Point, Span, name_of
from pipeline.ablation.worker import CONDITIONS, SCORED
from pipeline.console import say
from pipeline.manifest import CellEntry, Manifest
from pipeline.output import deliver
from pipeline.settings import Values, flat
from pipeline.stored_study import (
    TRIAL_KIND,
    StoredStudy,
    described,
    load_results,
    write_manifest,
)
from pipeline.tracking import Tracker

STATES = {TrialState.COMPLETE: "COMPLETE", TrialState.PRUNED: "PRUNED", TrialState.FAIL: "FAILED"}
FEWEST_FOR_IMPORTANCE = 4
"""Fewest complete trials for which importances are computed."""
FRESH_SEEDS = 5
"""Number of seeds of the study that compares the tuned settings; the search used none of them."""


@dataclass(frozen=True)
class Conclusion:
    """The results of an ablation study."""

    document: Document
    table: pd.DataFrame
    """One row per trial and seed."""
    findings: list[Finding]
    """Findings on the test split; empty for a grid or a search."""
    best: str
    """The best settings, in a sentence."""


def conclude(study: AblationStudy, tracker: Tracker, parent: str, queue: Queue, output: Path) -> Conclusion | None:
    """Write report, tables and best settings to `output` and to the parent run; None if no trial is complete."""
    ended = [trial for trial in without_replaced(queue.trials()) if trial.state in STATES]
    complete = [trial for trial in ended if trial.state == TrialState.COMPLETE]
    if not complete:
        return None
    table = trial_table(study, ended)
    objective = study.how.objectives[0]
    spaces = {
        path: Bounds(part.low, part.high, part.log) if isinstance(part, Span) else list(part)
        for path, part in study.design.compared(study).items()
    }
    trials = Trials(table.assign(value=table[objective]), objective, DIRECTIONS[objective], spaces)
    importances = _importances(study, queue.optuna_study, complete)
    cost = next((name for name in study.how.objectives if name in ("parameters", "epoch_seconds")), "parameters")
    findings = ablation_findings(trials, importances, cost=cost, named=ROW in spaces)
    best = min(complete, key=lambda trial: (-trials.sign * trial.values[0], trial.number))
    point = study.design.point_of(study, best)
    compared = _compare(study, tracker, parent, complete)
    said = _best_line(study, best, point, complete, queue.optuna_study)
    pages = _pages(tracker, table)
    verdict = verdict_markdown(compared, pages) if compared else _mixed(table) + said
    plots = _plots(study, queue.optuna_study)
    document = ablation_report(
        trials, findings, plots, title=f"Ablation study {study.name}", head=verdict, shared=_shared(study, complete)
    )
    texts = {
        "ablation_report.md": document.markdown,
        "ablation_report.html": document.html(),
        "trials.csv": table.to_csv(index=False),
        "best_config.json": json.dumps({"base": flat(point.config)}, indent=2),
        "summary.json": json.dumps({"study": study.id, "name": study.name, "best": point.overrides}, indent=2),
        **_tuned(study, ended, trials.sign),
    }
    try:
        images, problem = to_png(document.figures), None
    except FigureError as error:
        images, problem = {}, error
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        for stem, image in images.items():
            (folder / f"{stem}.png").write_bytes(image)
        deliver(folder, output, tracker, parent)
    _mark(study, tracker, parent, queue.optuna_study, best)
    tracker.set_tags(parent, {"best_trial": str(best.number), "best_point": _in_words(point.overrides)})
    tracker.log_table(parent, "trials.json", table)
    tracker.set_tags(parent, {"mlflow.note.content": description(compared, pages) if compared else verdict})
    tracker.log_scalars(parent, {f"best_{objective}": float(best.values[0]), "complete_trials": len(complete)})
    if problem:
        say(f"Note. {problem}")
    return Conclusion(document, table, compared, said)


def trial_table(study: AblationStudy, ended: list[FrozenTrial]) -> pd.DataFrame:
    """Return one row per trial and seed with the varied settings and the scores; a trial without scores has one row."""
    rows: list[dict[str, Any]] = []
    for trial in ended:
        factors = study.design.levels(study, trial)
        shown = {"trial": trial.number, "point": trial.user_attrs.get(POINT) or name_of(factors)}
        nothing = {
            "seed": study.seeds[0],
            "epochs": len(trial.intermediate_values),
            **dict.fromkeys(SCORED[:-1], np.nan),
        }
        scores = trial.user_attrs.get(SCORES) or [nothing]
        rows += [{**shown, "state": STATES[trial.state], **score, **factors} for score in scores]
    table = pd.DataFrame(rows)
    whole = {"epochs": "int64", "seed": "int64", "trial": "int64"}
    return table.astype({**whole, **{name: "float64" for name in SCORED if name != "epochs"}})


def _shared(study: AblationStudy, complete: list[FrozenTrial]) -> Values:
    """Return the settings, seeds included, that have the same value in all trials."""
    first, *others = (flat(study.design.point_of(study, trial).config) for trial in complete)
    same = {path: value for path, value in first.items() if all(path in of and of[path] == value for of in others)}
    return {**same, "seed": ", ".join(map(str, study.seeds))}


def _importances(study: AblationStudy, held: optuna.Study, complete: list[FrozenTrial]) -> pd.DataFrame | None:
    """Return the shares of fANOVA and PED-ANOVA for the factors that every trial has; None with too few trials."""
    shared = [path for path in study.space if all(path in trial.params for trial in complete)]
    shared = [path for path in shared if len({str(trial.params[path]) for trial in complete}) > 1]
    values = {trial.values[0] for trial in complete}
    if len(shared) < 2 or len(complete) < FEWEST_FOR_IMPORTANCE or len(values) < 2:  # noqa: PLR2004 - shares of one are 1
        return None
    measures: dict[str, Any] = {"fANOVA": optuna.importance.FanovaImportanceEvaluator(seed=0)}
    target = None
    if len(study.how.objectives) == 1:
        measures["PED-ANOVA"] = optuna.importance.PedAnovaImportanceEvaluator()
    else:
        target = _first  # PED-ANOVA would treat the objective as a loss
    shares = {
        name: optuna.importance.get_param_importances(
            held, evaluator=evaluator, params=shared, target=target, normalize=True
        )
        for name, evaluator in measures.items()
    }
    return pd.DataFrame(shares).rename_axis("factor").reset_index()


def _first(trial: FrozenTrial) -> float:
    return float(trial.values[0])


def _plots(study: AblationStudy, held: optuna.Study) -> list[tuple[str, Figure]]:
    """Return Optuna's own plots of the trials."""
    draw = optuna.visualization
    if study.design.named:
        return []
    objective = study.how.objectives[0]
    target: dict[str, Any] = {"target": _first, "target_name": objective.replace("_", " ")}
    plots = [
        ("Values in the order of the trials", draw.plot_optimization_history(held, **target)),
        ("Settings of each trial", draw.plot_parallel_coordinate(held, **target)),
        ("Value against each setting", draw.plot_slice(held, **target)),
    ]
    if len(study.how.objectives) in (2, 3):
        names = [name.replace("_", " ") for name in study.how.objectives]
        plots.append(("Pareto front of the objectives", draw.plot_pareto_front(held, target_names=names)))
    if study.how.pruning != "none":
        plots.append(("Validation accuracy by epoch", draw.plot_intermediate_values(held)))
    return plots


def _best_line(
    study: AblationStudy, best: FrozenTrial, point: Point, complete: list[FrozenTrial], held: optuna.Study
) -> str:
    objective, value = study.how.objectives[0], best.values[0]
    goals = " and ".join(name.replace("_", " ") for name in study.how.objectives)
    front = ", ".join(str(number) for number in sorted(trial.number for trial in held.best_trials))
    several = f" On the Pareto front of {goals}: trial {front}." if len(study.how.objectives) > 1 else ""
    shown = percent(value) if "accuracy" in objective else f"{value:.4g}"
    return (
        f"Best {objective.replace('_', ' ')} of {plural(len(complete), 'complete trial')}: {shown}, mean of "
        f"{plural(len(study.seeds), 'seed')}, trial {best.number} ({_in_words(point.overrides)}). It is optimistic, "
        f"being the best on the split that chose it; train it with new seeds before claiming it.{several}"
    )


def _mixed(table: pd.DataFrame) -> str:
    """Return a warning if the trials did not run under the same conditions, otherwise ""."""
    found = {what: sorted(set(table[key].dropna())) for key, what in CONDITIONS.items() if key in table}
    different = [what for what, values in found.items() if len(values) > 1]
    if not different:
        return ""
    return (
        f"> **Note.** The trials ran with different {listing(different)}: part of a difference may come from that.\n\n"
    )


def _in_words(overrides: Values) -> str:
    """Return settings in words, real numbers with three significant digits."""
    return name_of(
        {path: float(f"{value:.3g}") if isinstance(value, float) else value for path, value in overrides.items()}
    )


def _compare(study: AblationStudy, tracker: Tracker, parent: str, complete: list[FrozenTrial]) -> list[Finding]:
    """Compare named changes with the reference on the test split, and make the parent a study that `analyze` accepts.

    No selection was made on the test split: every change is compared, and the p-values are corrected for all of them.
    """
    if not study.design.named or len(complete) < 2:  # noqa: PLR2004 - a pair
        return []
    names = [trial.user_attrs[POINT] for trial in complete]
    if study.plan.reference not in names:
        return []
    cells = [
        CellEntry(model=name, seed=score["seed"], run_id=score["cell"])
        for name, trial in zip(names, complete, strict=True)
        for score in trial.user_attrs[SCORES]
    ]
    variants = {point.name: point.config for point in study.points if point.name in names}
    manifest = Manifest(
        id=study.id,
        name=study.name,
        plan=study.plan,
        plan_hash=tracker.get(parent).tags["plan_hash"],
        seeds=study.seeds,
        variants=described(variants),
        cells=tuple(sorted(cells, key=lambda cell: (list(variants).index(cell.model), cell.seed))),
    )
    write_manifest(manifest, tracker, parent)
    results = load_results(StoredStudy(tracker.get(parent), manifest), tracker, allow_missing=False, probes=False)
    return [overview(results), significance(results)]


def _pages(tracker: Tracker, table: pd.DataFrame) -> dict[str, str]:
    """Return the address of each cell's page, relative to the store's site."""
    return {run_id: tracker.page(run_id) for run_id in table["cell"].dropna()} if "cell" in table else {}


def _tuned(study: AblationStudy, ended: list[FrozenTrial], sign: int) -> dict[str, str]:
    """Return a study file that compares the best settings of each embedding over new seeds, as the certificate asks."""
    if EMBEDDING not in study.space or not study.design.searches:
        return {}
    best: dict[str, FrozenTrial] = {}
    spent: dict[str, int] = {}
    for trial in ended:
        name = trial.params.get(EMBEDDING)
        if name is None:
            continue
        spent[name] = spent.get(name, 0) + 1
        if trial.state != TrialState.COMPLETE:
            continue
        if name not in best or sign * trial.values[0] > sign * best[name].values[0]:
            best[name] = trial
    first = max(study.seeds) + 1
    tuned = {
        "base": study.base,
        "variants": {name: dict(trial.params) for name, trial in best.items()},
        "seeds": list(range(first, first + FRESH_SEEDS)),
        "tuning_trials": {name: spent[name] for name in best},
    }
    return {"tuned_study.json": json.dumps(tuned, indent=2)}


def _mark(study: AblationStudy, tracker: Tracker, parent: str, held: optuna.Study, best: FrozenTrial) -> None:
    """Tag the runs of the best trial and of the Pareto front, and remove these tags from the runs of earlier ones."""
    several = len(study.how.objectives) > 1
    on_front = {trial.number for trial in held.best_trials} if several else set()
    for run in tracker.find(kind=TRIAL_KIND, ablation=study.id, parent=parent):
        number = int(run.tags["trial"])
        tags = {"best": str(number == best.number).lower(), "pareto": str(number in on_front).lower()}
        if any(run.tags.get(key, "false") != value for key, value in tags.items()):
            tracker.set_tags(run.id, tags)
