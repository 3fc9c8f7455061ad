"""The experimental design of a set of trials, which decides which conclusions about its factors are valid.

Letters: T complete trials, F factors.
"""

from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.ablation.trials import Bounds, Trials
from analysis.wording import listing, plural

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Design:
    """A complete factorial, one factor at a time around a base point, or neither."""

    kind: Literal["factorial", "one_at_a_time", "other"]
    said: str
    """Description of the design, or the reason why it is not a complete factorial."""
    base: int | None = None
    """The trial that is the base point of a one-at-a-time design."""


def design(trials: Trials) -> Design:
    """Return the design of the complete trials; a factorial must have no incomplete trials."""
    reasons = _not_factorial(trials)
    if not reasons:
        sizes = " x ".join(str(len(space)) for space in trials.spaces.values() if not isinstance(space, Bounds))
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
    """Return the reasons why the trials are not a complete factorial; empty when they are one."""
    reasons = []
    lost = len(trials.per_trial) - len(trials.scores)
    if lost:
        reasons.append(f"{lost} of {plural(len(trials.per_trial), 'trial')} are not complete")
    ranges = [path for path, space in trials.spaces.items() if isinstance(space, Bounds)]
    if ranges:
        reasons.append(f"{listing(ranges)} {'is' if len(ranges) == 1 else 'are'} drawn from a range")
    settings = trials.per_trial[trials.factors]
    partly = [path for path in trials.factors if settings[path].isna().any()]
    if partly:
        reasons.append(f"{listing(partly)} {'does' if len(partly) == 1 else 'do'} not apply to every trial")
    if reasons or not trials.factors:
        return reasons or ["there is no factor"]
    choices = {path: list(space) for path, space in trials.spaces.items() if not isinstance(space, Bounds)}
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
    """Return which settings of each complete trial differ from those of `base`: (T, F), True only where both apply."""
    codes_TF, complete = _codes(trials), trials.scores.index
    return pd.DataFrame(_differs(codes_TF, codes_TF[complete.get_loc(base)]), index=complete, columns=trials.factors)


def _codes(trials: Trials) -> Codes:
    """Return the settings of the complete trials as numbers (T, F): equal settings have equal numbers, and -1 means not applicable."""
    settings = trials.per_trial.loc[trials.scores.index, trials.factors]
    codes = [pd.factorize(column)[0] for _, column in settings.items()]
    return np.array(codes, dtype=np.int64).reshape(settings.shape[::-1]).T


def _differs(codes_TF: Codes, base_F: Codes) -> NDArray[np.bool_]:
    different: NDArray[np.bool_] = (codes_TF != base_F) & (codes_TF >= 0) & (base_F >= 0)
    return different


def _base(trials: Trials) -> int | None:
    """Return the trial that differs from every other in exactly one factor, over at least two factors; None if there is none.

    Among several, prefer the one that has the same applicable factors as most others (a trial without some factor is too easily a base
    point), and then the earliest.
    """
    codes_TF = _codes(trials)
    candidates = []
    for trial, base_F in zip(trials.scores.index, codes_TF, strict=True):
        differs_TF = _differs(codes_TF, base_F)
        ones = int((differs_TF.sum(axis=1) == 1).sum())
        if ones == len(codes_TF) - 1 and differs_TF.any(axis=0).sum() > 1:  # all but itself
            candidates.append((int(((codes_TF >= 0) != (base_F >= 0)).sum()), int(trial)))
    return min(candidates)[1] if candidates else None
