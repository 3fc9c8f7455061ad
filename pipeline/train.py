"""Train one cell: one config with one seed, looked up before it is trained, resumed where it was interrupted.

One process of all that share the store trains it; another that wants it waits, and takes over when that one is gone.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path

from pipeline import checkpoint
from pipeline.console import say
from pipeline.costs import PeakMemory
from pipeline.data import Splits
from pipeline.epoch_metrics import metrics_of
from pipeline.evidence import Evidence
from pipeline.identity import commit, identity
from pipeline.machine import resolve_device
from pipeline.run_record import BEST_FILE, CHECKPOINTS, PACKAGED, concluded, describe, package, record
from pipeline.study import Cell
from pipeline.tracking import Check, Run, Tracker
from pipeline.training.choice import History, best_epoch, out_of_patience
from pipeline.training.loop import Epoch, fit
from pipeline.training.start import start
from pipeline.unfinished import FILE, Unfinished, clear

Report = Callable[[Cell, History], None]
"""Told of each cell after each epoch, with all its epochs so far; raises `Stopped` to end the run there."""


@dataclass(frozen=True)
class Outcome:
    """Where a cell's run is, and whether it was there already."""

    run_id: str
    reused: bool


@dataclass(frozen=True)
class _Job:
    """A cell at work: its data on the device, its run and its checkpoint."""

    cell: Cell
    splits: Splits
    precision: str
    tracker: Tracker
    run_id: str
    check: Check
    unfinished: Unfinished
    evidence: Evidence


def run_cell(
    cell: Cell,
    tracker: Tracker,
    *,
    device: str,
    report: Report,
    parent: str | None = None,
    adopted: str | None = None,
    packaged: bool = True,
) -> Outcome:
    """Return the finished run of a cell, training what is missing of it.

    A new run is nested under `parent`, or is the run `adopted` that somebody created for it. Where it is `packaged`, the
    run holds the model in the form that MLflow loads, which takes a second; checkpoints it holds in any case.
    """
    splits = cell.config.data.load()
    tags = identity(cell.config, splits, device)
    runs = tracker.find(cell=tags["cell"])
    if finished := [run for run in runs if run.status == "FINISHED"]:
        return _reuse(cell, tracker, finished[0], packaged)
    owned = {"cell": tags["cell"]}
    run_id = runs[-1].id if runs else tracker.sole(cell.name, owned, tags=tags, parent=parent, adopted=adopted)
    with tracker.own(run_id, inf, lambda owner: say(f"{cell.name}: waiting for {owner}, which trains it")) as check:
        run = tracker.get(run_id)
        if run.status != "FINISHED":  # it may have become so meanwhile
            with tracker.ending(run_id, check):
                if not concluded(run):
                    tracker.set_tags(
                        run_id, {**tags, **commit(), "model": cell.model, "dataset": cell.config.data.name}
                    )
                    evidence = Evidence(tracker, run_id)
                    describe(cell, splits, tags, evidence)
                    on_device = splits.to(resolve_device(tags["device"]))
                    unfinished = Unfinished(tags["cell"], tracker, run)
                    _train(
                        _Job(cell, on_device, tags["precision"], tracker, run_id, check, unfinished, evidence), report
                    )
                if packaged:
                    package(cell, tracker, run_id)
            clear([tracker.get(run_id)], tracker)
            return Outcome(run_id, reused=False)
    return _reuse(cell, tracker, run, packaged)


def _reuse(cell: Cell, tracker: Tracker, run: Run, packaged: bool) -> Outcome:
    clear([run], tracker)
    if packaged and PACKAGED not in run.tags:
        with tracker.own(run.id, inf):
            package(cell, tracker, run.id)
    return Outcome(run.id, reused=True)


def _train(job: _Job, report: Report) -> None:
    config = job.cell.config
    state = job.unfinished.load()
    memory = PeakMemory(job.splits.train.labels.device, earlier=state.get("peak_memory_bytes", 0))
    training = start(config, job.splits, job.splits.train.labels.device)
    if state:
        training.load_state_dict(state)
    history: History = state.get("history", [])
    best = state.get("best", {})
    logged = job.tracker.get(job.run_id).metrics.get("epoch", 0)
    for row in history:
        if row["epoch"] > logged:
            job.tracker.log_metrics(job.run_id, row, step=int(row["epoch"]))
    labels = {"validation": job.splits.validation.labels.cpu(), "test": job.splits.test.labels.cpu()}
    epochs = fit(training, job.splits, config, job.precision)
    while not out_of_patience(history, config.train.patience) and (epoch := next(epochs, None)):
        _check_answers(epoch)
        history.append({"epoch": epoch.number, **metrics_of(epoch, labels)})
        job.check()
        if epoch.number > logged:
            job.tracker.log_metrics(job.run_id, history[-1], step=epoch.number)
        if best_epoch(history) == epoch.number:
            weights = deepcopy(training.model.state_dict())
            best = {"model": weights, "epoch": epoch.number, "cell": job.unfinished.cell}
        job.unfinished.save({**training.state_dict(), "history": history, "best": best, **memory.metrics()})
        report(job.cell, history)
    training.model.load_state_dict(best["model"])
    scalars = record(
        job.cell, job.splits.test, training.model, history, memory.metrics(),
        precision=job.precision, evidence=job.evidence,
    )  # fmt: skip
    checkpoint.save(job.unfinished.folder / Path(BEST_FILE).name, best)
    for file in (Path(BEST_FILE).name, FILE):
        job.evidence.log_file(job.unfinished.folder / file, CHECKPOINTS)
    job.evidence.seal()
    # Last, and in one batch: where they are, all files are there with their digests, and nothing is recorded again.
    job.tracker.log_scalars(job.run_id, scalars, step=len(history))


def _check_answers(epoch: Epoch) -> None:
    """Raise FloatingPointError where the weights after the last update of an epoch give no answers."""
    for split, score in {"validation": epoch.validation, "test": epoch.test}.items():
        if score and not isfinite(score.loss):
            raise FloatingPointError(
                f"training: {split} loss must be finite, got {score.loss} after the last step of epoch {epoch.number}. "
                "Lower train.learning_rate, or set train.clip_norm."
            )
