"""A worker of an ablation study: claims trials one after another and trains each over the study's seeds."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from optuna.trial import Trial, TrialState

from pipeline.ablation.queue import Queue
from pipeline.ablation.space import AblationStudy
from pipeline.config import RunConfig
from pipeline.errors import one_line
from pipeline.run_record import log_line
from pipeline.stored_study import TRIAL_KIND
from pipeline.study import Cell
from pipeline.tracking import Stopped, Tracker, connect_once
from pipeline.train import run_cell
from pipeline.training.choice import History, best_epoch

Progress = tuple[int, float, str]
"""An epoch of a trial: its number, the seconds that the epoch took, a line about it. Less than 0 seconds: it has ended."""
ENDED = -1.0


@dataclass(frozen=True)
class Shift:
    """What one worker process needs to know."""

    study: AblationStudy
    storage: str
    store: str
    parent: str
    device: str


def work(shift: Shift, notify: Callable[[Progress], None]) -> None:
    """Run trials until none waits."""
    work_off(shift, connect_once(shift.store), notify)


def work_off(shift: Shift, tracker: Tracker, notify: Callable[[Progress], None]) -> None:
    """Run trials until none waits, recording them in `tracker`."""
    queue = Queue(shift.study, shift.storage)
    try:
        while trial := queue.claim():
            with queue.beat(trial):
                _run(trial, queue, shift, tracker, notify)
            notify((trial.number, ENDED, ""))
    finally:
        queue.close()


def _run(trial: Trial, queue: Queue, shift: Shift, tracker: Tracker, notify: Callable[[Progress], None]) -> None:
    """Train one trial; whatever ends it, its run and its place in the queue say so."""
    run_id = ""
    try:
        name, overrides = queue.suggest(trial)
        run_id = trial_run(shift, tracker, trial.number, name)
        with tracker.hold(run_id):
            tracker.log_params(run_id, overrides)
            seat = _Seat(trial, name, shift.study.config(overrides), shift, tracker, run_id)
            scores = [_train_seed(seat, index, notify) for index in range(len(shift.study.seeds))]
            values = [_mean([score[goal] for score in scores]) for goal in shift.study.how.objectives]
            means = {key: _mean([score[key] for score in scores]) for key in MEASURES}
            tracker.log_metrics(run_id, {**means, "seeds": len(scores)})
    except Stopped as reason:
        queue.end(trial, TrialState.PRUNED, str(reason))
    except (KeyboardInterrupt, SystemExit):
        queue.release(trial.number)
        raise
    except Exception as error:  # noqa: BLE001 - any failure of a trial is a result of the study; its run holds the error
        if run_id:
            tracker.get(run_id)  # a store that has gone away ends the worker, not the trial
        queue.end(trial, TrialState.FAIL, one_line(error))
    else:
        queue.finish(trial, values, [{**score, "run_id": run_id} for score in scores])


def trial_run(shift: Shift, tracker: Tracker, number: int, name: str) -> str:
    """Return the run of a trial, nested under the study's, creating it where the store has none."""
    tags = {"kind": TRIAL_KIND, "ablation": shift.study.id, "trial": str(number), "parent": shift.parent}
    known = tracker.find(**tags)
    return known[0].id if known else tracker.create(name, parent=shift.parent, tags=tags)


MEASURES = ("validation_accuracy", "validation_loss", "test_accuracy", "parameters", "epoch_seconds", "epochs")
"""What is kept of each seed of a trial."""
IDENTITY = {
    "torch_version": "builds of torch",
    "precision": "precisions",
    "device": "devices",
    "shared_code_digest": "versions of the code that all models share",
}
"""What must be the same of all trials for their differences to be those of the settings, in words."""


@dataclass(frozen=True)
class _Seat:
    """A trial at work."""

    trial: Trial
    name: str
    config: RunConfig
    shift: Shift
    tracker: Tracker
    run_id: str


def _train_seed(seat: _Seat, index: int, notify: Callable[[Progress], None]) -> dict[str, Any]:
    """Train or find one cell of a trial and return what it brought."""
    study, seed = seat.shift.study, seat.shift.study.seeds[index]
    config = seat.config.model_copy(update={"seed": seed})
    began = time.monotonic()

    def report(_cell: Cell, history: History) -> None:
        nonlocal began
        now = time.monotonic()
        notify(
            (seat.trial.number, now - began, f"{seat.name}, seed {seed} {log_line(history[-1], config.train.epochs)}")
        )
        began = now
        _note(seat, index, history)
        if study.how.pruning != "none" and seat.trial.should_prune():
            raise Stopped(f"pruned: below the median of the trials before it at epoch {len(history)} of seed {seed}")

    outcome = run_cell(
        Cell(seat.name, config),
        seat.tracker,
        device=seat.shift.device,
        report=report,
        parent=seat.run_id,
        packaged=False,  # a search trains many models and keeps few
    )
    history: History = json.loads(seat.tracker.fetch(outcome.run_id, "history.json").read_text(encoding="utf-8"))
    _note(seat, index, history)
    best = history[best_epoch(history) - 1]
    run = seat.tracker.get(outcome.run_id)
    return {
        "seed": seed,
        "cell": outcome.run_id,
        "validation_accuracy": best["validation/accuracy"],
        "validation_loss": best["validation/loss"],
        **{key: run.metrics[key] for key in MEASURES if key in run.metrics},
        **{key: run.tags[key] for key in IDENTITY if key in run.tags},
    }


def _note(seat: _Seat, index: int, history: History) -> None:
    """Give the pruner the best accuracy so far of a seed at each of its epochs: a step is an epoch of one seed."""
    if seat.shift.study.how.pruning == "none":
        return
    first = index * seat.shift.study.most_epochs
    noted = seat.trial.study.get_trials(deepcopy=False)[seat.trial.number].intermediate_values
    for step, highest in enumerate(accumulate((row["validation/accuracy"] for row in history), max), first + 1):
        if step not in noted:
            seat.trial.report(highest, step)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
