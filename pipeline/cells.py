"""The distribution of a study's cells to workers: their order, cells that other processes train, and the time that is left.

A cell that another process trains is left to that process at first. When no other cell is left, this process waits for such
cells in turn, each for a while, so that it can take over the cell of a process that died.
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
"""How long to wait for the cell of another process before waiting for the next one."""
LOOK_SECONDS = 5.0
"""Least seconds between two requests to the store for what other processes have done."""


@dataclass(frozen=True)
class CellTask:
    """One cell to train, as it is sent to a worker."""

    cell: Cell
    device: str
    connection: Connection
    parent: str
    probed: bool
    patience: float = 0.0
    """How many seconds to wait for the cell if another process trains it."""


@dataclass(frozen=True)
class Estimate:
    """The epochs that cells have left, and the seconds of one epoch, both by the cells' names."""

    epochs: Mapping[str, int]
    seconds: Mapping[str, float]

    def cost(self, name: str) -> float:
        """Return the seconds that a cell is expected to take."""
        return self.epochs[name] * self.seconds[name] + STORING_SECONDS


def identities_of(cells: Sequence[Cell], device: str) -> dict[str, dict[str, str]]:
    """Return the identity of each cell, by the cell's name; UsageError if two cells have the same."""
    identities = {cell.name: identity(cell.config, cell.config.data.load(), device) for cell in cells}
    owners: dict[str, str] = {}
    for name, tags in identities.items():
        if (owner := owners.setdefault(tags["cell"], name)) != name:
            raise UsageError(
                f"variants: must differ from one another, got the same config for {owner} and {name}. Drop one."
            )
    return identities


def estimated(cells: Sequence[Cell], device: str, epochs: Mapping[str, int]) -> Estimate:
    """Train a few updates of each model to estimate how long its cells take; `epochs` are those that each cell has left, by name."""
    phase("estimating how long that takes")
    one_a_model = {cell.model: cell for cell in cells}
    seconds = {model: epoch_seconds(cell.config, device) for model, cell in one_a_model.items()}
    return Estimate(epochs, {cell.name: seconds[cell.model] for cell in cells})


def epochs_left(cell: Cell, key: str, tracker: Tracker) -> int:
    """Return how many epochs a cell has left after its checkpoint on this machine; all of them without a checkpoint."""
    state, _ = newest(tracker.checkpoints / key, key)
    return cell.config.train.epochs - int(state.get("epoch", 0))


def ordered(cells: Sequence[Cell], estimate: Estimate, workers: int) -> list[Cell]:
    """Return the cells in the order in which workers take them."""
    seeds = {seed: number for number, seed in enumerate(dict.fromkeys(cell.config.seed for cell in cells))}
    costs = [Cost(seeds[cell.config.seed], estimate.cost(cell.name)) for cell in cells]
    return [cells[place] for place in order(costs, workers)]


class Offers:
    """An iterator of cells for workers that ask for one. It may be exhausted and have another cell later, after a result."""

    def __init__(self, tasks: Sequence[CellTask], seconds: Callable[[CellTask], float], ends: float) -> None:
        """Offer `tasks` in this order, each only if its `seconds` fit into the time until `ends`, of `time.monotonic`."""
        self._free, self._busy = deque(tasks), deque[CellTask]()
        self._seconds, self._ends = seconds, ends
        self.left: list[CellTask] = []
        """Tasks that did not fit into the time."""

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
        """Offer a cell again after all cells that no other process trains."""
        self._busy.append(task)

    @property
    def waiting(self) -> list[CellTask]:
        """Tasks that are still to be offered."""
        return [*self._free, *self._busy]

    def drop(self, tasks: Sequence[CellTask]) -> None:
        """Stop offering these tasks."""
        names = {task.cell.name for task in tasks}
        self._free = deque(task for task in self._free if task.cell.name not in names)
        self._busy = deque(task for task in self._busy if task.cell.name not in names)


@dataclass(frozen=True)
class Workers:
    """The workers that train cells, and their deadline."""

    count: int
    launch: Launch
    ends: float = inf
    """The deadline, of `time.monotonic`."""


def train_cells(
    tasks: Sequence[CellTask],
    identities: Mapping[str, Mapping[str, str]],
    workers: Workers,
    left: list[CellTask],
    failed: frozenset[str] = frozenset(),
) -> Iterator[tuple[CellTask, Outcome | Exception]]:
    """Train cells in workers and yield each when it ends, with its outcome or the error that ended it.

    Cells for which the time does not suffice are added to `left`. A cell that failed in another process is not tried again,
    unless its identity is in `failed`: those cells had failed before this command began.
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
    """Remove from the offers the cells that other processes have ended, and yield them; postpone the cells that they train."""
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
        # An error of a probe must not fail the trained run; the analysis repeats a missing measurement and raises its error.
        with suppress(Exception):
            probe_tables([(outcome.run_id, task.cell.model, task.cell.config.seed)], tracker)
    return outcome
