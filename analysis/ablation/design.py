"""What a set of trials is as an experiment, which decides what may be said of its factors."""

from dataclasses import dataclass
from math import prod
from typing import Literal

import pandas as pd

from analysis.ablation.trials import Range, Trials
from analysis.wording import listing, plural


@dataclass(frozen=True)
class Design:
    """A complete factorial, one factor at a time around a base point, or neither."""

    kind: Literal["factorial", "one_at_a_time", "other"]
    said: str
    """What it is, or why it is no complete factorial, in words."""
    base: int | None = None
    """Trial that is the base point of a one-at-a-time design."""


def design(trials: Trials) -> Design:
    """Return the design: the complete trials count, and a factorial must have no others."""
    reasons = _not_factorial(trials)
    if not reasons:
        sizes = " x ".join(str(len(space)) for space in trials.spaces.values() if not isinstance(space, Range))
        return Design(
            "factorial", f"Complete factorial: {sizes} = {plural(len(trials.scores), 'point')}, each tried once."
        )
    base = _base(trials)
    if base is None:
        return Design("other", f"No complete factorial: {listing(reasons)}.")
    lost = len(trials.per_trial) - len(trials.scores)
    said = f"One factor at a time: each of {plural(len(trials.scores) - 1, 'trial')} against base trial {base}."
    said += f" {plural(lost, 'trial')} not complete: no row, and pruning hides bad rows." if lost else ""
    return Design("one_at_a_time", said, base)


def _not_factorial(trials: Trials) -> list[str]:
    """Return what keeps the trials from being a complete factorial, empty when they are one."""
    reasons = []
    lost = len(trials.per_trial) - len(trials.scores)
    if lost:
        reasons.append(f"{lost} of {plural(len(trials.per_trial), 'trial')} are not complete")
    ranges = [path for path, space in trials.spaces.items() if isinstance(space, Range)]
    if ranges:
        reasons.append(f"{listing(ranges)} {'is' if len(ranges) == 1 else 'are'} drawn from a range")
    settings = trials.per_trial[trials.factors]
    partly = [path for path in trials.factors if settings[path].isna().any()]
    if partly:
        reasons.append(f"{listing(partly)} {'does' if len(partly) == 1 else 'do'} not apply to every trial")
    if reasons or not trials.factors:
        return reasons or ["there is no factor"]
    choices = {path: list(space) for path, space in trials.spaces.items() if not isinstance(space, Range)}
    if any(not settings[path].isin(known).all() for path, known in choices.items()):
        return ["a trial lies outside the choices"]
    points = prod(map(len, choices.values()))
    distinct = len(settings.drop_duplicates())
    if distinct < len(settings):
        reasons.append(f"{plural(len(settings) - distinct, 'trial')} repeat a point")
    if distinct < points:
        reasons.append(f"{distinct} of {points} points were tried")
    return reasons


def changed(trials: Trials, base: int) -> pd.DataFrame:
    """Return which settings of each complete trial differ from those of `base`: (T, factors), True where both apply."""
    settings = trials.per_trial.loc[trials.scores.index, trials.factors]
    return pd.DataFrame(
        {path: column.ne(column[base]) & column.notna() & pd.notna(column[base]) for path, column in settings.items()},
        index=settings.index,
    )


def _base(trials: Trials) -> int | None:
    """Return the trial that every other differs from in exactly one factor, over at least two factors; None without one.

    Of several it is the one with whose factors most others agree in applying (a row without some factor passes for a base
    point too easily), and then the first tried.
    """
    applies = trials.per_trial.loc[trials.scores.index, trials.factors].notna()
    candidates = []
    for trial in applies.index:
        others = changed(trials, trial).drop(index=trial)
        if others.sum(axis=1).eq(1).all() and others.any().sum() > 1:
            candidates.append((int(applies.ne(applies.loc[trial], axis=1).to_numpy().sum()), int(trial)))
    return min(candidates)[1] if candidates else None
