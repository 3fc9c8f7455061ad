"""What a set of trials is as an experiment, which decides what may be said of its factors."""

from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
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
    bases = [trial for trial in trials.scores.index if _is_base(trials, trial)]
    if len(bases) == 1:
        lost = len(trials.per_trial) - len(trials.scores)
        said = f"One factor at a time: each of {plural(len(trials.scores) - 1, 'trial')} against base trial {bases[0]}."
        said += f" {plural(lost, 'trial')} not complete: no row, and pruning hides bad rows." if lost else ""
        return Design("one_at_a_time", said, int(bases[0]))
    return Design("other", f"No complete factorial: {listing(reasons)}.")


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
    at_base = settings.loc[base]
    return pd.DataFrame(
        {
            path: settings[path].notna() & pd.notna(at_base[path]) & (settings[path] != at_base[path])
            for path in trials.factors
        }
    )


def _is_base(trials: Trials, trial: int) -> bool:
    others = changed(trials, trial).drop(index=trial)
    return bool(len(others)) and bool(np.all(others.sum(axis=1) == 1))
