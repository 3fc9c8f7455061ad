"""The forecast of `--plan`: what a command would train, where, and for how long. Nothing is started."""

from collections.abc import Sequence

from analysis.wording import plural
from pipeline.cells import Estimate, epochs_left, estimated, identities_of, ordered
from pipeline.console import duration, say, show
from pipeline.looks import wanted_cells
from pipeline.placement import spread
from pipeline.stored_study import STUDY_KIND, read_ledger, runs_of
from pipeline.study import Cell, Study
from pipeline.tracking import Tracker

FIRST = 3
"""Number of runs that the line of a worker names."""


def forecast(
    study: Study, tracker: Tracker | None, places: Sequence[str], device: str, time_left: float | None
) -> None:
    """Print what a study would train; `tracker` is None if there is no store yet.

    `places` has one entry for each run that is trained at the same time: the name of its worker or node. `time_left` is in
    seconds.
    """
    cells = study.cells()
    identities = identities_of(cells, device)
    runs = runs_of(list(identities.values()), tracker) if tracker else {}
    if study.plan.looks:
        parents = tracker.find(kind=STUDY_KIND, study=study.id) if tracker else []
        if tracker and parents:
            cells = wanted_cells(study, cells, read_ledger(parents[-1], tracker))
        else:
            cells = [cell for cell in cells if cell.config.seed in study.seeds[: study.plan.looks[0]]]
    keys = {cell.name: identities[cell.name]["cell"] for cell in cells}
    pending = [cell for cell in cells if (run := runs.get(keys[cell.name])) is None or run.status != "FINISHED"]
    say(f"{study.name} (study {study.id}): {len(cells) - len(pending)} of {len(cells)} runs are finished")
    if not pending:
        say("nothing to train")
        return
    epochs = {
        cell.name: epochs_left(cell, keys[cell.name], tracker) if tracker else cell.config.train.epochs
        for cell in pending
    }
    estimate = estimated(pending, device, epochs)
    _say_models(pending, estimate)
    _say_places(pending, estimate, places, time_left)


def _say_models(cells: Sequence[Cell], estimate: Estimate) -> None:
    rows = []
    for model in dict.fromkeys(cell.model for cell in cells):
        own = [cell for cell in cells if cell.model == model]
        epochs, seconds = (
            sum(each(cell.name) for cell in own) for each in (estimate.epochs.__getitem__, estimate.cost)
        )
        rows.append([model, str(len(own)), str(epochs), f"{estimate.seconds[own[0].name]:.2f}", duration(seconds)])
    show(["model", "runs", "epochs", "seconds an epoch", "in all"], rows)


def _say_places(cells: Sequence[Cell], estimate: Estimate, places: Sequence[str], time_left: float | None) -> None:
    count = min(len(places), len(cells))
    runs = ordered(cells, estimate, count)
    costs = [estimate.cost(cell.name) for cell in runs]
    placed = spread(costs, count)
    for place in dict.fromkeys(places[:count]):
        here = [number for number, (worker, _) in enumerate(placed) if places[worker] == place]
        names = ", ".join(runs[number].run_name for number in here[:FIRST])
        more = f" and {len(here) - FIRST} more" if len(here) > FIRST else ""
        say(f"{place}: {names}{more}, until {duration(max((placed[number][1] for number in here), default=0.0))}")
    end = max(end for _, end in placed)
    busy = sum(costs) / (count * end) if end else 1.0
    say(
        f"{plural(len(cells), 'run')} in about {duration(end)}, {plural(count, 'worker')} busy for {busy:.0%} of it; "
        "nothing was started"
    )
    if time_left is not None:
        say(f"{sum(end <= time_left for _, end in placed)} of them end within {duration(time_left)}")
