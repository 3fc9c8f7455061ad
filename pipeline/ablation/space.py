"""The space of an ablation study: choices and spans over dotted paths, around a base, that a design turns into points."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, ClassVar, Literal

from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, Trial
from pydantic import Field, model_validator

from analysis.plan import Plan
from models.config import Config
from pipeline.config import RunConfig, config_hash, digest_of
from pipeline.errors import UsageError
from pipeline.settings import Values, build_run, fits

EMBEDDING = "model.embedding.name"
BASE_ROW = "base"
"""Name of the point that changes nothing."""
MOST_POINTS = 10_000
"""Most points of a study that lists them."""
DIRECTIONS: dict[str, Literal["maximize", "minimize"]] = {
    "validation_accuracy": "maximize",
    "validation_loss": "minimize",
    "parameters": "minimize",
    "epoch_seconds": "minimize",
}
"""Objectives of a study, and their directions. None of them uses the test split."""
POINT = "point"
"""User attribute of a trial: the name of its point; empty in a search."""


class Span(Config):
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
    def _check_ends(self) -> "Span":
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
        """Return low and high in the type of the setting."""
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)


Space = dict[str, "list[Any] | Span"]
"""The choices or the range of each factor, by its dotted path, in the order of the file."""


class AblationConfig(Config):
    """How an ablation study is run."""

    design: str = "grid"
    """`grid` is the full product, `one_at_a_time` each change of the base alone, `rows` the named changes of `rows`; `tpe`
    and `random` search. With a range the default is `tpe`, with rows `rows`, else `grid`."""
    trials: int = Field(20, ge=1, le=100_000)
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


@dataclass(frozen=True)
class Point:
    """Settings that a trial trains: a name, the changes of the base, and the whole config, with seed 0."""

    name: str
    overrides: Values
    config: RunConfig


class StudyDesign(ABC):
    """How the points of a study are chosen, and which levels are compared. A design has no state; methods receive the study."""

    name: ClassVar[str]
    """Name of the design in study files."""
    searches: ClassVar[bool] = False
    """Whether a sampler chooses the points."""
    named: ClassVar[bool] = False
    """Whether points have names, and are compared with a reference point on the test split."""

    @abstractmethod
    def suits(self, space: Space, rows: dict[str, Values]) -> bool:
        """Return whether this is the default design of a study file; that is true for at most one design."""

    @abstractmethod
    def check(self, study: "AblationStudy") -> None:
        """Raise UsageError for factors that this design cannot vary, before any point is built."""

    @abstractmethod
    def points(self, study: "AblationStudy") -> Iterator[Point]:
        """Yield the listed points of a study, or the corners of the space of a search; `UsageError` for an invalid point."""

    @abstractmethod
    def lacking(self, study: "AblationStudy", there: Sequence[str], failed: Sequence[str]) -> list[tuple[str, Values]]:
        """Return the trials to add: the name of each point, and the values of `factors` that are settled already.

        `there` are the names of the points of all trials, in the order of their numbers, and `failed` those of failed trials.
        """

    @abstractmethod
    def draw(self, study: "AblationStudy", trial: Trial) -> Point:
        """Return the point of a trial that begins; the sampler chooses the values that are not settled."""

    @abstractmethod
    def point_of(self, study: "AblationStudy", trial: FrozenTrial) -> Point:
        """Return the point of a trial that has ended."""

    @abstractmethod
    def foreseen(self, study: "AblationStudy", name: str) -> RunConfig:
        """Return the config of the point of that name; for a search, whose points are not drawn yet, a typical one."""

    def factors(self, study: "AblationStudy") -> Space:
        """Return the factors that are parameters of the trial in Optuna."""
        return study.space

    def compared(self, study: "AblationStudy") -> Space:
        """Return the factors whose levels the analysis compares."""
        return study.space

    def levels(self, study: "AblationStudy", trial: FrozenTrial) -> Values:
        """Return the trial's value of each of the `compared` factors; None for a factor that does not apply."""
        return {path: trial.params.get(path) for path in self.compared(study)}

    def sampler(self, seed: int) -> BaseSampler:
        """Return the sampler of one trial."""
        return RandomSampler(seed=seed)


