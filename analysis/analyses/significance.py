"""The headline test of differences of the primary metric, and one of four verdicts for each pair.

- A pair is (model_a, model_b), its difference is model_a minus model_b; model_b is the reference, or the earlier model in the
  study.
- The declared family is corrected by Holm. Pairs outside it are exploratory: corrected over all pairs, and labelled.
- Order of precedence: equivalent (TOST), then better or worse, else undecided. A missing significance never means "the same".
- `ci_low` and `ci_high` are unadjusted and belong to the raw p. The adjusted interval has the level of the pair's step in Holm's
  procedure: it excludes zero exactly if the adjusted p is below alpha.
- A pair with a run that is no better than guessing is never equivalent, because two models that learned nothing agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf, isinf, nan, sqrt
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.analyses.deviations import deviations
from analysis.analyses.looking import at_look, by_look, looked_table
from analysis.analyses.pairs import Pair, pairs
from analysis.analyses.primary import of_which, primary_metric
from analysis.figures import differences_figure, significance_figure
from analysis.findings import Finding
from analysis.plan import Plan
from analysis.results import Results, name_cells
from analysis.statistics.outlook import outlook
from analysis.statistics.two_way import (
    LEAST_SEEDS,
    WHOLE,
    Correct,
    Real,
    Strata,
    TwoWay,
    difference,
    hedges_g,
    holm,
    totals,
)
from analysis.wording import bullets, interval, listing, p_value, plural, points, rounded

VERDICTS = ("better", "worse", "equivalent", "undecided")
ERRORS = (
    "ci_low",
    "ci_high",
    "se",
    "se_images",
    "t",
    "tost_low",
    "tost_high",
    "hedges_g",
    "smallest_margin",
    "seeds_to_decide",
    "images_to_decide",
    "p",
    "p_adjusted",
    "p_tost",
    "p_tost_adjusted",
    "adjusted_low",
    "adjusted_high",
)
"""Columns that assume independent seeds; with crossed streams they are NaN."""
REJECTED = {"p": ("better", "worse"), "p_tost": ("equivalent",)}
"""The verdicts that reject the hypothesis of each test."""


def pair_table(results: Results) -> pd.DataFrame:
    """Return one row per pair; differences, intervals and margins in [0, 1] units of the primary metric.

    If the plan has looks, the row of a pair is from the look that decided it, or from the last look.
    """
    return looked_table(results, one_look) if results.plan.looks else one_look(results)


def one_look(results: Results, earlier: Sequence[str] = ()) -> pd.DataFrame:
    """Return the table of pairs by these results; `earlier` are their verdicts at earlier looks, if there were any."""
    plan, found = results.plan, pairs(results)
    if not found:
        return pd.DataFrame()
    models = len(results.models) + len(results.lost)
    answers, declared = [pair.answers(plan.pairing) for pair in found], np.array([pair.declared for pair in found])
    gaps, judged = judge(answers, declared, models, plan, results.strata, earlier=earlier)
    sizes = family_sizes(models, plan)
    rows = [_row(pair, gap, results, sizes[pair.declared]) for pair, gap in zip(found, gaps, strict=True)]
    adjusted = adjusted_intervals(gaps, judged, [sizes[pair.declared] for pair in found], plan)
    table = _without_guessing(pd.DataFrame(rows).assign(**judged, **adjusted), results)
    return table.assign(**dict.fromkeys(ERRORS, nan), verdict="undecided") if results.is_crossed else table


def _without_guessing(table: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Add the guessing seeds of each pair, and call no pair with such seeds equivalent: both may have learned nothing."""
    blind = [
        [cell for cell in results.guessing if cell[0] in (a, b)]
        for a, b in zip(table["model_a"], table["model_b"], strict=True)
    ]
    table = table.assign(guessing=[name_cells(cells) for cells in blind])
    some = table["guessing"] != ""
    table.loc[some, ["p_tost", "p_tost_adjusted"]] = nan
    table.loc[some, "verdict"] = [
        _verdict(row["difference"], row["p_adjusted"], nan, results.plan.alpha) for _, row in table[some].iterrows()
    ]
    return table


def adjusted_intervals(
    gaps: Sequence[TwoWay], judged: Mapping[str, NDArray[Any]], sizes: Sequence[int], plan: Plan
) -> dict[str, list[float]]:
    """Return the ends of each pair's interval at the level alpha p / adjusted p, or alpha / `sizes` if p is 0 or NaN."""
    ends = [
        gap.interval(1 - plan.alpha * (p / adjusted if adjusted > 0 else 1 / size))
        for gap, p, adjusted, size in zip(gaps, judged["p"], judged["p_adjusted"], sizes, strict=True)
    ]
    return {"adjusted_low": [low for low, _ in ends], "adjusted_high": [high for _, high in ends]}


