"""Train a study: every variant over every seed, under one parent run; what is finished already is reused."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from analysis.figures.parts.style import colours
from pipeline.console import Meter, duration, phase, say
from pipeline.errors import RunError, UsageError, disk_error, one_line
from pipeline.estimate import epoch_seconds
from pipeline.identity import identity
from pipeline.launch import Notify, run_tasks
from pipeline.looks import check_looks, take_stored_looks, wanted_cells
from pipeline.manifest import CellEntry, Manifest
from pipeline.probes.tables import probe_tables
from pipeline.run_record import PACKAGED, log_line, package, record_data
from pipeline.stored_study import (
    STUDY_KIND,
    declare,
    described,
    finished_runs,
    open_parent,
    read_ledger,
    write_manifest,
)
from pipeline.study import Cell, Study
from pipeline.tracking import DELIVER, AwayError, Connection, Tracker, UnsentError, retaken
from pipeline.train import Outcome, run_cell
from pipeline.training.choice import History
from pipeline.unfinished import clear, newest


@dataclass(frozen=True)
class CellTask:
    """One cell, for whichever process trains it."""

    cell: Cell
    device: str
    connection: Connection
    parent: str
    probed: bool


def compare(
    study: Study, tracker: Tracker, *, workers: int, device: str, adopted: str | None = None, probed: bool = False
) -> str:
    """Train what is missing of a study and return the id of its parent run.

    A study whose plan has looks is trained up to each of them, and then only the variants with an undecided pair.
    `adopted` is a run that somebody created for this call: it becomes the parent where the study has none yet. Where an
    analysis follows, runs are `probed` by the workers that trained them, since the analysis itself is one process.
    """
    return retaken(lambda: _compare(study, tracker, workers=workers, device=device, adopted=adopted, probed=probed))


def _compare(study: Study, tracker: Tracker, *, workers: int, device: str, adopted: str | None, probed: bool) -> str:
    colour = colours(list(study.variants))
    cells = [replace(cell, colour=colour[cell.model]) for cell in study.cells()]
    identities = {cell.name: identity(cell.config, cell.config.data.load(), device) for cell in cells}
    _check_distinct(identities)
    check_looks(study, tracker)
    parent = open_parent(study.name, {"kind": STUDY_KIND, "study": study.id}, tracker, adopted)
    with tracker.hold(parent):
        sets = {
            (config.data.name, splits.digest): splits
            for config in study.variants.values()
            if (splits := config.data.load())
        }
        for (name, _), splits in sets.items():
            record_data(tracker, parent, name, splits)
        params = study.plan.model_dump(exclude=study.plan.idle())
        tracker.log_params(parent, {"models": ",".join(study.variants), **params})
        known = finished_runs(list(identities.values()), tracker)
        finished = {cell.name: run for cell in cells if (run := known.get(identities[cell.name]["cell"]))}
        clear(finished.values(), tracker)
        plan_hash = declare(study.plan, cells, identities, finished=finished, tracker=tracker, parent=parent)
        for cell in cells:
            if cell.name in finished and PACKAGED not in finished[cell.name].tags:
                package(cell, tracker, finished[cell.name].id)  # what a trial of an ablation study trained lacks it
        training = _Training(study, tracker, parent, identities, plan_hash, workers, device, probed)
        runs = {key: run.id for key, run in known.items()}
        if not study.plan.looks:
            training.train(cells, runs)
            return parent
        taken = read_ledger(tracker.get(parent), tracker)
        while True:
            wanted = wanted_cells(study, cells, taken)
            runs |= training.train(wanted, runs)
            before, taken = taken, take_stored_looks(parent, tracker)
            if len(wanted_cells(study, cells, taken)) == len(wanted) or len(taken) == len(before):
                return parent


@dataclass(frozen=True)
class _Training:
    """How the cells of a study are trained."""

    study: Study
    tracker: Tracker
    parent: str
    identities: Mapping[str, Mapping[str, str]]
    plan_hash: str
    workers: int
    device: str
    probed: bool

    def train(self, cells: Sequence[Cell], runs: Mapping[str, str]) -> dict[str, str]:
        """Train those of the cells that have no run yet, and return the new runs; both are by the cells' identities."""
        manifest = _manifest(self.study, cells, self.identities, self.plan_hash).with_runs(runs)
        write_manifest(manifest, self.tracker, self.parent)
        pending = [cell for cell in cells if self.identities[cell.name]["cell"] not in runs]
        say(
            f"{self.study.name} (study {self.study.id}): {len(cells) - len(pending)} of {len(cells)} runs are finished, "
            f"{len(pending)} to train"
        )
        trained: dict[str, str] = {}
        errors: dict[str, Exception] = {}
        try:
            connection = Connection(self.tracker)
            tasks = [CellTask(cell, self.device, connection, self.parent, self.probed) for cell in pending]
            for task, result in _train(tasks, self.identities, self.workers):
                if isinstance(result, Exception) and (full := disk_error(result)):
                    raise full from result  # no other cell would fare better
                if isinstance(result, Exception):
                    errors[task.cell.name] = result
                else:
                    trained[self.identities[task.cell.name]["cell"]] = result.run_id
        finally:  # also after an interrupt: writing it after every cell would cost the square of their number
            if trained:
                with suppress(AwayError):  # the runs are found without it
                    write_manifest(manifest.with_runs(trained), self.tracker, self.parent)
        _check_errors(errors, len(cells), self.tracker)
        return trained


