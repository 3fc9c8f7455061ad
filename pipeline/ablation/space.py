"""What an ablation study varies: choices and ranges over dotted paths, and the points that they make."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, product
from typing import Any, Literal

from pydantic import Field, model_validator

from analysis.plan import Plan
from models.config import Config
from pipeline.config import RunConfig, config_hash, digest_of
from pipeline.errors import UsageError
from pipeline.settings import Values, build_run, fits, flat

EMBEDDING = "model.embedding.name"
ROW = "row"
"""Name of the one factor of a study whose points are named changes."""
NAMED = ("rows", "one_at_a_time")
"""Designs whose points have names and a reference, and are compared with it on the test split."""
BASE_ROW = "base"
"""Name of the point that a one-at-a-time study changes."""
POINTS = 10_000
"""Most points of a grid."""
DIRECTIONS: dict[str, Literal["maximize", "minimize"]] = {
    "validation_accuracy": "maximize",
    "validation_loss": "minimize",
    "parameters": "minimize",
    "epoch_seconds": "minimize",
}
"""What a study can optimise, and which way. Nothing of the test split is among them."""


class Range(Config):
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float
    log: bool = False
    """Drawn, and compared, on a logarithmic scale."""
    step: int | None = Field(None, ge=1)
    """Distance of two neighbours; whole numbers only."""
    whole: bool = False
    """Whole numbers only: what the setting takes."""

    @model_validator(mode="after")
    def _check_ends(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"low: must be below high, got {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low: must be above 0 on a logarithmic scale, got {self.low:g}")
        if self.step and not self.whole:
            raise ValueError(f"step: must be left out of a range of real numbers, got {self.step}")
        if self.step and self.log:
            raise ValueError(f"step: must be left out of a logarithmic range, got {self.step}")
        if self.whole and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f"low: must be a whole number, and so must high, got {self.low:g} and {self.high:g}")
        return self

    def ends(self) -> tuple[float, float]:
        """Return low and high as the setting takes them."""
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)


Space = dict[str, "list[Any] | Range"]
"""The choices or the range of each factor, by its dotted path, in the order of the file."""


class AblationConfig(Config):
    """How an ablation study is run."""

    design: Literal["grid", "one_at_a_time", "rows", "tpe", "random"] = "grid"
    """`grid` is the full product, `one_at_a_time` each change of the base alone, `rows` the named changes of `rows`; `tpe`
    and `random` search. With a range the default is `tpe`, with rows `rows`, else `grid`."""
    trials: int = Field(20, ge=1)
    """Number of trials of a search; the other designs have as many as points."""
    budget: Literal["equal", "free"] = "equal"
    """Where a search chooses the embedding: `equal` gives each the same number of trials, `free` lets the sampler choose."""
    objectives: tuple[str, ...] = ("validation_accuracy",)
    """What is optimised: validation_accuracy, validation_loss, parameters or epoch_seconds; several make a Pareto front."""
    pruning: Literal["none", "median"] = "none"
    """`median` stops a trial whose validation accuracy is below the median of the trials before it at the same epoch."""

    @model_validator(mode="after")
    def _check_objectives(self) -> "AblationConfig":
        if not self.objectives or len(set(self.objectives)) < len(self.objectives):
            raise ValueError(f"objectives: must be at least one, each once, got {list(self.objectives)}")
        for name in self.objectives:
            if name not in DIRECTIONS:
                raise ValueError(f"objectives: must be of {', '.join(DIRECTIONS)}, got {name!r}")
        if self.pruning == "median" and self.objectives != ("validation_accuracy",):
            raise ValueError(
                f"pruning: must be 'none' unless validation_accuracy is optimised alone, got {self.pruning!r}"
            )
        return self

    @property
    def searches(self) -> bool:
        """Whether a sampler chooses the points."""
        return self.design in ("tpe", "random")


@dataclass(frozen=True)
class Point:
    """One trial of a study that lists its points: a name, what it changes, and the factors' values for the sampler."""

    name: str
    overrides: Values
    factors: Values