def family_sizes(models: int, plan: Plan) -> dict[bool, int]:
    """Return the number of pairs over which Holm's procedure corrects, for declared (True) and other pairs (False)."""
    every = models * (models - 1) // 2
    return {True: {"all": every, "reference": models - 1, "pairs": len(plan.pairs)}[plan.family], False: every}


def judge(
    answers: Sequence[tuple[Correct | Real, Correct | Real]],
    declared: NDArray[np.bool_],
    models: int,
    plan: Plan,
    strata: Strata = WHOLE,
    *,
    earlier: Sequence[str] = (),
) -> tuple[list[TwoWay], dict[str, NDArray[Any]]]:
    """Return, for each pair of answers, the difference, p, the p of equivalence, both adjusted by Holm, and the verdict.

    `models` includes models without runs. Below LEAST_SEEDS there is no p, and therefore no verdict.
    """
    gaps = [difference(a_Sn, b_Sn, paired=plan.pairing == "paired", strata=strata) for a_Sn, b_Sn in answers]
    return gaps, judge_differences(gaps, declared, models, plan, earlier=earlier)


def judge_differences(
    gaps: Sequence[TwoWay],
    declared: NDArray[np.bool_],
    models: int,
    plan: Plan,
    *,
    earlier: Sequence[str] = (),
) -> dict[str, NDArray[Any]]:
    """Return the same as `judge` for given differences; a pair that was decided earlier keeps its place in Holm's order."""
    before = np.array(earlier or ["undecided"] * len(gaps))
    few = np.array([gap.df < LEAST_SEEDS - 1 for gap in gaps])
    sizes, found = family_sizes(models, plan), dict[str, NDArray[Any]]()
    tests = {"p": [gap.p for gap in gaps], "p_tost": [gap.p_equivalent(plan.margin) for gap in gaps]}
    for name, raw in tests.items():
        p = np.where(few, nan, raw)
        rejected = np.isin(before, REJECTED[name])
        p = np.where(before == "undecided", p, np.where(rejected, 0.0, 1.0))
        adjusted = holm(p, sizes[False])
        adjusted[declared] = holm(p[declared], sizes[True])
        found |= {name: p, f"{name}_adjusted": adjusted}
    found["verdict"] = np.array(
        [
            _verdict(gap.value, p, p_equivalent, plan.alpha)
            for gap, p, p_equivalent in zip(gaps, found["p_adjusted"], found["p_tost_adjusted"], strict=True)
        ]
    )
    return found


@dataclass(frozen=True)
class _Row:
    model_a: str
    model_b: str
    declared: bool
    seeds: int
    """Number of common seeds if paired, otherwise the seeds of the model with fewer."""
    images: int
    difference: float
    ci_low: float
    ci_high: float
    se: float
    se_images: float
    """Part of the standard error that is due to the images; its square is taken as known."""
    t: float
    df: float
    """Degrees of freedom of the variance over seeds: seeds - 1."""
    tost_low: float
    tost_high: float
    hedges_g: float
    smallest_margin: float
    """Smallest margin at which the test would find equivalence if the observed difference were zero."""
    seeds_to_decide: float
    images_to_decide: float


def _row(pair: Pair, gap: TwoWay, results: Results, family_size: int) -> dict[str, object]:
    plan, strata = results.plan, results.strata
    a_Sn, b_Sn = pair.answers(plan.pairing)
    seeds, images = min(len(a_Sn), len(b_Sn)), a_Sn.shape[1]
    low, high = gap.interval(1 - plan.alpha)
    tost_low, tost_high = gap.interval(1 - 2 * plan.alpha)
    paired, alpha = plan.pairing == "paired", plan.alpha / family_size
    needed = outlook(a_Sn, b_Sn, paired=paired, alpha=alpha, margin=plan.margin, strata=strata)
    row = _Row(
        model_a=pair.model_a,
        model_b=pair.model_b,
        declared=pair.declared,
        seeds=seeds,
        images=images,
        difference=gap.value,
        ci_low=low,
        ci_high=high,
        se=gap.se,
        se_images=sqrt(gap.over_images),
        t=gap.t,
        df=gap.df,
        tost_low=tost_low,
        tost_high=tost_high,
        hedges_g=hedges_g(totals(a_Sn, strata), totals(b_Sn, strata)),
        smallest_margin=gap.half_width(1 - 2 * alpha) if seeds >= LEAST_SEEDS else nan,
        seeds_to_decide=needed.seeds,
        images_to_decide=needed.images,
    )
    return asdict(row)