def _check_errors(errors: Mapping[str, Exception], cells: int, tracker: Tracker) -> None:
    unsent = [name for name, error in errors.items() if isinstance(error, UnsentError)]
    failed = [f"{name}: {one_line(error)}" for name, error in errors.items() if name not in unsent]
    others = f" ({cells - len(errors)} of {cells} runs are finished; --allow-missing analyses them.)"
    said = [f"{'; '.join(failed)}{others}"] if failed else []
    if len(unsent) == 1:
        said.append(str(errors[unsent[0]]))
    elif unsent:
        said.append(
            f"{', '.join(unsent)}: must be in the store at their end, got them trained and not sent to {tracker.uri}. They "
            f"wait in {tracker.checkpoints}/; {DELIVER} sends them when the server is back."
        )
    if said:
        raise RunError("; ".join(said))


def _check_distinct(identities: Mapping[str, Mapping[str, str]]) -> None:
    owners: dict[str, str] = {}
    for name, tags in identities.items():
        if (owner := owners.setdefault(tags["cell"], name)) != name:
            raise UsageError(
                f"variants: must differ from one another, got the same config for {owner} and {name}. Drop one."
            )


def _manifest(
    study: Study, cells: Sequence[Cell], identities: Mapping[str, Mapping[str, str]], plan_hash: str
) -> Manifest:
    return Manifest(
        id=study.id,
        name=study.name,
        plan=study.plan,
        plan_hash=plan_hash,
        seeds=study.seeds,
        variants=described(study.variants),
        cells=tuple(
            CellEntry(
                model=cell.model,
                seed=cell.config.seed,
                cell=identities[cell.name]["cell"],
                variant=identities[cell.name]["variant"],
            )
            for cell in cells
        ),
        tuning_trials=study.tuning_trials,
    )


def _train(
    tasks: Sequence[CellTask], identities: Mapping[str, Mapping[str, str]], workers: int
) -> Iterator[tuple[CellTask, Outcome | Exception]]:
    """Train cells in workers and yield each when it ends, with its outcome or the error that ended it."""
    if not tasks:
        return
    phase("estimating how long that takes")
    one_a_model = {task.cell.model: task for task in tasks}
    seconds = {model: epoch_seconds(task.cell.config, task.device) for model, task in one_a_model.items()}
    epochs = {task.cell.name: _epochs_left(task, identities[task.cell.name]["cell"]) for task in tasks}
    meter = Meter(epochs, {task.cell.name: seconds[task.cell.model] for task in tasks}, min(workers, len(tasks)))
    phase(f"training {sum(epochs.values())} epochs, about {duration(meter.seconds_left)} with {workers} worker(s)")
    # Seed by seed, so that an early stop leaves whole seeds; the slowest first, so that no worker waits at the end.
    seeds = list(dict.fromkeys(task.cell.config.seed for task in tasks))
    ordered = sorted(tasks, key=lambda task: (seeds.index(task.cell.config.seed), -seconds[task.cell.model]))
    with meter:
        for task, result in run_tasks(ordered, _work, workers=workers, notify=lambda message: meter.advance(*message)):
            meter.end(task.cell.name)
            yield task, result


def _epochs_left(task: CellTask, key: str) -> int:
    state, _ = newest(task.connection.tracker.checkpoints / key, key)
    return task.cell.config.train.epochs - int(state.get("epoch", 0))


def _work(task: CellTask, notify: Notify) -> Outcome:
    """Train one cell, in whichever process this is."""
    began = time.monotonic()

    def report(cell: Cell, history: History) -> None:
        nonlocal began
        now = time.monotonic()
        notify((cell.name, now - began, f"{cell.name} {log_line(history[-1], cell.config.train.epochs)}"))
        began = now

    tracker = task.connection.tracker
    outcome = run_cell(task.cell, tracker, device=task.device, report=report, parent=task.parent)
    if task.probed:
        # The run is trained, whatever a probe does; the analysis measures again what is missing, and meets its error.
        with suppress(Exception):
            probe_tables([(outcome.run_id, task.cell.model, task.cell.config.seed)], tracker)
    return outcome