@dataclass(frozen=True)
class AblationStudy:
    """What is varied, around which base, over which seeds, and how."""

    name: str
    base: Values
    space: Space
    rows: dict[str, Values]
    seeds: tuple[int, ...]
    how: AblationConfig
    plan: Plan

    @cached_property
    def id(self) -> str:
        """The hash of everything but the number of trials, which can be raised later."""
        # Of listed points the whole configs, since the base alone need not be valid.
        points = self.bases() if self.how.searches else (point.overrides for point in self.points)
        base = [config_hash(self.config(overrides)) for overrides in points]
        space = {path: part.model_dump() if isinstance(part, Range) else part for path, part in self.space.items()}
        how = self.how.model_dump(mode="json", exclude={"trials"})
        plan = self.plan.model_dump(mode="json")
        named = [point.name for point in self.points] if self.how.design == "one_at_a_time" else self.rows
        return digest_of([base, space, named, list(self.seeds), how, plan])[:12]

    def bases(self) -> Iterator[Values]:
        """Yield every combination of the names that the space holds, an embedding say: one empty one where it holds none."""
        kinds = {path: part for path, part in self.space.items() if path.endswith(".name") and isinstance(part, list)}
        yield from (dict(zip(kinds, names, strict=True)) for names in product(*kinds.values()))

    @property
    def embeddings(self) -> list[str]:
        """The embeddings that a search chooses from; none where it does not choose."""
        choices = self.space.get(EMBEDDING, [])
        return [str(name) for name in choices] if isinstance(choices, list) else []

    @property
    def most_epochs(self) -> int:
        """The largest number of epochs that a seed of a trial can have."""
        part = self.space.get("train.epochs")
        if isinstance(part, Range):
            return int(part.high)
        listed = [*(part or ()), *(row["train.epochs"] for row in self.rows.values() if "train.epochs" in row)]
        return max([int(self.base.get("train.epochs", RunConfig().train.epochs)), *map(int, listed)])

    def samples(self) -> list[RunConfig]:
        """Return a config for each data set, and for each way to encode it: of the points, or of the ends of a search.

        Those of one data set follow one another, so that it is loaded once.
        """
        points = self._product({}) if self.how.searches else (point.overrides for point in self.points)
        configs = {_taken(config): config for config in map(self.config, islice(points, POINTS))}.values()
        order = list(dict.fromkeys(config.data for config in configs))
        return sorted(configs, key=lambda config: order.index(config.data))

    def config(self, overrides: Values) -> RunConfig:
        """Return the config of a point, with seed 0: the base, less what the point has no use for, and its overrides."""
        values = {**self.base, **overrides}
        return build_run({path: value for path, value in values.items() if path in overrides or fits(path, values)})

    def next_factor(self, chosen: Values) -> str | None:
        """Return the path that is chosen next: names first, since they decide which other factors a point has."""
        values = {**self.base, **chosen}
        left = [path for path in self.space if path not in chosen and fits(path, values)]
        return min(left, key=lambda path: (not path.endswith(".name"), path.count(".")), default=None)

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """The points of a study that lists them; `UsageError` for the first that is no valid config, or another's."""
        if self.how.design == "rows":
            points = [Point(name, changes, {ROW: name}) for name, changes in self.rows.items()]
        elif self.how.design == "one_at_a_time":
            points = [Point(BASE_ROW, {}, {ROW: BASE_ROW}), *self._alternatives()]
        else:
            points = [Point(name_of(values), values, values) for values in islice(self._product({}), POINTS + 1)]
        if len(points) > POINTS:
            raise UsageError(f"grid: must have at most {POINTS:,} points, got more. Sweep fewer values, or search.")
        for name, count in Counter(point.name for point in points).items():
            if count > 1:
                raise UsageError(
                    f"points: must have names of their own, got {count} called {name}. Vary fewer at once."
                )
        owners: dict[str, str] = {}
        for point in points:
            same = owners.setdefault(config_hash(self._checked(point.overrides, point.name)), point.name)
            if same != point.name:
                raise UsageError(f"points: must differ, got the same config for {same} and {point.name}. Drop one.")
        return tuple(points)

    def _alternatives(self) -> Iterator[Point]:
        base = {path: value for path, value in flat(self.config({})).items() if path in self.space}
        for path, choices in self.space.items():
            for value in choices if isinstance(choices, list) else ():
                if value != base.get(path):
                    # A variant's name, which becomes part of names of files and metrics.
                    name = re.sub(r"[^\w.-]+", "_", name_of({path: value}))[:100]
                    yield Point(name, {path: value}, {ROW: name})

    def _product(self, chosen: Values) -> Iterator[Values]:
        """Yield every combination of the factors that go together, of a range its ends."""
        path = self.next_factor(chosen)
        if path is None:
            yield {path: chosen[path] for path in self.space if path in chosen}
            return
        part = self.space[path]
        for value in part.ends() if isinstance(part, Range) else part:
            yield from self._product({**chosen, path: value})

    def _checked(self, overrides: Values, name: str) -> RunConfig:
        try:
            return self.config(overrides)
        except UsageError as error:
            raise UsageError(f"point {name}: {error}") from None

    def check(self) -> None:
        """Refuse what cannot be run, before anything is started: every point of a list, every end of a search."""
        if not self.how.searches:
            _ = self.points
            return
        for values in islice(self._product({}), POINTS):
            self._checked(values, name_of(values))


def _taken(config: RunConfig) -> tuple[object, ...]:
    """Return the data and what decides whether a model can take them: which encoding of what, and how large."""
    embedding = config.model.embedding
    return config.data, embedding.name, embedding.dim, getattr(embedding, "time_input", ""), config.model.shuffle_times


def name_of(overrides: Values) -> str:
    """Return what a point changes in words that fit a table: the last word of each path, and its value."""
    return ", ".join(f"{_short(path)}={value}" for path, value in overrides.items()) or BASE_ROW


def _short(path: str) -> str:
    return path.split(".")[-2] if path.endswith(".name") else path.rsplit(".", 1)[-1]
