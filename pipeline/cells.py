"""The cells of a study on their way to workers: which comes next, what other processes train, and what fits into the time left.

A cell that another process trains is left to it at first. When nothing else is left it is waited for, one after another for a
while, so that whoever waits goes on with the cell of a process that has died.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf

from pipeline.console import Meter, duration, phase
from pipeline.errors import RunError, UsageError
from pipeline.estimate import ANALYSIS_SECONDS, STORING_SECONDS, epoch_seconds
from pipeline.identity import identity
from pipeline.launch import Launch, Notify
from pipeline.placement import Cost, fits, order
from pipeline.probes.tables import probe_tables
from pipeline.run_record import log_line
from pipeline.stored_study import runs_of
from pipeline.study import Cell
from pipeline.tracking import BusyError, Connection, Tracker
from pipeline.train import Outcome, run_cell
from pipeline.training.choice import History
from pipeline.unfinished import newest

BUSY_SECONDS = 20.0
"""How long the cell of another process is waited for before the next one is."""
LOOK_SECONDS = 5.0
"""How often, at most, the store is asked what other processes have done."""


@dataclass(frozen=True)
class CellTask:
    """One cell, for whichever process trains it."""

    cell: Cell
    device: str
    connection: Connection
    parent: str
    probed: bool
    patience: float = 0.0
    """How long it is waited for where another process has it."""


@dataclass(frozen=True)
class Estimate:
    """What is to be trained of cells, by name, and what an epoch of each takes."""

    epochs: Mapping[str, int]
    seconds: Mapping[str, float]

    def cost(self, name: str) -> float:
        """Return the seconds that a cell is expected to take."""
        return self.epochs[name] * self.seconds[name] + STORING_SECONDS


def identities_of(cells: Sequence[Cell], device: str) -> dict[str, dict[str, str]]:
    """Return what each cell is, by its name; UsageError where two are the same."""
    identities = {cell.name: identity(cell.config, cell.config.data.load(), device) for cell in cells}
    owners: dict[str, str] = {}
    for name, tags in identities.items():
        if (owner := owners.setdefault(tags["cell"], name)) != name:
            raise UsageError(
                f"variants: must differ from one another, got the same config for {owner} and {name}. Drop one."
            )
    return identities


def estimated(cells: Sequence[Cell], device: str, epochs: Mapping[str, int]) -> Estimate:
    """Train a few updates of each model to see how long its cells take; `epochs` are those that are left of each, by name."""
    phase("estimating how long that takes")
    one_a_model = {cell.model: cell for cell in cells}
    seconds = {model: epoch_seconds(cell.config, device) for model, cell in one_a_model.items()}
    return Estimate(epochs, {cell.name: seconds[cell.model] for cell in cells})


def epochs_left(cell: Cell, key: str, tracker: Tracker) -> int:
    """Return how many epochs the checkpoint on this machine, if there is one, leaves of a cell."""
    state, _ = newest(tracker.checkpoints / key, key)
    return cell.config.train.epochs - int(state.get("epoch", 0))


def ordered(cells: Sequence[Cell], estimate: Estimate, workers: int) -> list[Cell]:
    """Return the cells in the order in which workers take them."""
    seeds = {seed: number for number, seed in enumerate(dict.fromkeys(cell.config.seed for cell in cells))}
    costs = [Cost(seeds[cell.config.seed], estimate.cost(cell.name)) for cell in cells]
    return [cells[place] for place in order(costs, workers)]


class Offers:
    """Cells, one after another, as workers ask for them. It may have none now, and another one when a result has come."""

    def __init__(self, tasks: Sequence[CellTask], seconds: Callable[[CellTask], float], ends: float) -> None:
        """Offer these, in this order, as long as the seconds that one takes fit into the time until `ends`, of `time.monotonic`."""
        self._free, self._busy = deque(tasks), deque[CellTask]()
        self._seconds, self._ends = seconds, ends
        self.left: list[CellTask] = []
        """Those that did not fit."""

    def __iter__(self) -> Iterator[CellTask]:
        return self

    def __next__(self) -> CellTask:
        while self._free or self._busy:
            task = self._free.popleft() if self._free else replace(self._busy.popleft(), patience=BUSY_SECONDS)
            if fits(self._seconds(task), self._ends - time.monotonic()):
                return task
            self.left.append(task)
        raise StopIteration

    def postpone(self, task: CellTask) -> None:
        """Offer a cell again when those that nobody has are gone."""
        self._busy.append(task)

    @property
    def waiting(self) -> list[CellTask]:
        """Those that are still to be offered."""
        return [*self._free, *self._busy]

    def drop(self, tasks: Sequence[CellTask]) -> None:
        """Offer these no more."""
        names = {task.cell.name for task in tasks}
        self._free = deque(task for task in self._free if task.cell.name not in names)
        self._busy = deque(task for task in self._busy if task.cell.name not in names)


@dataclass(frozen=True)
class Workers:
    """What trains cells, and until when."""

    count: int
    launch: Launch
    ends: float = inf
    """When the time is over, of `time.monotonic`."""


def train_cells(
    tasks: Sequence[CellTask],
    identities: Mapping[str, Mapping[str, str]],
    workers: Workers,
    left: list[CellTask],
    failed: frozenset[str] = frozenset(),
) -> Iterator[tuple[CellTask, Outcome | Exception]]:
    """Train cells in workers and yield each when it ends, with its outcome or the error that ended it.

    Those for which the time does not suffice are added to `left`. A cell that another process has failed to train is not
    tried again, unless it is one of `failed`, by their identities: those had failed before this command.
    """
    if not tasks:
        return
    by_name = {task.cell.name: task for task in tasks}
    cells, tracker = [task.cell for task in tasks], tasks[0].connection.tracker
    epochs = {cell.name: epochs_left(cell, identities[cell.name]["cell"], tracker) for cell in cells}
    estimate = estimated(cells, tasks[0].device, epochs)
    learned = {cell.model: estimate.seconds[cell.name] for cell in cells}
    count = min(workers.count, len(tasks))
    meter = Meter(estimate.epochs, estimate.seconds, count, beside=STORING_SECONDS)
    after = f", and then {duration(ANALYSIS_SECONDS)} of analysis" if tasks[0].probed else ""
    phase(f"training {sum(epochs.values())} epochs, about {duration(meter.seconds_left)} with {count} worker(s){after}")
    offers = Offers(
        [by_name[cell.name] for cell in ordered(cells, estimate, count)],
        lambda task: epochs[task.cell.name] * learned[task.cell.model],
        workers.ends,
    )
    looked = -inf

    def heard(message: tuple[str, float | None, str]) -> None:
        name, took, text = message
        model = by_name[name].cell.model
        if took is not None:
            learned[model] = took
        meter.advance(name, learned[model], text)

    with meter:
        for task, result in workers.launch(offers, _work, workers=count, notify=heard):
            others = isinstance(result, BusyError) or (isinstance(result, Outcome) and result.reused)
            if isinstance(result, BusyError):
                offers.postpone(task)
            else:
                meter.end(task.cell.name)
                yield task, result
            if others and time.monotonic() - looked > LOOK_SECONDS:
                for ended, outcome in _look(offers, identities, failed):
                    meter.end(ended.cell.name)
                    yield ended, outcome
                looked = time.monotonic()
    left += offers.left


def _look(
    offers: Offers, identities: Mapping[str, Mapping[str, str]], failed: frozenset[str]
) -> Iterator[tuple[CellTask, Outcome | Exception]]:
    """Take out of the offers what other processes have ended, and yield it; put off what they train."""
    waiting = offers.waiting
    if not waiting:
        return
    runs = runs_of([identities[task.cell.name] for task in waiting], waiting[0].connection.tracker)
    ended: list[tuple[CellTask, Outcome | Exception]] = []
    busy: list[CellTask] = []
    for task in waiting:
        run = runs.get(key := identities[task.cell.name]["cell"])
        if run and run.status == "FINISHED":
            ended.append((task, Outcome(run.id, reused=True)))
        elif run and run.status == "FAILED" and key not in failed:
            ended.append((task, failure_of(run.tags)))
        elif run and run.status == "RUNNING" and task.patience == 0:
            busy.append(task)
    offers.drop([*(task for task, _ in ended), *busy])
    for task in busy:
        offers.postpone(task)
    yield from ended


def failure_of(tags: Mapping[str, str]) -> RunError:
    """Return the error by which another process has failed to train a cell, from the tags of its run."""
    error = tags.get("error", "").partition("\n")[0].rstrip(".") or "it does not say by what"
    return RunError(
        f"run: must be trained to its end, got one that {tags.get('owner', 'another process')} failed to train ({error}). "
        "Correct that, and run the same command again."
    )


def _work(task: CellTask, notify: Notify) -> Outcome:
    """Train one cell, in whichever process this is."""
    began: float | None = None

    def report(cell: Cell, history: History) -> None:
        nonlocal began
        now = time.monotonic()
        # Nobody knows what the first one took: other processes were waited for before it, and data loaded.
        took = None if began is None else now - began
        notify((cell.name, took, f"{cell.name} {log_line(history[-1], cell.config.train.epochs)}"))
        began = now

    tracker = task.connection.tracker
    outcome = run_cell(
        task.cell, tracker, device=task.device, report=report, parent=task.parent, patience=task.patience
    )
    if task.probed:
        # The run is trained, whatever a probe does; the analysis measures again what is missing, and meets its error.
        with suppress(Exception):
            probe_tables([(outcome.run_id, task.cell.model, task.cell.config.seed)], tracker)
    return outcome