def _verdict(gap: float, p: float, p_equivalent: float, alpha: float) -> str:
    if p_equivalent < alpha:
        return "equivalent"
    if p < alpha:
        return "better" if gap > 0 else "worse"
    return "undecided"


def effect(row: pd.Series, plan: Plan) -> str:
    """Return the effect of a pair in words: points with interval, then p, then Hedges' g.

    If only the unadjusted interval excludes zero, the adjusted one, on which the verdict is based, is added.
    """
    size = f"{points(row['difference'])} points{of_which(plan)}"
    if row["seeds"] == 0:
        return "no seed in common that counts"
    if pd.isna(row["se"]):
        return f"{size}, no interval"
    size = f"{size} {interval(row['ci_low'], row['ci_high'])}"
    if row["ci_low"] * row["ci_high"] > 0 >= row["adjusted_low"] * row["adjusted_high"]:  # only that one excludes zero
        size += f" (adjusted for the number of pairs {interval(row['adjusted_low'], row['adjusted_high'])})"
    if pd.isna(row["p"]):
        return f"{size}, {_effect_size(row['hedges_g'])}"
    return f"{size}, {p_value(row['p'])} (Holm: {p_value(row['p_adjusted'])}), {_effect_size(row['hedges_g'])}"


def _effect_size(g: float) -> str:
    return "no g, because no model varies over seeds" if isinf(g) else f"g = {g:.2f}"


def verdict_line(row: pd.Series, plan: Plan) -> str:
    """Return the verdict on a pair as one sentence with its effect."""
    a, b = row["model_a"], row["model_b"]
    margin = f"{100 * plan.margin:g}"
    said = {
        "better": f"{a} is better than {b}",
        "worse": f"{a} is worse than {b}",
        "equivalent": f"{a} and {b} are equivalent within {margin} points",
        "undecided": f"{a} against {b} is undecided",
    }[row["verdict"]]
    return f"{said}: {effect(row, plan)}"


def seen_from(row: pd.Series, model: str) -> pd.Series:
    """Return a pair with `model` first, mirrored if it was second."""
    if row["model_a"] == model:
        return row
    seen = row.copy()
    seen["model_a"], seen["model_b"] = row["model_b"], row["model_a"]
    for name in ("difference", "t", "hedges_g"):
        seen[name] = -row[name]
    for low, high in (("ci_low", "ci_high"), ("tost_low", "tost_high"), ("adjusted_low", "adjusted_high")):
        seen[low], seen[high] = -row[high], -row[low]
    seen["verdict"] = {"better": "worse", "worse": "better"}.get(row["verdict"], row["verdict"])
    return seen


def what_would_decide(row: pd.Series) -> str:
    """Return in words what would decide an undecided pair."""
    if row["seeds"] < LEAST_SEEDS:
        return f"needs {LEAST_SEEDS} seeds"
    if row["guessing"]:
        return f"no better than guessing: {row['guessing']}, which is no evidence that the models are equivalent"
    if pd.isna(row["se"]):
        return (
            "runs that share levels of their streams are not independent: a study whose streams vary together decides"
        )
    seeds, images = row["seeds_to_decide"], row["images_to_decide"]
    ways = []
    if seeds < inf:
        ways.append(f"about {plural(int(seeds - row['seeds']), 'more seed')} on these sequences")
    if images < inf:
        ways.append(f"about {plural(rounded(images - row['images']), 'more sequence')} with these seeds")
    if not ways:
        return "neither up to 100 seeds nor 100 times the sequences alone would decide it"
    return f"{' or '.join(ways)} would decide it"


def significance(results: Results) -> Finding:
    """Compare every pair of models and say which differences are real."""
    table, plan = pair_table(results), results.plan
    title = "Statistical significance"
    if table.empty:
        return Finding("significance", title, "One model: nothing to compare.", tables={"pairs": table}, listed=())
    declared = table[table["declared"]]
    counted = _counted(declared) + (f" {by_look(declared, plan)}" if plan.looks and len(declared) else "")
    verdicts = [verdict_sentence(row, plan) for _, row in declared.iterrows()]
    notes = _notes(table, plan, results)
    primary = primary_metric(plan).title.lower()
    return Finding(
        name="significance",
        title=title,
        summary="\n\n".join([counted, bullets(verdicts), notes]),
        tables={"pairs": table},
        listed=(),
        figures={
            "statistical_significance": significance_figure(table, results.models, plan.alpha, primary),
            "differences": differences_figure(table, plan.alpha, plan.margin, primary),
        },
        data={
            "plan": plan.model_dump(exclude=plan.idle()),
            "reference": results.reference,
            "plan_hash": results.declaration.hash if results.declaration else "",
            "declared": results.declaration.declared if results.declaration else "",
            "planned_seeds": list(results.declaration.seeds) if results.declaration else [],
            "deviations": deviations(results),
            "caution": _caution(table),
            "counted": counted,
            "verdicts": verdicts,
            "notes": notes,
        },
    )


