"""Train a study: every variant over every seed, under one parent run; what is finished already is reused."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import torch

from analysis.plan import Declaration, Plan
from pipeline import checkpoint
from pipeline.config import RunConfig
from pipeline.console import Meter, duration, say
from pipeline.data import Splits
from pipeline.errors import RunError, UsageError, one_line
from pipeline.identity import Cell, commit, identity
from pipeline.launch import Notify, run_tasks
from pipeline.study import PLAN_FILE, STUDY_KIND, Study
from pipeline.tracking import Tracker, connect_once
from pipeline.train import CHECKPOINTS, Outcome, log_line, package, run_cell
from pipeline.trainer import History, fit, resolve_device, resolve_precision, start

ESTIMATE_BATCHES = 4
"""Batches that are trained to estimate how long an epoch takes."""
EVALUATION_COST = 0.35
"""Time of evaluating a sequence over the time of training on it."""


@dataclass(frozen=True)
class Task:
    """One cell, for a worker process."""

    cell: Cell
    device: str
    store: str
    parent: str


def compare(study: Study, tracker: Tracker, *, workers: int, device: str, adopted: str | None = None) -> str:
    """Train what is missing of a study and return the id of its parent run.

    `adopted` is a run that somebody created for this call: it becomes the parent where the study has none yet.
    """
    cells = [Cell(model, config) for model, config in study.cells()]
    identities = {cell.name: identity(cell.config, cell.config.data.load(), device) for cell in cells}
    keys = {name: tags["cell"] for name, tags in identities.items()}
    _check_distinct(keys)
    parent = open_parent(study.name, {"kind": STUDY_KIND, "study": study.id}, tracker, adopted)
    with tracker.hold(parent):
        tracker.log_params(parent, {"models": ",".join(study.variants), **study.plan.model_dump()})
        outcomes = declare(study.plan, cells, identities, tracker, parent)
        _write_manifest(study, cells, outcomes, tracker, parent)
        pending = [cell for cell in cells if cell.name not in outcomes]
        say(
            f"{study.name} (study {study.id}): {len(outcomes)} of {len(cells)} runs are finished, {len(pending)} to train"
        )
        for cell in cells:
            if cell.name in outcomes:
                package(cell, tracker, outcomes[cell.name].run_id)  # what a trial of an ablation study trained lacks it
        errors: dict[str, Exception] = {}
        for task, result in _train([Task(cell, device, tracker.uri, parent) for cell in pending], keys, workers):
            if isinstance(result, Exception):
                errors[task.cell.name] = result
            else:
                outcomes[task.cell.name] = result
            _write_manifest(study, cells, outcomes, tracker, parent)
        if errors:
            raise RunError("; ".join(f"{name}: {one_line(error)}" for name, error in errors.items()))
    return parent


def _check_distinct(keys: dict[str, str]) -> None:
    owners: dict[str, str] = {}
    for name, key in keys.items():
        if key in owners:
            raise UsageError(
                f"variants: must differ from one another, got the same config for {owners[key]} and {name}. Drop one."
            )
        owners[key] = name


def open_parent(name: str, tags: Mapping[str, str], tracker: Tracker, adopted: str | None) -> str:
    """Return the parent run of the study that has these tags, new or known.

    `adopted`, a run that somebody created for this call, becomes it, or a link to it where it is known.
    """
    known = tracker.find(**tags)
    if known:
        if adopted:
            tracker.set_tags(adopted, {"study": tags["study"], "parent": known[0].id})
        return known[0].id
    tags = {**tags, "study_name": name, **commit()}
    if not adopted:
        return tracker.create(name, tags=tags)
    tracker.set_tags(adopted, {**tags, "mlflow.runName": name})
    return adopted


def _finished(cells: Sequence[Cell], keys: dict[str, str], tracker: Tracker) -> dict[str, Outcome]:
    outcomes = {}
    for cell in cells:
        runs = [run for run in tracker.find(cell=keys[cell.name]) if run.status == "FINISHED"]
        if runs:
            outcomes[cell.name] = Outcome(runs[0].id, reused=True)
    return outcomes


def declare(
    plan: Plan, cells: Sequence[Cell], identities: Mapping[str, dict[str, str]], tracker: Tracker, parent: str
) -> dict[str, Outcome]:
    """Store the plan with its hash before anything is trained, and return the cells that are finished already.

    A later call of the study leaves the plan as it is. `identities` are by the cells' names.
    """
    outcomes = _finished(cells, {name: tags["cell"] for name, tags in identities.items()}, tracker)
    if "plan_hash" in tracker.get(parent).tags:
        return outcomes
    declaration = Declaration(
        plan=plan,
        seeds=tuple(dict.fromkeys(cell.config.seed for cell in cells)),
        # Of a model's runs, less what is of one seed.
        identity={
            cell.model: {key: tag for key, tag in identities[cell.name].items() if key not in ("seed", "cell")}
            for cell in cells
        },
        declared=datetime.now(UTC).isoformat(timespec="seconds"),
        finished_before=tuple(outcomes),
    )
    tracker.log_text(parent, PLAN_FILE, declaration.model_dump_json(indent=2))
    tracker.set_tags(parent, {"plan_hash": declaration.hash})
    return outcomes


def _write_manifest(
    study: Study, cells: Sequence[Cell], outcomes: dict[str, Outcome], tracker: Tracker, parent: str
) -> None:
    """Store the study and the run of each of its cells: the truth for every analysis."""
    runs = {name: outcome.run_id for name, outcome in outcomes.items()}
    manifest = {
        "id": study.id,
        "name": study.name,
        "plan": study.plan.model_dump(mode="json"),
        "plan_hash": tracker.get(parent).tags["plan_hash"],
        "seeds": study.seeds,
        "tuning_trials": study.tuning_trials,
        "variants": {name: config.model_dump(mode="json", exclude={"seed"}) for name, config in study.variants.items()},
        "cells": [{"model": cell.model, "seed": cell.config.seed, "run_id": runs.get(cell.name)} for cell in cells],
    }
    tracker.log_text(parent, "study.json", json.dumps(manifest, indent=2))


def _train(tasks: Sequence[Task], keys: dict[str, str], workers: int) -> Iterator[tuple[Task, Outcome | Exception]]:
    """Train cells in workers and yield each when it ends, with its outcome or the error that ended it."""
    if not tasks:
        return
    seconds = {task.cell.model: epoch_seconds(task.cell.config, task.device) for task in _one_a_model(tasks)}
    epochs = {task.cell.name: _epochs_left(task.cell, keys[task.cell.name]) for task in tasks}
    meter = Meter(epochs, {task.cell.name: seconds[task.cell.model] for task in tasks}, min(workers, len(tasks)))
    say(f"{sum(epochs.values())} epochs to train, about {duration(meter.seconds_left)} with {workers} worker(s)")
    # Seed by seed, so that an early stop leaves whole seeds; the slowest first, so that no worker waits at the end.
    seeds = list(dict.fromkeys(task.cell.config.seed for task in tasks))
    ordered = sorted(tasks, key=lambda task: (seeds.index(task.cell.config.seed), -seconds[task.cell.model]))
    with meter:
        for task, result in run_tasks(ordered, _work, workers=workers, notify=lambda message: meter.advance(*message)):
            meter.end(task.cell.name)
            yield task, result


def _epochs_left(cell: Cell, key: str) -> int:
    path = CHECKPOINTS / key / "last.pt"
    done = checkpoint.load(path)["epoch"] if path.is_file() else 0
    return int(cell.config.train.epochs - done)


def _one_a_model(tasks: Sequence[Task]) -> list[Task]:
    return list({task.cell.model: task for task in tasks}.values())


def epoch_seconds(config: RunConfig, device: str) -> float:
    """Estimate the seconds of one epoch from a few updates on the first sequences."""
    splits = config.data.load()
    count = min(ESTIMATE_BATCHES * config.train.batch_size, len(splits.train))
    resolved = resolve_device(device)
    few = splits.train.select(torch.arange(count)).to(resolved)
    small = Splits(few, few.select(few.offsets.new_tensor([0])), few.select(few.offsets.new_tensor([0])))
    config = config.model_copy(update={"train": config.train.model_copy(update={"epochs": 2})})
    precision = resolve_precision(config.train.precision, resolved)
    timed = [epoch.seconds for epoch in fit(start(config, small, resolved), small, config, precision)]
    evaluated = len(splits.validation) + len(splits.test)
    return min(timed) * (len(splits.train) + EVALUATION_COST * evaluated) / count


def _work(task: Task, notify: Notify) -> Outcome:
    """Train one cell, in whichever process this is."""
    began = time.monotonic()

    def report(cell: Cell, history: History) -> None:
        nonlocal began
        now = time.monotonic()
        notify((cell.name, now - began, f"{cell.name} {log_line(history[-1], cell.config.train.epochs)}"))
        began = now

    return run_cell(task.cell, connect_once(task.store), device=task.device, report=report, parent=task.parent)
