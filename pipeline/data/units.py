"""Units of time, and the choice of a unit for dates and durations."""

from math import log
from typing import Any

from numpy.typing import NDArray

UNITS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "second": 1_000_000_000,
    "minute": 60 * 1_000_000_000,
    "hour": 3_600 * 1_000_000_000,
    "day": 86_400 * 1_000_000_000,
    "week": 7 * 86_400 * 1_000_000_000,
}
"""Length of each unit in nanoseconds."""
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Ticks per second, by Arrow's unit."""
GOOD_SPAN = 300
"""Desired largest time in a chosen unit: encodings were designed for times up to some hundreds."""
SINCE_1970 = (10**9, 41 * 10**8)
"""Range of seconds in which whole numbers are assumed to count from 1970: the years 2001 to 2099."""


def unit_for(largest: int, per_second: int) -> str:
    """Return the unit in which the largest elapsed time, in ticks, is nearest to `GOOD_SPAN` by ratio."""
    nanoseconds = max(largest, 1) * (10**9 // per_second)
    return min(UNITS, key=lambda unit: abs(log(nanoseconds / (GOOD_SPAN * UNITS[unit]))))


def epoch_unit(smallest: int, largest: int) -> str | None:
    """Return the unit in which whole numbers count from 1970, if all lie in `SINCE_1970`; the ranges of units do not overlap."""
    for unit, per_second in PER_SECOND.items():
        if SINCE_1970[0] * per_second <= smallest and largest <= SINCE_1970[1] * per_second:
            return unit
    return None


def are_written_dates(numbers: NDArray[Any]) -> bool:
    """Return whether all whole numbers look like dates without separators: 20240131, or 20240131235959."""
    for digits in (8, 12, 14):
        days = numbers // 10 ** (digits - 8)
        years, months = days // 10_000, days // 100 % 100
        in_year = (months >= 1) & (months <= 12) & (days % 100 >= 1) & (days % 100 <= 31)  # noqa: PLR2004 - of a calendar
        if ((years >= 1900) & (years < 2100) & in_year).all():  # noqa: PLR2004
            return True
    return False
