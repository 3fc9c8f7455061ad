"""Training of a study: every variant with every seed, under one parent run; finished runs are reused."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from math import inf

from analysis.figures.parts.style import colours
from pipeline.cells import CellTask, Workers, failure_of, identities_of, train_cells
from pipeline.console import say
from pipeline.errors import AwayError, RunError, TimeUpError, disk_error, one_line
from pipeline.launch import Launch, run_tasks
from pipeline.looks import check_looks, take_stored_looks, wanted_cells
from pipeline.manifest import CellEntry, Manifest
from pipeline.run_record import PACKAGED, package, record_data
from pipeline.stored_study import (
    STUDY_KIND,
    declare,
    described,
    open_parent,
    read_ledger,
    runs_of,
    write_manifest,
)
from pipeline.study import Cell, Study
from pipeline.tracking import DELIVER, BusyError, Connection, Run, Tracker, UnsentError, retaken
from pipeline.unfinished import clear


def compare(
    study: Study,
    tracker: Tracker,
    *,
    workers: int,
    device: str,
    adopted: str | None = None,
    probed: bool = False,
    launch: Launch = run_tasks,
    ends: float = inf,
) -> str:
    """Train the missing cells of a study and return the id of its parent run.

    If the plan has looks, the study is trained up to the first look, and after each look only variants with an undecided pair
    continue. `adopted` is a run that the caller created: it becomes the parent if the study has none yet. With `probed`, the
    workers also measure the probes of the runs that they train, because the analysis that follows runs in one process.

    Processes that train the same study share its cells: the first conducts it, the others help and wait for its end.
    `launch` starts the workers. RunError if cells fail; TimeUpError if cells are left that would last beyond `ends`, of
    `time.monotonic`.
    """
    with_these = Workers(workers, launch, ends)
    return retaken(lambda: _compare(study, tracker, with_these, device, adopted, probed=probed))


def _compare(
    study: Study, tracker: Tracker, workers: Workers, device: str, adopted: str | None, *, probed: bool
) -> str:
    colour = colours(list(study.variants))
    cells = [replace(cell, colour=colour[cell.model]) for cell in study.cells()]
    identities = identities_of(cells, device)
    check_looks(study, tracker)
    parent = open_parent(study.name, {"kind": STUDY_KIND, "study": study.id}, tracker, adopted)
    known = runs_of(list(identities.values()), tracker)
    failed = frozenset(cell for cell, run in known.items() if run.status == "FAILED")
    training = _Training(study, tracker, parent, cells, identities, workers, device, probed, failed)
    said = False
    with ExitStack() as held:
        while not _conducts(tracker, parent, held):
            if not said:
                owner = tracker.get(parent).tags.get("owner", "another process")
                say(f"{owner} conducts this study; this process helps, and ends with it")
                said = True
            if time.monotonic() > workers.ends:
                raise TimeUpError(
                    "--time-left: must suffice for the end of the study, which another process conducts, got none left. "
                    "Run the same command again."
                )
            if not training.help():
                time.sleep(HELP_SECONDS)
            known = {}
        return _conduct(training, known or runs_of(list(identities.values()), tracker))


def _conducts(tracker: Tracker, parent: str, held: ExitStack) -> bool:
    """Hold the run of the study until `held` closes; return False if another process holds it."""
    try:
        held.enter_context(tracker.hold(parent))
    except BusyError:
        return False
    return True


def _conduct(training: "_Training", known: Mapping[str, Run]) -> str:
    """Train a study whose run this process holds; `known` are the runs of its cells, by their identities."""
    study, tracker, parent = training.study, training.tracker, training.parent
    cells, identities = training.cells, training.identities
    sets = {
        (config.data.name, splits.digest): splits
        for config in study.variants.values()
        if (splits := config.data.load())
    }
    for (name, _), splits in sets.items():
        record_data(tracker, parent, name, splits)
    params = study.plan.model_dump(exclude=study.plan.idle())
    tracker.log_params(parent, {"models": ",".join(study.variants), **params})
    ended = training.ended(known)
    finished = {cell.name: ended[key] for cell in cells if (key := identities[cell.name]["cell"]) in ended}
    clear(finished.values(), tracker)
    plan_hash = declare(study.plan, cells, identities, finished=finished, tracker=tracker, parent=parent)
    for cell in cells:
        if cell.name in finished and PACKAGED not in finished[cell.name].tags:
            package(cell, tracker, finished[cell.name].id)  # trials of ablation studies do not store a model
    runs = {key: run.id for key, run in ended.items()}
    if not study.plan.looks:
        training.train(cells, runs, plan_hash)
        return parent
    taken = read_ledger(tracker.get(parent), tracker)
    while True:
        wanted = wanted_cells(study, cells, taken)
        runs |= training.train(wanted, runs, plan_hash)
        before, taken = taken, take_stored_looks(parent, tracker)
        if len(wanted_cells(study, cells, taken)) == len(wanted) or len(taken) == len(before):
            return parent


HELP_SECONDS = 5.0
"""Seconds between two checks of a helping process whether it can help, and whether the study is still conducted."""


@dataclass(frozen=True)
class _Training:
    """The training of the cells of a study, with everything that it needs."""

    study: Study
    tracker: Tracker
    parent: str
    cells: Sequence[Cell]
    identities: Mapping[str, Mapping[str, str]]
    workers: Workers
    device: str
    probed: bool
    failed: frozenset[str]
    """Identities of the cells that had failed before this command: they are tried once more."""
    errors: dict[str, Exception] = field(default_factory=dict)
    """The errors of failed cells, by the cells' names."""
    helped: set[str] = field(default_factory=set)
    """Names of the cells that this process has already helped with."""

    def train(self, cells: Sequence[Cell], runs: Mapping[str, str], plan_hash: str) -> dict[str, str]:
        """Train the cells that have no run in `runs`, and return the new runs; both map identities of cells to run ids.

        RunError if cells failed, TimeUpError if the time did not suffice.
        """
        manifest = _manifest(self.study, cells, self.identities, plan_hash).with_runs(runs)
        write_manifest(manifest, self.tracker, self.parent)
        trained: dict[str, str] = {}
        try:
            left = self._train(cells, runs, trained)
        finally:  # also after an interrupt; writing it after every cell would take time quadratic in their number
            if trained:
                with suppress(AwayError):  # the runs can be found without the manifest
                    write_manifest(manifest.with_runs(trained), self.tracker, self.parent)
        errors = {cell.name: self.errors[cell.name] for cell in cells if cell.name in self.errors}
        _check_errors(errors, len(cells) - len(errors) - len(left), len(cells), self.tracker)
        _check_left(left, len(cells))
        return trained

    def help(self) -> bool:
        """Train cells that the conducting process has not begun yet; return whether there were any."""
        parent = self.tracker.get(self.parent)
        if not parent.tags.get("plan_hash"):  # the study must be declared before its first run
            return False
        cells = self.cells
        if self.study.plan.looks:
            cells = wanted_cells(self.study, cells, read_ledger(parent, self.tracker))
        cells = [cell for cell in cells if cell.name not in self.helped | self.errors.keys()]
        if not cells:
            return False
        known = runs_of([self.identities[cell.name] for cell in cells], self.tracker)
        _check_left(self._train(cells, {key: run.id for key, run in self.ended(known).items()}, {}), len(cells))
        self.helped.update(cell.name for cell in cells)
        return True

    def ended(self, known: Mapping[str, Run]) -> dict[str, Run]:
        """Return the finished runs of `known`, and keep the errors of cells that failed since this command began."""
        for cell in self.cells:
            run = known.get(key := self.identities[cell.name]["cell"])
            if run and run.status == "FAILED" and key not in self.failed:
                self.errors.setdefault(cell.name, failure_of(run.tags))
        return {key: run for key, run in known.items() if run.status == "FINISHED"}

    def _train(self, cells: Sequence[Cell], runs: Mapping[str, str], trained: dict[str, str]) -> list[CellTask]:
        """Train the cells that neither have a run nor failed, and add their runs to `trained`.

        Return the tasks for which the time did not suffice. DiskError if a disk is full or cannot be written to.
        """
        pending = [cell for cell in cells if self.identities[cell.name]["cell"] not in runs]
        say(
            f"{self.study.name} (study {self.study.id}): {len(cells) - len(pending)} of {len(cells)} runs are finished, "
            f"{len(pending)} to train"
        )
        connection, left = Connection(self.tracker), list[CellTask]()
        tasks = [
            CellTask(cell, self.device, connection, self.parent, self.probed)
            for cell in pending
            if cell.name not in self.errors
        ]
        for task, result in train_cells(tasks, self.identities, self.workers, left, self.failed):
            if isinstance(result, Exception) and (full := disk_error(result)):
                raise full from result  # every other cell would fail in the same way
            if isinstance(result, Exception):
                self.errors[task.cell.name] = result
            else:
                trained[self.identities[task.cell.name]["cell"]] = result.run_id
        return left


def _check_left(left: Sequence[CellTask], cells: int) -> None:
    if left:
        raise TimeUpError(
            f"--time-left: must suffice for all runs, got {len(left)} of {cells} that would last longer. "
            "Run the same command again, it goes on with them."
        )


def _check_errors(errors: Mapping[str, Exception], finished: int, cells: int, tracker: Tracker) -> None:
    unsent = [name for name, error in errors.items() if isinstance(error, UnsentError)]
    failed = [f"{name}: {one_line(error)}" for name, error in errors.items() if name not in unsent]
    others = f" ({finished} of {cells} runs are finished; --allow-missing analyses them.)"
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
