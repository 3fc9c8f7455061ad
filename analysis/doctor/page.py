"""The page of the encoding doctor: warnings, a unit, a shortlist, and the measurements behind them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.doctor.advice import FIT_LATE, Advice
from analysis.doctor.times import OF_LENGTHS, Times
from analysis.figures import Figure, described, encodings_figure, gaps_figure, units_figure
from analysis.report.html import page
from analysis.wording import as_words, bullets, markdown_table, plain, plural

VERDICTS = {
    "fits": "takes the times, keeps its effective rank, and tells the median gap apart.",
    "blurs": "an event and the same event one median gap later have nearly the same code: it shows longer times only.",
    "collapsed": "uses fewer than three directions, and less than half of those that it uses on the whole times 0 to 783.",
    "constant": "its code does not depend on the times of these events.",
    "refused": "cannot take these times.",
}
GAPLESS = VERDICTS | {"fits": "takes the times and keeps its effective rank; there is no gap above 0 to tell apart."}
METHOD = (
    (
        "Effective rank: the exponential of the entropy of the normalised squared singular values of the codes, columns "
        "standardised: how many directions the codes of the data's events use. Encodings are at their defaults, drawn with seed 0 "
        "and not trained. The code of an event is that of the second of two events, itself and the one before it; what "
        "`position_mamba` and `kan_mammote` make of a longer past is not seen."
    ),
    (
        "Told apart from: the least of seven gaps (the 1, 5, 25, 50, 75, 95 and 99 % quantiles of the gaps above 0) by which an event "
        "must come later for its code to differ by a tenth of what two unrelated codes differ by, in the median over events. Columns are "
        "measured in their standard deviations over the events, in which unrelated codes of D columns are sqrt(2 D) apart. Rounding in "
        "float32 moves a code by less than a twentieth of this tenth at times of up to 1,000."
    ),
    (
        "None of this says which encoding will be more accurate. A trained encoding can leave where it started, and a code of low rank can "
        "be all that a task needs. It says where a training would start, and which encodings cannot see what lies in the times."
    ),
)


def lines(times: Times) -> list[tuple[str, str]]:
    """Return the properties of the times as (name, value) rows, for the terminal and the page."""
    unit = times.unit
    lengths = dict(zip(OF_LENGTHS, np.quantile(times.lengths, OF_LENGTHS, method="inverted_cdf"), strict=True))
    rows = [
        ("sequences", f"{len(times.lengths):,}"),
        ("events", f"{len(times.times):,}, at {plural(times.distinct_times, 'different time')}"),
        ("events of a sequence", ", ".join(f"{_quantile(at)} {value:,.0f}" for at, value in lengths.items())),
        (
            "times",
            f"{times.times.min():,.6g} to {times.largest:,.6g} {unit}, 99 % before {times.late:,.6g}; horizon {times.horizon:,.6g}",
        ),
    ]
    if len(times.positive):
        gaps = {0.0: times.positive[0], **times.gap_quantiles(), 1.0: times.positive[-1]}
        rows.append((f"gaps above 0 ({unit})", ", ".join(f"{_quantile(at)} {gap:,.4g}" for at, gap in gaps.items())))
    return [
        *rows,
        ("ties", f"{times.ties:.2%} of the gaps are 0"),
        ("merged by float32", f"{plural(times.collisions, 'event')}"),
    ]


def _quantile(at: float) -> str:
    return {0.0: "least", 0.5: "median", 1.0: "most"}.get(at, f"{100 * at:g} %")


def doctor_figures(times: Times, advice: Advice, curve: pd.DataFrame) -> dict[str, Figure]:
    """Return the figures by file stem; the figure of gaps needs gaps above 0, and that of units needs `curve`."""
    figures = {}
    if len(times.positive):
        marks = {"median": times.median_gap, "largest": float(times.positive[-1])}
        figures["gaps"] = gaps_figure(times.spectrum(), ties=times.ties, marks=marks, unit=times.unit)
    figures["encodings"] = encodings_figure(advice.encodings)
    if len(curve):
        figures["units"] = units_figure(curve, late=times.late, factor=advice.scale.factor, unit=times.unit)
    return figures


def doctor_page(
    name: str, times: Times, advice: Advice, curve: pd.DataFrame, *, sampled: Sequence[str], notes: Sequence[str]
) -> str:
    """Return the page; `sampled` names the sample if not all data were used, and `notes` describes conversions."""
    figures = doctor_figures(times, advice, curve)
    shown = {stem: f"![{plain(described(figure))}]({stem}.png)" for stem, figure in figures.items()}
    parts = [
        f"# Event times of {as_words(name)}, before a training",
        "## Answer",
        *_answer(advice),
        "## Shortlist",
        bullets(f"`{one}`: {plain(why)}." for one, why in advice.shortlist.items()),
        "## Times",
        bullets([*(f"**{what}**: {plain(said)}" for what, said in lines(times)), *map(plain, [*sampled, *notes])]),
        *_figure(shown, "gaps"),
        "## Unit",
        plain(advice.unit),
        f"`train.frequency_rate`: {_rate(advice)}",
        *_figure(shown, "units"),
        "## Encodings",
        *_figure(shown, "encodings"),
        *_table(advice.encodings, times.unit, GAPLESS if "gapless" in advice.minded else VERDICTS),
        "## How it was measured",
        *METHOD,
    ]
    return page("\n\n".join(part for part in parts if part), figures)


def _answer(advice: Advice) -> list[str]:
    count = len(advice.minded)
    head = f"{plural(count, 'thing')} to mind in these times." if count else "Nothing stands out in these times."
    worth = ", ".join(f"`{name}`" for name in advice.shortlist)
    fits = int((advice.encodings["verdict"] == "fits").sum())
    lead = f"**{head}** {fits} of {len(advice.encodings)} encodings fit them as they are."
    unit = [f"**Unit.** {plain(advice.unit)}"]
    again = (
        " They are for the times as they are; ask again after a change of the unit." if advice.scale.factor != 1 else ""
    )
    last = f"**Worth a training:** {worth}.{again}"
    return [lead, bullets([*(plain(said) for said in advice.minded.values()), *unit, last])]


def _rate(advice: Advice) -> str:
    kept = "keep the default, " if advice.rate == 0.1 else ""  # noqa: PLR2004 - the default
    then = "" if advice.scale.factor == 1 else " in that unit"
    return (
        f"{kept}{advice.rate:g}{then}. An update may then turn the phase of a late event by about as much as the default "
        f"does at 784, where it was chosen; late times of {FIT_LATE[0]:g} to {FIT_LATE[1]:g} units differ little in that."
    )


def _figure(shown: Mapping[str, str], stem: str) -> list[str]:
    return [shown[stem]] if stem in shown else []


def _table(encodings: pd.DataFrame, unit: str, meanings: Mapping[str, str]) -> list[str]:
    """Return what was measured of each encoding, what the verdicts mean, and why some are refused."""
    header = (
        "Encoding",
        "Verdict",
        "Effective rank",
        "On 0 to 783",
        f"Told apart from ({plain(unit)})",
        "Sees",
        "Parameters",
    )
    rows = [
        (
            f"`{row['name']}`",
            row["verdict"],
            "" if row["refused"] else f"{row['rank']:.1f}",
            f"{row['reference']:.1f}",
            "" if row["refused"] else "none of these" if pd.isna(row["resolved"]) else f"{row['resolved']:.3g}",
            row["sees"],
            "" if row["refused"] else f"{row['trained']:,.0f}",
        )
        for _, row in encodings.iterrows()
    ]
    meant = [f"**{verdict}**: {said}" for verdict, said in meanings.items() if verdict in set(encodings["verdict"])]
    refused = encodings[encodings["refused"] != ""].groupby("refused", sort=False)["name"].agg(list)
    why = [f"{', '.join(f'`{name}`' for name in names)}: {plain(str(said))}" for said, names in refused.items()]
    return [
        markdown_table(header, rows, caption="Before training, at the data's own times"),
        bullets([*meant, *why]),
    ]
