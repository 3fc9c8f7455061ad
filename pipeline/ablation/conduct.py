"""The conduct of an ablation study: it is opened, workers run its trials, and trials of other processes are waited for."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from math import inf

from optuna.trial import FrozenTrial, TrialState

from analysis.wording import plural
from pipeline.ablation.queue import Queue, left_of, without_replaced
from pipeline.ablation.space import AblationStudy
from pipeline.ablation.storage import Place
from pipeline.ablation.worker import ENDED, Progress, Shift, work
from pipeline.console import Meter, duration, say
from pipeline.errors import RunError, TimeUpError
from pipeline.estimate import STORING_SECONDS, epoch_seconds
from pipeline.identity import identity
from pipeline.launch import Launch, run_tasks
from pipeline.settings import Values
from pipeline.stored_study import ABLATION_KIND, declare, finished_runs, open_parent
from pipeline.study import Cell
from pipeline.tracking import BusyError, Check, Connection, Tracker

POLL_SECONDS = 2.0
"""Seconds between two looks at the trials of other processes."""


@contextmanager
def conduct(
    study: AblationStudy,
    tracker: Tracker,
    *,
    storage: str,
    workers: int,
    device: str,
    adopted: str | None = None,
    launch: Launch = run_tasks,
    ends: float = inf,
) -> Iterator[tuple[str, Queue]]:
    """Run every trial that the study lacks; yield its parent run, which is owned while the context is open, and its queue.

    `adopted` is a run that the caller created: it becomes the parent if the study has none yet. A process that finds the parent
    owned by another one helps with the trials, waits for the other process, and then owns the parent itself. `launch` starts the
    workers. RunError at the end if points of a list failed; TimeUpError if trials are left that would last beyond `ends`, of
    `time.monotonic`.
    """
    queue = Queue(study, storage)
    try:
        with queue.alone("parent"):
            tags = {"kind": ABLATION_KIND, "study": study.id, "study_name": study.name}
            parent = open_parent(study.name, tags, tracker, adopted)
        queue.refer(f"{tracker.site}{tracker.page(parent)}" or parent)
        with ExitStack() as held:
            check = _hold(tracker, parent, held)
            if not check:
                say("another process conducts this study; this one helps with its trials")
            tracker.log_params(parent, _asked_for(study))
            _declare(study, tracker, parent, device)
            until = time.time() + ends - time.monotonic()
            _run_trials(Shift(study, storage, Connection(tracker), parent, device, until), queue, workers, launch)
            while not (check := check or _hold(tracker, parent, held)):
                _pause(until)
            check()  # checked before the conclusion: another process would otherwise conclude the study a second time
            with queue.alone("conclusion"):
                yield parent, queue
            _check_failed(study, queue.trials())
    finally:
        queue.close()


def _hold(tracker: Tracker, parent: str, held: ExitStack) -> Check | None:
    """Own the parent run until `held` closes, and return its check; None if another process owns it."""
    try:
        return held.enter_context(tracker.hold(parent))
    except BusyError:
        return None


def _check_failed(study: AblationStudy, trials: Sequence[FrozenTrial]) -> None:
    """Raise RunError if a listed point failed; a search can do without the trials that failed."""
    failed = [trial for trial in without_replaced(trials) if trial.state == TrialState.FAIL]
    if not failed:
        return
    why = f"the first is number {failed[0].number}: {failed[0].user_attrs.get('why', '')}"
    if not study.design.searches:
        raise RunError(f"{plural(len(failed), 'trial')} failed, {why} The same command tries points of a list again.")
    if len(failed) == len(trials):
        raise RunError(f"all {plural(len(failed), 'trial')} failed, {why}")
    say(f"{plural(len(failed), 'trial')} failed, {why}")


def _asked_for(study: AblationStudy) -> Values:
    """Return the settings of the study itself; those of a search are left out for other designs."""
    how = study.how.model_dump(mode="json", exclude=set() if study.design.searches else {"trials", "budget"})
    lists = {"objectives": ",".join(study.how.objectives), "seeds": ",".join(map(str, study.seeds))}
    return {**how, **study.base, **lists}


def _declare(study: AblationStudy, tracker: Tracker, parent: str, device: str) -> None:
    """Store the plan of named changes, which are compared on the test split, before the first of them is trained."""
    if not study.design.named:
        return
    cells = [
        Cell(point.name, point.config.model_copy(update={"seed": seed}))
        for point in study.points
        for seed in study.seeds
    ]
    identities = {cell.name: identity(cell.config, cell.config.data.load(), device) for cell in cells}
    known = finished_runs(list(identities.values()), tracker)
    finished = [name for name, tags in identities.items() if tags["cell"] in known]
    declare(study.plan, cells, identities, finished=finished, tracker=tracker, parent=parent)


def foresee(study: AblationStudy, storage: str, *, workers: int, device: str) -> None:
    """Print what a study would run and how long that takes; nothing is started."""
    left, total = left_of(study, storage)
    say(f"{study.name} (study {study.id}): {total - len(left)} of {total} trials are ended, {len(left)} to run")
    if left:
        configs = [study.design.foreseen(study, point) for point in left]
        epochs = sum(config.train.epochs for config in configs) * len(study.seeds)
        workers = min(workers, len(left))
        storing = STORING_SECONDS * len(left) * len(study.seeds)
        seconds = (epochs * epoch_seconds(configs[0], device) + storing) / workers
        say(f"{epochs} epochs, about {duration(seconds)} with {workers} worker(s); nothing was started")


def _run_trials(shift: Shift, queue: Queue, workers: int, launch: Launch) -> None:
    study, tracker = shift.study, shift.connection.tracker
    # Trials of dead processes come first: their points have a trial already, and get no second one.
    queue.recover()
    queue.fill()
    left, total = queue.open_trials(), len(queue.places())
    tracker.set_tags(shift.parent, {"trials": str(total)})
    say(f"{study.name} (study {study.id}): {total - len(left)} of {total} trials are ended, {len(left)} to run")
    while left:
        configs = {place.number: study.design.foreseen(study, place.point) for place in left}
        seconds = epoch_seconds(configs[left[0].number], shift.device)
        epochs = {str(number): config.train.epochs * len(study.seeds) for number, config in configs.items()}
        workers = min(workers, len(left))
        meter = Meter(epochs, dict.fromkeys(epochs, seconds), workers, beside=STORING_SECONDS * len(study.seeds))
        say(f"{sum(epochs.values())} epochs to train, about {duration(meter.seconds_left)} with {workers} worker(s)")

        def heard(message: Progress, meter: Meter = meter) -> None:
            number, took, text = message
            meter.end(str(number)) if took == ENDED else meter.advance(str(number), took, text)

        with meter:
            shift = replace(shift, seconds=seconds * configs[left[0].number].train.epochs * len(study.seeds))
            for _, result in launch([shift] * workers, work, workers=workers, notify=heard):
                if isinstance(result, Exception):
                    raise result
        if shift.ends < inf and queue.has_waiting():
            raise TimeUpError(
                f"--time-left: must suffice for all trials, got {len(queue.open_trials())} of {total} that would last longer. "
                "Run the same command again, it goes on with them."
            )
        left = _await_others(queue, shift.ends)


def _await_others(queue: Queue, ends: float) -> list[Place]:
    """Wait while other processes run trials; return the open trials once one of them waits for a worker, or none at the end."""
    said = False
    while left := queue.open_trials():
        queue.recover()
        if queue.has_waiting():
            return left
        if not said:
            say(f"waiting for {len(left)} trial(s) of other processes")
            said = True
        _pause(ends)
    return []


def _pause(ends: float) -> None:
    """Wait `POLL_SECONDS` for other processes; TimeUpError if the time of this process is over."""
    if time.time() > ends:
        raise TimeUpError(
            "--time-left: must suffice for the end of the study, which other processes have trials of, got none left. "
            "Run the same command again."
        )
    time.sleep(POLL_SECONDS)
