"""Training of one cell, a config with a seed: a finished run is reused, and an interrupted one is resumed.

Only one of the processes that share the store trains a cell; another one that needs it waits, and takes over if the first dies.
"""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from math import inf, isfinite
from pathlib import Path

from pipeline import checkpoint
from pipeline.console import say
from pipeline.costs import PeakMemory
from pipeline.data import Splits
from pipeline.epoch_metrics import curves_of, metrics_of
from pipeline.errors import AwayError
from pipeline.evidence import Evidence
from pipeline.identity import commit, identity
from pipeline.machine import processor, resolve_device
from pipeline.run_record import (
    BEST_FILE,
    CHECKPOINTS,
    COLOUR,
    PACKAGED,
    best_of,
    concluded,
    describe,
    note,
    pack,
    package,
    record,
)
from pipeline.streams import stream_tags
from pipeline.study import Cell
from pipeline.tracking import Check, Recorder, Run, Tracker, alone, at_once, retaken, spooled
from pipeline.training.choice import History, best_epoch, out_of_patience
from pipeline.training.loop import Epoch, fit
from pipeline.training.start import start
from pipeline.unfinished import Unfinished, clear

Report = Callable[[Cell, History], None]
"""Called after each epoch with the cell and all its epochs so far; it may raise `Stopped` to end the run there."""


@dataclass(frozen=True)
class Outcome:
    """The run of a cell, and whether it was finished already."""

    run_id: str
    reused: bool


@dataclass(frozen=True)
class _Job:
    """A cell in training, with its identity, its run, and the recorder that writes to the run."""

    cell: Cell
    splits: Splits
    tags: dict[str, str]
    """The identity of the cell, and the processor."""
    tracker: Tracker
    recorder: Recorder
    run: Run
    """The run when this process took ownership of it; without an id if the store is unreachable."""
    check: Check


def run_cell(
    cell: Cell,
    tracker: Tracker,
    *,
    device: str,
    report: Report,
    parent: str | None = None,
    adopted: str | None = None,
    packaged: bool = True,
    patience: float = inf,
) -> Outcome:
    """Return the finished run of a cell, after training the epochs that are missing.

    A new run is nested under `parent`, or is the run `adopted` that the caller created. With `packaged`, the run also stores the
    model in the form that MLflow loads, which takes a second, with its predictions for some held-out sequences; the weights of the
    best epoch are stored in any case.

    If a server is unreachable, the cell is trained nevertheless, and UnsentError reports that its run is not in the store yet. If
    the database with the run's lock restarts, the first process to take the run again continues it from its last epoch.
    BusyError if another process still trains the cell after `patience` seconds.
    """
    return retaken(
        lambda: _run_cell(
            cell,
            tracker,
            device=device,
            report=report,
            parent=parent,
            adopted=adopted,
            packaged=packaged,
            patience=patience,
        )
    )


def _run_cell(
    cell: Cell,
    tracker: Tracker,
    *,
    device: str,
    report: Report,
    parent: str | None,
    adopted: str | None,
    packaged: bool,
    patience: float,
) -> Outcome:
    splits = cell.config.data.load()
    # The processor is not part of the identity, so that a study has the same declaration on every machine.
    tags = {**identity(cell.config, splits, device), "processor": processor()}
    with ExitStack() as held:

        def create() -> str:
            kept = {**_first(cell), **tags}
            return tracker.sole(cell.run_name, {"cell": tags["cell"]}, tags=kept, parent=parent, adopted=adopted)

        waits = _Waits(cell, patience)
        run, check = _take(tags["cell"], tracker, create, held, waits)
        if run.status != "FINISHED":
            if tracker.spools:
                others = partial(waits, "another process")
                held.enter_context(alone(tracker.checkpoints, tags["cell"], patience, others))
                folder = tracker.checkpoints / tags["cell"]
                head = {"cell": tags["cell"], "tags": tags, "parent": parent, "adopted": adopted}
                with spooled(folder, tracker, run, check, head) as spool:
                    _conclude(_Job(cell, splits, tags, tracker, spool, run, spool.check), report)
                    if packaged and PACKAGED not in run.tags:
                        weights = folder / Path(BEST_FILE).name
                        pack(cell, spool, run.id, weights if weights.is_file() else best_of(run, tracker))
                run_id = spool.run_id
            else:
                run_id = run.id
                with tracker.ending(run_id, check):
                    _conclude(_Job(cell, splits, tags, tracker, tracker, run, check), report)
                    if packaged:
                        package(cell, tracker, run_id)
            with suppress(AwayError), at_once():  # otherwise the next command that finds the run finished clears it
                clear([tracker.get(run_id)], tracker)
            return Outcome(run_id, reused=False)
    return _reuse(cell, tracker, run, packaged)


