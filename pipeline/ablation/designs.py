"""The designs of ablation studies: how their points are chosen. A new design is a class here and a name in `DESIGNS`."""

import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, Trial

from pipeline.ablation.space import (
    BASE_ROW,
    EMBEDDING,
    MOST_POINTS,
    POINT,
    AblationStudy,
    Point,
    Space,
    Span,
    StudyDesign,
    name_of,
)
from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.settings import Values, flat

ROW = "row"
"""Name of the only factor that Optuna knows in a study with named points."""


class _Sweep(StudyDesign):
    """A design over the lists and ranges of a study file."""

    def check(self, study: AblationStudy) -> None:
        """Refuse rows, and a file that varies nothing."""
        if study.rows:
            raise UsageError(f"design: must be rows where the file has rows, got {self.name}. Drop one of the two.")
        if not study.space:
            raise UsageError('sweep: must be at least one list or range, got none. Write for instance "dim": [16, 32].')


class _Listed(StudyDesign):
    """A design whose points are known from the start."""

    @abstractmethod
    def entries(self, study: AblationStudy) -> Iterator[tuple[str, Values]]:
        """Yield the name of each point, and what it changes."""

    def points(self, study: AblationStudy) -> Iterator[Point]:
        """Yield the points of `entries`; UsageError if they are too many, or if two are equal."""
        entries = list(islice(self.entries(study), MOST_POINTS + 1))
        if len(entries) > MOST_POINTS:
            raise UsageError(
                f"{self.name}: must have at most {MOST_POINTS:,} points, got more. Sweep fewer values, or search."
            )
        for name, count in Counter(name for name, _ in entries).items():
            if count > 1:
                raise UsageError(
                    f"points: must have names of their own, got {count} called {name}. Vary fewer at once."
                )
        owners: dict[RunConfig, str] = {}
        for name, overrides in entries:
            point = study.point(name, overrides)
            same = owners.setdefault(point.config, name)
            if same != name:
                raise UsageError(f"points: must differ, got the same config for {same} and {name}. Drop one.")
            yield point

    def lacking(self, study: AblationStudy, there: Sequence[str], failed: Sequence[str]) -> list[tuple[str, Values]]:
        """Return every point without a trial, and those whose trials all failed."""
        kept = Counter(there) - Counter(failed)
        return [(point.name, self.settled(point)) for point in study.points if point.name not in kept]

    def settled(self, point: Point) -> Values:
        """Return the values of the `factors` that a point has."""
        return point.overrides

    def draw(self, study: AblationStudy, trial: Trial) -> Point:
        """Return the trial's point: nothing is left to choose."""
        return study.points_by_name[trial.user_attrs[POINT]]

    def point_of(self, study: AblationStudy, trial: FrozenTrial) -> Point:
        """Return the trial's point."""
        return study.points_by_name[trial.user_attrs[POINT]]

    def foreseen(self, study: AblationStudy, name: str) -> RunConfig:
        """Return the point's config."""
        return study.points_by_name[name].config


class _ListedSweep(_Listed, _Sweep):
    """A list of points made of the lists of a file."""

    def check(self, study: AblationStudy) -> None:
        """Refuse ranges, too."""
        super().check(study)
        for path, part in study.space.items():
            if isinstance(part, Span):
                raise UsageError(f"{path}: must be a list in a {self.name} study, got a range. List values, or search.")


class _Named(_Listed):
    """A list of points that are compared with one of them by name."""

    named = True

    def settled(self, point: Point) -> Values:
        """Return the name, the only value that distinguishes Optuna's trials."""
        return {ROW: point.name}

    def factors(self, study: AblationStudy) -> Space:
        """Return the names as the choices of one factor."""
        return {ROW: [point.name for point in study.points]}


class Grid(_ListedSweep):
    """The full product of all lists."""

    name = "grid"

    def suits(self, space: Space, rows: dict[str, Values]) -> bool:
        """Return True if there are neither rows nor ranges."""
        return not rows and not any(isinstance(part, Span) for part in space.values())

    def entries(self, study: AblationStudy) -> Iterator[tuple[str, Values]]:
        """Yield every combination."""
        return ((name_of(values), values) for values in study.combinations({}))


