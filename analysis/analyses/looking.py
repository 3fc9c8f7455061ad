"""Looks at a study whose plan has them: a group-sequential design, in which the first verdict on a pair is final.

- At a look, all declared pairs that are still open are judged by the seeds so far, at the level of the look. The levels add up to
  at most alpha, so the verdicts hold at alpha for any dependence of the looks (Bonferroni over looks).
- Holm's procedure corrects over the declared family at each look. A pair that was decided before keeps its place: with p = 0 in the
  family of its verdict, and with p = 1 in the other. No pair leaves a family without being rejected in it, so the
  first false rejection needs a p below level / (number of true hypotheses).
- The first look counts once every model has all its seeds, and a later one once every model with an open pair has. No look is taken
  while a model has no finished run. Exploratory pairs are judged again at each look.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isclose, isnan

import numpy as np
import pandas as pd

from analysis.plan import Plan
from analysis.results import Results
from analysis.wording import listing, plural

Judge = Callable[[Results, Sequence[str]], pd.DataFrame]
"""Returns the table of pairs at one look, given the verdicts of earlier looks."""
UNDECIDED = "undecided"
LEDGER = (
    "look",
    "seeds",
    "level",
    "model_a",
    "model_b",
    "difference",
    "p",
    "p_adjusted",
    "p_tost",
    "p_tost_adjusted",
    "verdict",
)
"""Columns of the ledger of looks; a stored ledger also has the time of each look."""
SAME = 1e-9
"""Largest difference between a number and its value after writing and reading."""


@dataclass(frozen=True, eq=False)
class Look:
    """The results of a look."""

    seeds: int
    level: float
    table: pd.DataFrame
    """The judged pairs, one row each."""
    open: pd.Series
    """Whether each pair was declared and not decided before."""

    @property
    def undecided(self) -> pd.DataFrame:
        """The pairs that are still open after the look."""
        return self.table[self.open & (self.table["verdict"] == UNDECIDED)]


def take_looks(results: Results, judge: Judge) -> list[Look]:
    """Return all looks for which the results have enough seeds, until every declared pair is decided."""
    taken: list[Look] = []
    earlier: list[str] = []
    waited = set() if results.lost or len(results.models) == 1 else set(results.models)
    for seeds, level in zip(results.plan.looks, results.plan.levels, strict=True):
        if not waited:
            break
        seen = results.first_seeds(seeds, level)
        if any(len(seen.seeds(model)) < seeds for model in waited):
            break
        table = judge(seen, earlier)
        verdicts = earlier or [UNDECIDED] * len(table)
        is_open = table["declared"] & pd.Series([verdict == UNDECIDED for verdict in verdicts], dtype=bool)
        taken.append(Look(seeds, level, table, is_open))
        earlier = list(np.where(is_open, table["verdict"], verdicts))
        waited = {*taken[-1].undecided["model_a"], *taken[-1].undecided["model_b"]}
    return taken


def looked_table(results: Results, judge: Judge) -> pd.DataFrame:
    """Return one row per pair, from the look that decided it, or else from the last look.

    `look` is the number of seeds of that look, 0 before the first look.
    """
    looks = take_looks(results, judge)
    if not looks:
        level = results.plan.levels[0]
        table = judge(results.first_seeds(results.plan.looks[0], level), [])
        return table.assign(verdict=UNDECIDED, look=0, level=level)
    rows = []
    for place in range(len(looks[0].table)):
        mine = [look for look in looks if look.open[place]] or looks
        rows.append(mine[-1].table.iloc[[place]].assign(look=mine[-1].seeds, level=mine[-1].level))
    return pd.concat(rows, ignore_index=True)


def ledger(looks: Sequence[Look]) -> pd.DataFrame:
    """Return the ledger of looks: one row per look and pair that was open."""
    rows = [
        look.table[look.open].assign(look=number, seeds=look.seeds, level=look.level)[list(LEDGER)]
        for number, look in enumerate(looks, 1)
    ]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=list(LEDGER))


def disagreement(stored: pd.DataFrame, found: pd.DataFrame) -> str:
    """Return the first difference of a stored ledger from the one that follows from the predictions; "" if there is none."""
    for (_, one), (_, other) in zip(stored.iterrows(), found.iterrows(), strict=False):
        for name in LEDGER:
            if not _same(one[name], other[name]):
                place = f"the look at {plural(int(one['seeds']), 'seed')}, {one['model_a']} against {one['model_b']}"
                return f"{place}: {name} is {_shown(one[name])} in the ledger and {_shown(other[name])} from the predictions"
    if len(stored) != len(found):
        return f"the ledger has {plural(len(stored), 'row')}, and {len(found)} follow from the predictions"
    return ""


def _same(one: str | float, other: str | float) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return (isnan(one) and isnan(other)) or isclose(one, other, rel_tol=0, abs_tol=SAME)


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def at_look(row: pd.Series, plan: Plan) -> str:
    """Return in words at which look a pair was decided, or judged last."""
    if row["look"] == 0:
        return f"no look yet, the first is at {plan.looks[0]} seeds"
    if row["verdict"] != UNDECIDED:
        return f"decided at the look at {row['look']} seeds, level {row['level']:g}"
    if row["look"] == plan.looks[-1]:
        return f"the look at {row['look']} seeds was the last"
    return f"the next look is at {plan.looks[plan.looks.index(row['look']) + 1]} seeds"


def by_look(declared: pd.DataFrame, plan: Plan) -> str:
    """Return in words which look decided which declared pair, and which pairs are open."""
    said = []
    for seeds, level in zip(plan.looks, plan.levels, strict=True):
        rows = declared[(declared["look"] == seeds) & (declared["verdict"] != UNDECIDED)]
        if len(rows):
            said.append(f"at {seeds} seeds (level {level:g}) {_named(rows)}")
    left = declared[declared["verdict"] == UNDECIDED]
    last = declared["look"].max()
    text = f"Decided by the looks: {'; '.join(said)}." if said else "The looks have decided nothing."
    if left.empty:
        return text
    if last == plan.looks[-1]:
        return f"{text} Undecided after the last look, at {last} seeds: {_named(left)}."
    return f"{text} Not decided yet, and the looks are not over: {_named(left)}. Run the same compare again."


def _named(rows: pd.DataFrame) -> str:
    return listing(f"{row['model_a']} against {row['model_b']}" for _, row in rows.iterrows())
