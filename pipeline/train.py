"""Train one cell: one config with one seed, looked up before it is trained, resumed where it was interrupted.

A cell's checkpoints lie in `checkpoints/CELL/` until its run is complete; the run then holds them as artifacts.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline import checkpoint
from pipeline.costs import PeakMemory
from pipeline.data import Splits
from pipeline.epoch_metrics import metrics_of
from pipeline.identity import commit, identity
from pipeline.machine import resolve_device
from pipeline.run_record import describe, package, record
from pipeline.study import Cell
from pipeline.tracking import Tracker, locked
from pipeline.training.choice import History, best_epoch, out_of_patience
from pipeline.training.loop import fit
from pipeline.training.start import start

CHECKPOINTS = Path("checkpoints")

Report = Callable[[Cell, History], None]
"""Told of each cell after each epoch, with all its epochs so far; raises `Stopped` to end the run there."""


@dataclass(frozen=True)
class Outcome:
    """Where a cell's run is, and whether it was there already."""

    run_id: str
    reused: bool


@dataclass(frozen=True)
class _Job:
    """A cell at work: its data on the device, its run and its folder."""

    cell: Cell
    splits: Splits
    precision: str
    tracker: Tracker
    run_id: str
    folder: Path


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
    folder = CHECKPOINTS / tags["cell"]
    with locked(tags["cell"]):
        runs = tracker.find(cell=tags["cell"])
        finished = [run for run in runs if run.status == "FINISHED"]
        if finished:
            if packaged:
                package(cell, tracker, finished[0].id)
            return Outcome(finished[0].id, reused=True)
        run_id = runs[0].id if runs else adopted or tracker.create(cell.name, parent=parent, tags={})
        with tracker.hold(run_id):
            tracker.set_tags(run_id, {**tags, **commit(), "model": cell.model, "dataset": cell.config.data.name})
            describe(cell, splits, tags, tracker, run_id)
            on_device = splits.to(resolve_device(tags["device"]))
            _train(_Job(cell, on_device, tags["precision"], tracker, run_id, folder), report)
            if packaged:
                package(cell, tracker, run_id)
        shutil.rmtree(folder)
    return Outcome(run_id, reused=False)


def _train(job: _Job, report: Report) -> None:
    config, folder = job.cell.config, job.folder
    state = checkpoint.load(folder / "last.pt") if (folder / "last.pt").is_file() else {}
    memory = PeakMemory(job.splits.train.labels.device, earlier=state.get("peak_memory_bytes", 0))
    training = start(config, job.splits, job.splits.train.labels.device)
    if state:
        training.load_state_dict(state)
    history: History = state.get("history", [])
    logged = job.tracker.get(job.run_id).metrics.get("epoch", 0)
    for row in history:
        if row["epoch"] > logged:
            job.tracker.log_metrics(job.run_id, row, step=int(row["epoch"]))
    labels = {"validation": job.splits.validation.labels.cpu(), "test": job.splits.test.labels.cpu()}
    epochs = fit(training, job.splits, config, job.precision)
    while not out_of_patience(history, config.train.patience) and (epoch := next(epochs, None)):
        history.append({"epoch": epoch.number, **metrics_of(epoch, labels)})
        if epoch.number > logged:
            job.tracker.log_metrics(job.run_id, history[-1], step=epoch.number)
        if best_epoch(history) == epoch.number:
            checkpoint.save(folder / "best.pt", {"model": training.model.state_dict(), "epoch": epoch.number})
        checkpoint.save(folder / "last.pt", {**training.state_dict(), "history": history, **memory.metrics()})
        report(job.cell, history)
    training.model.load_state_dict(checkpoint.load(folder / "best.pt")["model"])
    record(
        job.cell, job.splits.test, training.model, history, memory.metrics(),
        precision=job.precision, tracker=job.tracker, run_id=job.run_id,
    )  # fmt: skip
    for name in ("best.pt", "last.pt"):
        job.tracker.log_file(job.run_id, folder / name, "checkpoints")
