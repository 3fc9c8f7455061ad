"""The rules of the encoding doctor: warnings about the times, a verdict on each encoding, a unit, and a shortlist.

Each rule compares a number with a constant named here; docs/doctor.md lists them all. No rule predicts an accuracy.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log10

import pandas as pd

from analysis.doctor.times import Times
from analysis.wording import listing, plural

GOOD_LATE = 300.0
"""Target value of late times when a unit is chosen, as in the file reader."""
FIT_LATE = (30.0, 3000.0)
"""Range of late times, in the present unit, for which the unit is kept."""
HUGE = 100.0
"""The largest gap is an outlier from this multiple of the 95 % quantile of the gaps."""
STRETCHED = 10.0
"""Outliers determine the horizon from this multiple of the late times."""
MANY_TIES = 0.01
"""Share of gaps equal to 0 from which a warning is given."""
WIDE_RANGE = 1e4
"""Ratio of late time to median gap from which no unit resolves both."""
COLLAPSED, LOST = 3.0, 0.5
"""An encoding is collapsed if its effective rank, and its share of the rank on the times 0 to 783, are both below these."""
LARGEST_READ = 2**24
"""Largest time that the file reader accepts."""
MEASURED_AT = 784.0
"""Horizon at which `train.frequency_rate` was chosen (decision 0009)."""
DEFAULT_RATE = 0.1
KEEP_RATE = 3.0
"""The default rate is kept if the fitting rate is within this factor of it."""
NOTHING, TIME, GAP, BOTH = "nothing", "time", "gap", "time and gap"
"""The inputs of an encoding."""


@dataclass(frozen=True)
class Scale:
    """Another unit of time: its factor, and how to change to it."""

    factor: float
    how: str


@dataclass(frozen=True, eq=False)
class Advice:
    """The results of the rules."""

    minded: Mapping[str, str]
    """Warnings, by the name of the rule."""
    encodings: pd.DataFrame
    """Measurements of each encoding, with its `verdict`: refused, constant, collapsed, blurs or fits."""
    scale: Scale
    unit: str
    """Text of the advice on the unit."""
    rate: float
    """The recommended `train.frequency_rate`."""
    shortlist: Mapping[str, str]
    """The reason for each encoding that is worth training."""


def scales(times: Times, units: Mapping[str, float]) -> list[Scale]:
    """Return the units to choose from: those of `units`, each with its factor, or powers of ten for times without a unit."""
    if units:
        return [
            Scale(factor, "Keep the unit" if factor == 1 else f"Set data.time_unit to {name}")
            for name, factor in units.items()
        ]
    nearest = round(log10(GOOD_LATE / times.late)) if times.late else 0
    return [Scale(10.0**power, _told(power)) for power in range(min(nearest, 0) - 3, max(nearest, 0) + 4)]


def _told(power: int) -> str:
    if not power:
        return "Keep the unit"
    return f"{'Multiply' if power > 0 else 'Divide'} the times by {10 ** abs(power):,}"


def advise(times: Times, encodings: pd.DataFrame, units: Mapping[str, float], curve: pd.DataFrame) -> Advice:
    """Return the results of the rules.

    `encodings` has one row per encoding: name, refused (reason, or ""), sees, table, trained (parameters), rank (effective, for these
    times), reference (effective rank for the times 0 to 783), resolved (smallest gap resolved, NaN if none). `curve` has the
    effective rank of some encodings by name and by factor of the unit.
    """
    judged = encodings.assign(verdict=[verdict(row, times) for _, row in encodings.iterrows()])
    scale = fitting_scale(times, scales(times, units))
    minded = {name: said for name, rule in RULES.items() if (said := rule(times))}
    minded |= _collapses(judged)
    rate = DEFAULT_RATE if times.is_constant else fitting_rate(times.late * scale.factor)
    return Advice(minded, judged, scale, _unit(times, scale, curve), rate, shortlist(judged, times))


def verdict(row: pd.Series, times: Times) -> str:
    """Return the verdict on an encoding."""
    if row["refused"]:
        return "refused"
    if row["rank"] == 0:
        return "constant"
    most = min(row["reference"], (times.distinct_gaps if row["sees"] == GAP else times.distinct_times) - 1)
    if row["rank"] < min(COLLAPSED, LOST * most):
        return "collapsed"
    return "fits" if row["resolved"] <= times.median_gap or _is_gapless(times) else "blurs"


def fitting_scale(times: Times, choices: Sequence[Scale]) -> Scale:
    """Return the unit to use: the present one if late times fit, else the one in which they are nearest to 300, by ratio."""
    if times.is_constant or not times.late or FIT_LATE[0] <= times.late <= FIT_LATE[1]:
        return Scale(1.0, "Keep the unit")
    ratios = [max(times.late * one.factor / GOOD_LATE, GOOD_LATE / (times.late * one.factor)) for one in choices]
    return choices[ratios.index(min(ratios))]


def fitting_rate(late: float) -> float:
    """Return the `train.frequency_rate` that changes the phase at late times as much per update as the default does at time 784."""
    rate = float(f"{min(DEFAULT_RATE * MEASURED_AT / late, 1.0):.1g}") if late else DEFAULT_RATE
    return DEFAULT_RATE if 1 / KEEP_RATE <= rate / DEFAULT_RATE <= KEEP_RATE else rate


def shortlist(judged: pd.DataFrame, times: Times) -> dict[str, str]:
    """Return the shortlist: the control, the baseline if it is trainable, and the fitting encoding of the highest rank of each kind."""
    chosen = {"none": "the control: what the number and the order of the events tell without their times"}
    fits = judged[judged["verdict"] == "fits"]
    if "position" in set(fits["name"]) and times.horizon <= len(times.times):
        share = len(times.times) / times.horizon
        chosen["position"] = (
            f"the baseline: a free code for each of the {times.horizon:,.0f} times, {share:.3g} events for each"
        )
    gaps_are_one = _is_regular(times) or _is_gapless(times)
    fits = fits[~fits["table"] & ~(gaps_are_one & fits["sees"].isin([GAP, BOTH]))]
    kinds = {
        "encodings of time without parameters": fits[(fits["sees"] == TIME) & (fits["trained"] == 0)],
        "trained encodings of time": fits[(fits["sees"] == TIME) & (fits["trained"] > 0)],
        "encodings of gaps": fits[fits["sees"] == GAP],
        "encodings of time and gap together": fits[fits["sees"] == BOTH],
    }
    for kind, rows in kinds.items():
        if len(rows):
            best = rows.iloc[int(rows["rank"].to_numpy().argmax())]
            among = f"the highest effective rank ({best['rank']:.1f}) of the {len(rows)} {kind} that fit"
            chosen[str(best["name"])] = among if len(rows) > 1 else f"alone among the {kind} it fits"
    return chosen


def _is_regular(times: Times) -> bool:
    """Return whether all gaps are equal."""
    return len(times.positive) > 0 and times.ties == 0 and bool(times.positive[0] == times.positive[-1])


def _is_gapless(times: Times) -> bool:
    """Say whether times differ between sequences, but within none."""
    return len(times.positive) == 0 and not times.is_constant


def _constant(times: Times) -> str:
    if not times.is_constant:
        return ""
    return (
        f"Time carries nothing: every event has the time {times.largest:g}. Its code is a constant in every "
        "encoding, or tells no more than which event is the first, so only the number of events, and features, can tell classes apart."
    )


def _collided(times: Times) -> str:
    if not times.collisions:
        return ""
    return (
        f"{plural(times.collisions, 'event')} would fall on the time of the event before in float32, though the file has them "
        f"apart: at the largest time, {times.largest:,.6g} {times.unit}, float32 moves in steps of {times.float_step:.2g}. A "
        "training refuses this file. Round the times to steps of that size; or, where few events lie far out, remove them."
    )


def _huge(times: Times) -> str:
    usual = times.gap_quantiles().get(0.95)
    if usual is None:
        return ""
    gap, name = times.widest()
    if gap < HUGE * usual:
        return ""
    return (
        f"The largest gap, {gap:,.6g} {times.unit} in sequence {name}, is {gap / usual:,.3g} times the 95 % quantile of the gaps. "
        "Look whether it is an error."
    )


def _stretched(times: Times) -> str:
    if times.is_constant or times.horizon < STRETCHED * times.late:
        return ""
    return (
        f"The time axis is {times.horizon:,.6g} {times.unit} long, and 99 % of the events lie before {times.late:,.6g}. Encodings "
        f"that scale by its length spend {100 * times.late / times.horizon:.2g} % of their range on these."
    )


def _tied(times: Times) -> str:
    if times.is_constant or times.ties < MANY_TIES:
        return ""
    return (
        f"{times.ties:.1%} of the gaps are 0: events at one time have the same code of time, and only their order and their "
        "features tell them apart."
    )


def _regular(times: Times) -> str:
    if not _is_regular(times):
        return ""
    return f"All gaps are {times.positive[0]:g} {times.unit}: a gap says nothing, and a time no more than the place in the sequence."


def _gapless(times: Times) -> str:
    if not _is_gapless(times):
        return ""
    return (
        "No gap is above 0: all events of a sequence are at one time, so only times can tell sequences apart, and no encoding is "
        "judged by the gaps that it tells apart."
    )


def _off_scale(times: Times) -> str:
    if times.is_constant or not times.late or FIT_LATE[0] <= times.late <= FIT_LATE[1]:
        return ""
    end = "small" if times.late < FIT_LATE[0] else "large"
    return f"Times are {end} for encodings of raw times: 99 % lie before {times.late:,.4g} {times.unit}; see the unit below."


def _wide(times: Times) -> str:
    if not times.median_gap * WIDE_RANGE < times.late:
        return ""
    return (
        f"Late times are {times.late / times.median_gap:,.2g} median gaps long: no unit shows an encoding of raw times both. "
        "Encodings of the gap see the gaps whatever the time is."
    )


RULES: dict[str, Callable[[Times], str]] = {
    "constant": _constant,
    "collisions": _collided,
    "outlier": _huge,
    "stretched": _stretched,
    "scale": _off_scale,
    "range": _wide,
    "ties": _tied,
    "regular": _regular,
    "gapless": _gapless,
}
"""Each rule returns the warning about the times, or "" where there is none."""


def _collapses(judged: pd.DataFrame) -> dict[str, str]:
    """Return warnings about effective ranks."""
    rows = judged[judged["verdict"] == "collapsed"]
    if rows.empty:
        return {}
    deepest = rows.assign(lost=rows["rank"] / rows["reference"]).nsmallest(4, "lost")
    named = [f"{row['name']} from {row['reference']:.1f} to {row['rank']:.1f}" for _, row in deepest.iterrows()]
    most = "most of all " if len(rows) > len(named) else ""
    lose = "encoding loses" if len(rows) == 1 else "encodings lose"
    said = f"{len(rows)} {lose} more than half of the effective rank at these times: {most}{listing(named)}."
    return {"collapse": said}


def _unit(times: Times, scale: Scale, curve: pd.DataFrame) -> str:
    """Return the advice on the unit and its reason."""
    if times.is_constant:
        return "Any: the time is a constant."
    now = f"99 % of the times lie before {times.late:,.4g} {times.unit}"
    designed = "encodings of raw times were designed for some hundreds of units"
    low, high = FIT_LATE
    if scale.factor == 1:
        fit = (
            f"({low:g} to {high:g} are taken for that)" if low <= times.late <= high else "and no other unit is nearer"
        )
        return f"Keep the unit: {now}; {designed} {fit}."
    ranks = curve.pivot_table(index="factor", columns="name", values="rank", sort=False)
    steps = [f"{name} from {of[1.0]:.1f} to {of[scale.factor]:.1f}" for name, of in ranks.items()]
    largest = times.largest * scale.factor
    past = (
        f" Before that, remove what lies far out: times are read up to {LARGEST_READ:,}."
        if largest > LARGEST_READ
        else ""
    )
    return (
        f"{scale.how}: {now}, and {designed}. Then 99 % lie before {times.late * scale.factor:,.4g}, and the effective rank goes, "
        f"for {listing(steps)}.{past}"
    )