def _notes(table: pd.DataFrame, plan: Plan, results: Results) -> str:
    """Return notes on the basis of the verdicts, and the pairs that were not declared."""
    declared, explored = table[table["declared"]], table[~table["declared"]]
    test = "paired by seed" if plan.pairing == "paired" else "with independent seeds"
    if plan.primary_metric == "balanced_accuracy":
        test += ", of balanced accuracy (the mean recall of the classes that occur), with the sequences of each class as a stratum"
    level, intervals = f"alpha = {plan.alpha:g}", f"{100 * (1 - plan.alpha):g} %"
    if plan.looks:
        level = f"the level of each look, together {sum(plan.levels):g}"
        intervals = "1 - the level of the pair's look, so that they hold wherever it stopped,"
    notes = [
        (
            f"Test: two-way test over seeds and sequences, {test}; Holm over the declared pairs at {level}; "
            f"equivalence margin {100 * plan.margin:g} points. Intervals are at {intervals} and "
            "unadjusted, so one may exclude zero beside 'undecided': the verdict goes by the adjusted p, which the figures "
            "show with its interval. A difference that is not significant is not evidence of equality."
        ),
        (
            "p: how often one sees a difference this large where there is none; Holm: p after a correction for the number of "
            "pairs, which the verdict goes by; g (Hedges): the difference in standard deviations over seeds; undecided: this study "
            "cannot tell."
        ),
        _shown(declared),
    ]
    if len(explored):
        notes.append("Exploratory pairs, not declared in the plan (Holm over all pairs):")
        notes.append(bullets([verdict_sentence(row, plan) for _, row in explored.iterrows()]))
    if not (plan.looks or results.is_crossed) and (table["verdict"] == "undecided").any():
        notes.append(
            "What would decide a pair is a projection, not a promise: it is the size of study that decides 80 % of the time "
            "at the strictest step of Holm if the observed difference and variances are the true ones. They are not exactly, "
            "and undecided pairs are those where chance made the difference look unclear: in simulated studies the seeds it names "
            "decided 78 to 84 % of such pairs, the sequences it names 22 to 43 %. Seeds added to a finished study because it "
            "was undecided also raise the rate of false verdicts above the level."
        )
    if results.missing:
        notes.append("Cells are missing: each pair uses the seeds that both of its models have.")
    if results.lost:
        lost = f"Without any finished run: {listing(results.lost)}."
        notes.append(f"{lost} Their pairs still count in Holm's correction.")
    return "\n\n".join(notes)


def _caution(table: pd.DataFrame) -> str:
    fewest = int(table["seeds"].min())
    if fewest >= LEAST_SEEDS:
        return ""
    return (
        f"{plural(fewest, 'seed')} of a pair: too few for a verdict. It needs {LEAST_SEEDS} of each model, and 5 to 10 "
        "find much smaller differences."
    )


def _counted(declared: pd.DataFrame) -> str:
    if declared.empty:
        return "No verdict: no declared pair has runs of both of its models."
    counts = [f"{(declared['verdict'] == v).sum()} {v}" for v in VERDICTS if (declared["verdict"] == v).any()]
    return f"{plural(len(declared), 'declared pair')}: {listing(counts)}."


def verdict_sentence(row: pd.Series, plan: Plan) -> str:
    """Return the verdict on a pair with its evidence and, if it is undecided, what would decide it."""
    more = ""
    if row["verdict"] == "undecided" and (not plan.looks or row["guessing"]):
        more = f"; {what_would_decide(row)}"
    if plan.looks:
        more += f"; {at_look(row, plan)}"
    return (
        f"{verdict_line(row, plan)}{more} (n = {plural(row['seeds'], 'seed')} x {plural(row['images'], 'sequence')})."
    )


def _shown(declared: pd.DataFrame) -> str:
    margins = declared["smallest_margin"].dropna()
    if margins.empty:
        few = declared["seeds"].min() < LEAST_SEEDS
        return "No margin could have been shown" + (f": each model needs {LEAST_SEEDS} seeds." if few else ".")
    low, high = 100 * margins.min(), 100 * margins.max()
    size = f"{high:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"
    return (
        "Smallest equivalence margin this study could have shown, had the difference been zero: "
        f"{size} points, depending on the pair."
    )
