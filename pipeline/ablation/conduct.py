"""Conducts an ablation study: opens it, lets workers run its trials, and waits for those of other processes."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from optuna.trial import FrozenTrial, TrialState

from analysis.wording import plural
from pipeline.ablation.queue import Queue, without_replaced
from pipeline.ablation.space import AblationStudy
from pipeline.ablation.storage import Place
from pipeline.ablation.worker import ENDED, Progress, Shift, work
from pipeline.console import Meter, duration, say
from pipeline.errors import RunError
from pipeline.estimate import epoch_seconds
from pipeline.identity import identity
from pipeline.launch import run_tasks
from pipeline.settings import Values
from pipeline.stored_study import ABLATION_KIND, declare, finished_runs, open_parent
from pipeline.study import Cell
from pipeline.tracking import BusyError, Check, Connection, Tracker

POLL_SECONDS = 2.0
"""How often the trials of other processes are looked at."""


@contextmanager
def conduct(
    study: AblationStudy, tracker: Tracker, *, storage: str, workers: int, device: str, adopted: str | None = None
) -> Iterator[tuple[str, Queue]]:
    """Run every trial that the study lacks; yield its parent run, which is held meanwhile, and its queue.

    `adopted` is a run that somebody created for this call: it becomes the parent where the study has none yet. A process
    that finds the parent held by another one helps with the trials, waits for the other, and then holds the parent
    itself. Where points of a list failed, `RunError` names them at the end.
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
            _run_trials(Shift(study, storage, Connection(tracker), parent, device), queue, workers)
            while not (check := check or _hold(tracker, parent, held)):
                time.sleep(POLL_SECONDS)
            check()  # rather than after a conclusion that another process would then draw again
            with queue.alone("conclusion"):
                yield parent, queue
            _check_failed(study, queue.trials())
    finally:
        queue.close()


def _hold(tracker: Tracker, parent: str, held: ExitStack) -> Check | None:
    """Hold the parent run until `held` closes; nothing where another process holds it."""
    try:
        return held.enter_context(tracker.hold(parent))
    except BusyError:
        return None


def _check_failed(study: AblationStudy, trials: Sequence[FrozenTrial]) -> None:
    """Refuse to call a study done of which a listed point failed; a search has others to choose from."""
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
    """Return how the study was asked for; what only a search has is left out of the others."""
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


def _run_trials(shift: Shift, queue: Queue, workers: int) -> None:
    study, tracker = shift.study, shift.connection.tracker
    # What the dead left first: a point of theirs is there, and gets no other trial.
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
        meter = Meter(epochs, dict.fromkeys(epochs, seconds), workers)
        say(f"{sum(epochs.values())} epochs to train, about {duration(meter.seconds_left)} with {workers} worker(s)")

        def heard(message: Progress, meter: Meter = meter) -> None:
            number, took, text = message
            meter.end(str(number)) if took == ENDED else meter.advance(str(number), took, text)

        with meter:
            for _, result in run_tasks([shift] * workers, work, workers=workers, notify=heard):
                if isinstance(result, Exception):
                    raise result
        left = _await_others(queue)


def _await_others(queue: Queue) -> list[Place]:
    """Wait while other processes run trials; return the trials to run when one of them is left waiting, or none."""
    said = False
    while left := queue.open_trials():
        queue.recover()
        if queue.has_waiting():
            return left
        if not said:
            say(f"waiting for {len(left)} trial(s) of other processes")
            said = True
        time.sleep(POLL_SECONDS)
    return []