@dataclass(frozen=True)
class AblationStudy:
    """An ablation study: its factors, its base, its seeds, and its design."""

    name: str
    base: Values
    space: Space
    rows: dict[str, Values]
    seeds: tuple[int, ...]
    how: AblationConfig
    design: StudyDesign
    plan: Plan

    @cached_property
    def id(self) -> str:
        """The hash of everything but the number of trials, which can be raised later."""
        # The whole configs of the points are hashed, because the base alone need not be valid.
        points = [config_hash(point.config) for point in self.points]
        space = {path: part.model_dump() if isinstance(part, Span) else part for path, part in self.space.items()}
        how = {name: value for name, value in self.how.effective().items() if name != "trials"}
        names = [point.name for point in self.points] if self.design.named else []
        return digest_of([points, space, names, list(self.seeds), how, self.plan.effective()])[:12]

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """The listed points of a study, or the corners of the space of a search; `UsageError` for an invalid point."""
        return tuple(self.design.points(self))

    @cached_property
    def points_by_name(self) -> dict[str, Point]:
        """The points by name."""
        return {point.name: point for point in self.points}

    def bases(self) -> Iterator[Values]:
        """Yield every combination of the names in the space, such as embeddings; one empty combination if it has no names."""
        kinds = {path: part for path, part in self.space.items() if path.endswith(".name") and isinstance(part, list)}
        yield from (dict(zip(kinds, names, strict=True)) for names in product(*kinds.values()))

    @property
    def most_epochs(self) -> int:
        """The largest number of epochs that a seed of a trial can have."""
        part = self.space.get("train.epochs", [])
        listed = part.ends() if isinstance(part, Span) else part
        return max(map(int, (*listed, *(point.config.train.epochs for point in self.points))))

    def samples(self) -> list[RunConfig]:
        """Return a config for each data set and each encoding of it.

        Configs of the same data set are adjacent, so that it is loaded once.
        """
        configs = {_taken(point.config): point.config for point in self.points}.values()
        order = list(dict.fromkeys(config.data for config in configs))
        return sorted(configs, key=lambda config: order.index(config.data))

    def point(self, name: str, overrides: Values) -> Point:
        """Build a point: the base without settings that the point lacks, changed by its overrides; `UsageError` names the point."""
        try:
            return Point(name, overrides, self.config(overrides))
        except UsageError as error:
            raise UsageError(f"point {name}: {error}") from None

    def config(self, overrides: Values) -> RunConfig:
        """Return the base without settings that do not exist under the overrides, changed by the overrides, with seed 0."""
        values = {**self.base, **overrides}
        return build_run({path: value for path, value in values.items() if path in overrides or fits(path, values)})

    def next_factor(self, chosen: Values) -> str | None:
        """Return the path to choose next, names first, because they decide which other factors a point has; None at the end."""
        values = {**self.base, **chosen}
        left = [path for path in self.space if path not in chosen and fits(path, values)]
        return min(left, key=lambda path: (not path.endswith(".name"), path.count(".")), default=None)

    def combinations(self, chosen: Values) -> Iterator[Values]:
        """Yield every combination of the factors that are compatible with `chosen`; a span contributes its two ends."""
        path = self.next_factor(chosen)
        if path is None:
            yield self.in_order(chosen)
            return
        part = self.space[path]
        for value in part.ends() if isinstance(part, Span) else part:
            yield from self.combinations({**chosen, path: value})

    def in_order(self, chosen: Values) -> Values:
        """Return values of factors in the order of the space."""
        return {path: chosen[path] for path in self.space if path in chosen}


def _taken(config: RunConfig) -> tuple[object, ...]:
    """Return the data, and the settings that decide whether a model accepts them: its encoding and its size."""
    embedding = config.model.embedding
    return config.data, embedding.name, embedding.dim, getattr(embedding, "time_input", ""), config.model.shuffle_times


def name_of(overrides: Values) -> str:
    """Return a name for a point that fits into a table: the last word of each path that it changes, and the value."""
    return ", ".join(f"{_short(path)}={value}" for path, value in overrides.items()) or BASE_ROW


def _short(path: str) -> str:
    return path.split(".")[-2] if path.endswith(".name") else path.rsplit(".", 1)[-1]
