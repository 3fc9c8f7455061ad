"""A worker of an ablation study: it claims trials one after another, and trains each with the study's seeds."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from math import inf
from statistics import fmean
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.trial import Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from pipeline.ablation.queue import Queue
from pipeline.ablation.space import AblationStudy, Point
from pipeline.errors import disk_error, one_line
from pipeline.evidence import read
from pipeline.placement import fits
from pipeline.run_record import HISTORY_FILE, log_line
from pipeline.stored_study import TRIAL_KIND
from pipeline.study import Cell
from pipeline.tracking import BrokenError, Connection, Stopped, retaken
from pipeline.train import run_cell
from pipeline.training.choice import History, best_epoch

Progress = tuple[int, float, str]
"""An epoch of a trial: the trial's number, the seconds of the epoch, a line about it. Negative seconds: the trial has ended."""
ENDED = -1.0
SCORED = ("validation_accuracy", "validation_loss", "test_accuracy", "parameters", "epoch_seconds", "epochs")
"""Scores that are kept for each seed of a trial."""
CONDITIONS = {
    "torch_version": "builds of torch",
    "precision": "precisions",
    "device": "devices",
    "lstm_kernel": "kernels of the LSTM",
    "shared_code_digest": "versions of the code that all models share",
}
"""Conditions that must be the same in all trials, so that differences are due to the settings: tag to words."""


@dataclass(frozen=True)
class Shift:
    """The arguments of one worker."""

    study: AblationStudy
    storage: str
    connection: Connection
    parent: str
    device: str
    ends: float = inf
    """The deadline in seconds since 1970, because a worker may be on another machine."""
    seconds: float = 0.0
    """Expected seconds of a trial."""


def work(shift: Shift, notify: Callable[[Progress], None]) -> None:
    """Run trials in the current process until none waits or the time is over."""
    queue, longest = Queue(shift.study, shift.storage), shift.seconds
    try:
        while fits(longest, shift.ends - time.time()) and (trial := retaken(queue.claim)):
            began = time.monotonic()
            with queue.beat(trial):
                retaken(partial(_run, trial, queue, shift, notify))
            longest = max(longest, time.monotonic() - began)
            notify((trial.number, ENDED, ""))
    finally:
        queue.close()


def _run(trial: Trial, queue: Queue, shift: Shift, notify: Callable[[Progress], None]) -> None:
    """Train one trial, and record how it ended, also by an error, in its run and in the queue.

    BrokenError is raised again without a record: the locks of the trial were released, and the trial is taken again.
    """
    tracker, run_id = shift.connection.tracker, ""
    try:
        point = queue.suggest(trial)
        run_id = trial_run(shift, trial.number, f"t{trial.number} {point.name}")
        with tracker.hold(run_id) as check:
            tracker.log_params(run_id, point.overrides)
            seat = _Seat(trial, point, queue, shift, run_id)
            scores = [_train_seed(seat, index, notify) for index in range(len(shift.study.seeds))]
            values = [fmean(score[goal] for score in scores) for goal in shift.study.how.objectives]
            means = {key: fmean(score[key] for score in scores) for key in SCORED}
            check()  # checked before recording: another process that took the trial would record it a second time
            tracker.log_scalars(run_id, {**means, "seeds": len(scores)})
    except BrokenError:  # the lock was released with its connection: not a result of the trial
        raise
    except Stopped as reason:
        queue.end(trial, TrialState.PRUNED, str(reason))
    except (KeyboardInterrupt, SystemExit):
        queue.release(trial.number)
        raise
    except Exception as error:
        if full := disk_error(error, shift.storage):  # not a result of the trial
            # The queue's disk may be full, too: the next command makes the trials of dead processes wait again.
            with suppress(SQLAlchemyError, StorageInternalError):
                queue.release(trial.number)
            raise full from error
        if run_id:
            tracker.get(run_id)  # an unreachable store must end the worker and not count as a failure of the trial
        queue.end(trial, TrialState.FAIL, one_line(error))
    else:
        queue.finish(trial, values, [{**score, "run_id": run_id} for score in scores])


def trial_run(shift: Shift, number: int, name: str) -> str:
    """Return the run of a trial, nested under the study's; it is created if the store has none."""
    tags = {"kind": TRIAL_KIND, "ablation": shift.study.id, "trial": str(number), "parent": shift.parent}
    known = shift.connection.tracker.find(**tags)
    return known[0].id if known else shift.connection.tracker.create(name, parent=shift.parent, tags=tags)


@dataclass(frozen=True)
class _Seat:
    """A trial that is being trained."""

    trial: Trial
    point: Point
    queue: Queue
    shift: Shift
    run_id: str


def _train_seed(seat: _Seat, index: int, notify: Callable[[Progress], None]) -> dict[str, Any]:
    """Train or reuse one cell of a trial, and return its scores."""
    study, tracker, name = seat.shift.study, seat.shift.connection.tracker, seat.point.name
    seed = study.seeds[index]
    config = seat.point.config.model_copy(update={"seed": seed})
    began = time.monotonic()

    def report(_cell: Cell, history: History) -> None:
        nonlocal began
        now = time.monotonic()
        notify((seat.trial.number, now - began, f"{name}, seed {seed} {log_line(history[-1], config.train.epochs)}"))
        began = now
        _note(seat, index, history)
        if study.how.pruning != "none" and seat.trial.should_prune():
            raise Stopped(f"pruned: below the median of the trials before it at epoch {len(history)} of seed {seed}")

    outcome = run_cell(
        Cell(name, config, f"t{seat.trial.number}"),
        tracker,
        device=seat.shift.device,
        report=report,
        parent=seat.run_id,
        packaged=False,  # a search trains many models and uses few
    )
    run = tracker.get(outcome.run_id)
    history: History = json.loads(read(run, [HISTORY_FILE], tracker)[HISTORY_FILE].read_text(encoding="utf-8"))
    _note(seat, index, history)
    best = history[best_epoch(history) - 1]
    return {
        "seed": seed,
        "cell": outcome.run_id,
        "validation_accuracy": best["validation/accuracy"],
        "validation_loss": best["validation/loss"],
        **{key: run.metrics[key] for key in SCORED if key in run.metrics},
        **{key: run.tags[key] for key in CONDITIONS if key in run.tags},
    }


def _note(seat: _Seat, index: int, history: History) -> None:
    """Report the best accuracy so far of a seed to the pruner, at each of its epochs; a step is an epoch of one seed."""
    if seat.shift.study.how.pruning == "none":
        return
    highest = accumulate((row["validation/accuracy"] for row in history), max)
    seat.queue.note(seat.trial, dict(enumerate(highest, index * seat.shift.study.most_epochs + 1)))