class OneAtATime(_Named, _ListedSweep):
    """The base, and each change of it alone."""

    name = "one_at_a_time"

    def suits(self, space: Space, rows: dict[str, Values]) -> bool:
        """Return False: this design must be requested explicitly."""
        del space, rows
        return False

    def entries(self, study: AblationStudy) -> Iterator[tuple[str, Values]]:
        """Yield the base, and then each value of each list that differs from the base's."""
        yield BASE_ROW, {}
        base = flat(study.config({}))
        for path, choices in study.space.items():
            for value in choices if isinstance(choices, list) else ():
                if value != base.get(path):
                    # The name becomes that of a variant, and part of names of files and metrics.
                    yield re.sub(r"[^\w.-]+", "_", name_of({path: value}))[:100], {path: value}

    def levels(self, study: AblationStudy, trial: FrozenTrial) -> Values:
        """Return the values of the config: a trial changes one factor, but has a value for every factor."""
        config = flat(self.point_of(study, trial).config)
        return {path: config.get(path) for path in study.space}


class Rows(_Named):
    """The named changes that a file lists."""

    name = "rows"

    def suits(self, space: Space, rows: dict[str, Values]) -> bool:
        """Return True if the file has rows."""
        del space
        return bool(rows)

    def check(self, study: AblationStudy) -> None:
        """Refuse a file without rows, or with sweeps beside them."""
        if study.space or not study.rows:
            what = "sweeps" if study.space else "no rows"
            raise UsageError(
                f"design: must be left out, or have named rows and no sweeps, got rows with {what}. Correct it."
            )

    def entries(self, study: AblationStudy) -> Iterator[tuple[str, Values]]:
        """Yield the rows."""
        yield from study.rows.items()

    def compared(self, study: AblationStudy) -> Space:
        """Return the names as one factor: the design does not know what changes have in common."""
        return self.factors(study)


class _Search(_Sweep):
    """A design whose points a sampler chooses, one after another."""

    searches = True

    def suits(self, space: Space, rows: dict[str, Values]) -> bool:
        """Return False: this design must be requested explicitly."""
        del space, rows
        return False

    def points(self, study: AblationStudy) -> Iterator[Point]:
        """Yield the corners of the space: if they are valid, all points between them are."""
        return (study.point(name_of(ends), ends) for ends in islice(study.combinations({}), MOST_POINTS))

    def lacking(self, study: AblationStudy, there: Sequence[str], failed: Sequence[str]) -> list[tuple[str, Values]]:
        """Return the trials that are missing to the wanted number; with an equal budget, each embedding gets the same share."""
        del failed  # failed trials count, too: otherwise settings that fail often would be tried more often
        choices = study.space.get(EMBEDDING)
        settled: list[Values] = [{}]
        if isinstance(choices, list) and study.how.budget == "equal":
            settled = [{EMBEDDING: name} for name in choices]
        wanted = -(-study.how.trials // len(settled)) * len(settled)
        return [("", settled[number % len(settled)]) for number in range(len(there), wanted)]

    def draw(self, study: AblationStudy, trial: Trial) -> Point:
        """Choose one factor after another, names first."""
        chosen: Values = {}
        while path := study.next_factor(chosen):
            chosen[path] = _suggest(trial, path, study.space[path])
        return study.point(f"trial {trial.number}", study.in_order(chosen))

    def point_of(self, study: AblationStudy, trial: FrozenTrial) -> Point:
        """Return the point that was chosen."""
        return study.point(f"trial {trial.number}", study.in_order(trial.params))

    def foreseen(self, study: AblationStudy, name: str) -> RunConfig:
        """Return the base with the first of the names to choose from."""
        del name
        return study.config(next(study.bases()))


def _suggest(trial: Trial, path: str, part: list[Any] | Span) -> Any:  # noqa: ANN401 - a value of any setting
    if not isinstance(part, Span):
        return trial.suggest_categorical(path, part)
    if part.whole:
        return trial.suggest_int(path, int(part.low), int(part.high), log=part.log, step=part.step or 1)
    return trial.suggest_float(path, part.low, part.high, log=part.log)


class Random(_Search):
    """Points drawn evenly from the space."""

    name = "random"


class Tpe(_Search):
    """Points drawn where earlier ones did well (Bergstra et al. 2011, NeurIPS)."""

    name = "tpe"

    def suits(self, space: Space, rows: dict[str, Values]) -> bool:
        """Return True if there are no rows and at least one range."""
        return not rows and any(isinstance(part, Span) for part in space.values())

    def sampler(self, seed: int) -> BaseSampler:
        """Return Optuna's TPE sampler."""
        return TPESampler(seed=seed)


DESIGNS: dict[str, StudyDesign] = {
    design.name: design
    for design in (
        Grid(),
        OneAtATime(),
        Rows(),
        Tpe(),
        Random(),
    )
}