@dataclass(frozen=True)
class _Waits:
    """Reports that this process waits for another one that trains the cell."""

    cell: Cell
    patience: float

    def __call__(self, owner: str) -> None:
        if self.patience > 0:
            say(f"{self.cell.name}: waiting for {owner}, which trains it")


def _take(key: str, tracker: Tracker, create: Callable[[], str], held: ExitStack, waits: _Waits) -> tuple[Run, Check]:
    """Return the run of a cell, and the check of its ownership.

    The run is finished, or it is owned until `held` closes; if a server is unreachable, it has no id.
    """
    try:
        runs = tracker.find(cell=key)
        if finished := [run for run in runs if run.status == "FINISHED"]:
            return finished[0], _nothing
        run_id = runs[-1].id if runs else create()
        check = held.enter_context(tracker.own(run_id, waits.patience, waits))
        return tracker.get(run_id), check  # read again: another process may have finished the run before it was owned
    except AwayError:
        held.close()
        if not tracker.spools:
            raise
        return Run("", waits.cell.run_name, "RUNNING"), _nothing


def _nothing() -> None:
    pass


def _reuse(cell: Cell, tracker: Tracker, run: Run, packaged: bool) -> Outcome:
    clear([run], tracker)
    if packaged and PACKAGED not in run.tags:
        with tracker.own(run.id, inf):
            package(cell, tracker, run.id)
    return Outcome(run.id, reused=True)


def _first(cell: Cell) -> dict[str, str]:
    """Return the tags to write first: MLflow shows tags in the order of writing, and these are the ones people look for."""
    return {"model": cell.model, "seed": str(cell.config.seed), "dataset": cell.config.data.name}


def _conclude(job: _Job, report: Report) -> None:
    """Train a cell and record what its run lacks, unless the run has everything already."""
    if concluded(job.run):
        return
    cell, recorder, run_id = job.cell, job.recorder, job.run.id
    shown = {**_first(cell), "mlflow.note.content": note(cell), **({COLOUR: cell.colour} if cell.colour else {})}
    recorder.set_tags(run_id, {**job.tags, **commit(), **stream_tags(cell.config), **shown})
    evidence = Evidence(recorder, run_id)
    describe(cell, job.splits, job.tags, evidence)
    _train(job, evidence, report)


def _train(job: _Job, evidence: Evidence, report: Report) -> None:
    recorder, run_id = job.recorder, job.run.id
    unfinished = Unfinished(job.tags["cell"], job.tracker, job.run, recorder)
    splits = job.splits.to(resolve_device(job.tags["device"]))
    precision = job.tags["precision"]
    config = job.cell.config
    state = unfinished.load()
    memory = PeakMemory(splits.train.labels.device, earlier=state.get("peak_memory_bytes", 0))
    training = start(config, splits, splits.train.labels.device)
    if state:
        training.load_state_dict(state)
    history: History = state.get("history", [])
    best = state.get("best", {})
    logged = job.run.epochs
    for row in history:
        if row["epoch"] > logged:
            recorder.log_metrics(run_id, curves_of(row), step=int(row["epoch"]))
    labels = {"validation": splits.validation.labels.cpu(), "test": splits.test.labels.cpu()}
    epochs = fit(training, splits, config, precision)
    while not out_of_patience(history, config.train.patience) and (epoch := next(epochs, None)):
        _check_answers(epoch)
        history.append({"epoch": epoch.number, **metrics_of(epoch, labels)})
        job.check()
        if epoch.number > logged:
            recorder.log_metrics(run_id, curves_of(history[-1]), step=epoch.number)
        if best_epoch(history) == epoch.number:
            weights = deepcopy(training.model.state_dict())
            best = {"model": weights, "epoch": epoch.number, "cell": unfinished.cell}
        unfinished.save({**training.state_dict(), "history": history, "best": best, **memory.metrics()})
        report(job.cell, history)
    training.model.load_state_dict(best["model"])
    scalars = record(
        job.cell, splits.test, training.model, history, memory.metrics(),
        precision=precision, evidence=evidence,
    )  # fmt: skip
    checkpoint.save(unfinished.folder / Path(BEST_FILE).name, best)
    evidence.log_file(unfinished.folder / Path(BEST_FILE).name, CHECKPOINTS)
    evidence.seal()
    # The scalars are recorded last and in one batch: if a run has them, it has all files with their digests (`concluded`).
    recorder.log_scalars(run_id, scalars)


def _check_answers(epoch: Epoch) -> None:
    """Raise FloatingPointError if the loss on validation or test after an epoch is not finite."""
    for split, score in {"validation": epoch.validation, "test": epoch.test}.items():
        if score and not isfinite(score.loss):
            raise FloatingPointError(
                f"training: {split} loss must be finite, got {score.loss} after the last step of epoch {epoch.number}. "
                "Lower train.learning_rate, or set train.clip_norm."
            )
