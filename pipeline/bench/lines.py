"""A line of a benchmark: a measured quantity with the value of each round, and its target."""

import statistics
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

WHOLE = 100
"""Numbers from this one on are shown without decimals."""


class Target(BaseModel):
    """A lower or an upper bound that a value should satisfy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bound: Literal["at least", "at most"]
    value: float
    where: str = ""
    """A condition that this machine does not meet; the target is then shown without a verdict."""

    def verdict(self, value: float) -> str:
        """Return `met` or `missed`, or "" if the target is for other machines."""
        if self.where:
            return ""
        return "met" if (value >= self.value if self.bound == "at least" else value <= self.value) else "missed"


class Line(BaseModel):
    """One measured quantity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    unit: str
    """`x` for a ratio, empty for a number without a unit."""
    values: Annotated[tuple[float, ...], BeforeValidator(tuple), Field(min_length=1)]
    """The value of each timed round, in order."""
    target: Target | None = None
    note: str = ""

    @property
    def median(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.values)

    def cells(self) -> tuple[str, ...]:
        """Return the cells of a table, in the order of `COLUMNS`."""
        spread = "-"
        if len(self.values) > 1:
            low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
            spread = f"{number(low)} - {number(high)}"
        target = self.target
        wanted = target and f"{target.bound} {with_unit(target.value, self.unit)}{target.where and f' {target.where}'}"
        verdict = target.verdict(self.median) if target else ""
        shown = with_unit(self.median, self.unit)
        return self.name, shown, spread, str(len(self.values)), wanted or "", verdict, self.note


COLUMNS = ("what", "median", "quartiles", "n", "target", "", "note")


def number(value: float) -> str:
    """Return a number with three significant digits, or as a whole number from `WHOLE` on."""
    return f"{value:,.0f}" if abs(value) >= WHOLE else f"{value:.3g}"


def with_unit(value: float, unit: str) -> str:
    """Return a number with its unit, as in `1.5x` or `3 s`."""
    return f"{number(value)}{unit}" if unit in ("x", "") else f"{number(value)} {unit}"


def ratios(over: Sequence[float], under: Sequence[float]) -> tuple[float, ...]:
    """Return the ratio of two sides within each round."""
    return tuple(one / other for one, other in zip(over, under, strict=True))


def at_least(value: float, where: str = "") -> Target:
    """Return the target of a value that should be large."""
    return Target(bound="at least", value=value, where=where)


def at_most(value: float, where: str = "") -> Target:
    """Return the target of a value that should be small."""
    return Target(bound="at most", value=value, where=where)
