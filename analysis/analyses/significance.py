"""Which differences of test accuracy are real: the headline test, and a verdict of four for each pair.

- A pair is (model_a, model_b), and its difference model_a minus model_b; model_b is the reference, or earlier in the
  study.
- The declared family is corrected by Holm. Pairs outside it are exploratory: corrected over all pairs, and labelled.
- Precedence: equivalent (TOST), then better or worse, else undecided. Absence of significance is never "the same".
- Intervals are unadjusted and belong to the raw p.
"""

from dataclasses import asdict, dataclass
from math import inf, nan

import pandas as pd

from analysis.analyses.deviations import deviations
from analysis.analyses.pairs import Pair, pairs
from analysis.figures import significance_figure
from analysis.findings import Finding
from analysis.plan import Plan
from analysis.results import Results
from analysis.statistics.outlook import outlook
from analysis.statistics.two_way import Estimate, difference, hedges_g, holm
from analysis.wording import bullets, interval, listing, p_value, plural, points, rounded

FALSE_POSITIVES = {2: 13, 3: 8, 4: 7}
"""Percent of studies without a difference in which the test finds one at alpha = 0.05, by number of seeds.

The most over all shares of the seeds in the variance: tests/analysis/statistics/test_two_way.py simulates it.
"""
VERDICTS = ("better", "worse", "equivalent", "undecided")


def pair_table(results: Results) -> pd.DataFrame:
    """Return one row per pair; differences, intervals and margins in [0, 1] units of accuracy."""
    plan, found = results.plan, pairs(results)
    models = len(results.models) + len(results.lost)
    every = models * (models - 1) // 2
    sizes = {True: every if plan.family == "all" else models - 1, False: every}
    table = pd.DataFrame([_row(pair, plan, sizes[pair.declared]) for pair in found])
    if table.empty:
        return table
    for name in ("p", "p_tost"):
        table[f"{name}_adjusted"] = holm(table[name].to_numpy(), sizes[False])
        declared = table["declared"].to_numpy()
        table.loc[declared, f"{name}_adjusted"] = holm(table.loc[declared, name].to_numpy(), sizes[True])
    table["verdict"] = [
        _verdict(gap, p, p_equivalent, plan.alpha)
        for gap, p, p_equivalent in table[["difference", "p_adjusted", "p_tost_adjusted"]].to_numpy(dtype=float)
    ]
    return table


@dataclass(frozen=True)
class _Row:
    model_a: str
    model_b: str
    declared: bool
    seeds: int
    images: int
    difference: float
    ci_low: float
    ci_high: float
    se: float
    t: float
    df: float
    p: float
    tost_low: float
    tost_high: float
    p_tost: float
    hedges_g: float
    smallest_margin: float
    """Margin that the test could have shown to hold, had the difference been zero."""
    seeds_to_decide: float
    images_to_decide: float


def _row(pair: Pair, plan: Plan, family_size: int) -> dict[str, object]:
    seeds, images = pair.correct_a.shape
    paired = plan.pairing == "paired"
    gap = difference(pair.correct_a, pair.correct_b, paired=paired) if seeds else Estimate(nan, nan, nan)
    low, high = gap.interval(1 - plan.alpha)
    tost_low, tost_high = gap.interval(1 - 2 * plan.alpha)
    needed = outlook(pair.correct_a, pair.correct_b, paired=paired, alpha=plan.alpha / family_size, margin=plan.margin)
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
        t=gap.t,
        df=gap.df,
        p=gap.p,
        tost_low=tost_low,
        tost_high=tost_high,
        p_tost=gap.p_equivalent(plan.margin),
        hedges_g=hedges_g(pair.correct_a.sum(axis=1), pair.correct_b.sum(axis=1)),
        smallest_margin=gap.half_width(1 - 2 * plan.alpha / family_size),
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


def effect(row: pd.Series) -> str:
    """Return the effect of a pair in words: points with interval first, then p, then Hedges' g."""
    if row["seeds"] == 0:
        return "no seed in common"
    if pd.isna(row["se"]):
        return f"{points(row['difference'])} points, no interval"
    return (
        f"{points(row['difference'])} points {interval(row['ci_low'], row['ci_high'])}, {p_value(row['p'])} "
        f"(Holm: {p_value(row['p_adjusted'])}), g = {row['hedges_g']:.2f}"
    )


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
    return f"{said}: {effect(row)}"


def what_would_decide(row: pd.Series) -> str:
    """Return what an undecided pair needs, in words."""
    if row["seeds"] < 2:  # noqa: PLR2004  a variance over seeds needs two
        return "needs 2 seeds"
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
        return Finding("significance", title, "One model: nothing to compare.", tables={"pairs": table})
    declared = table[table["declared"]]
    counted, verdicts = _counted(declared), [_sentence(row, plan) for _, row in declared.iterrows()]
    notes = _notes(table, plan, results)
    return Finding(
        name="significance",
        title=title,
        summary="\n\n".join([counted, bullets(verdicts), notes]),
        tables={"pairs": table},
        figures={"statistical_significance": significance_figure(table, results.models, plan.alpha)},
        data={
            "plan": plan.model_dump(),
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
    """Return what the verdicts rest on, and the pairs that were not declared."""
    declared, explored = table[table["declared"]], table[~table["declared"]]
    test = "paired by seed" if plan.pairing == "paired" else "with independent seeds"
    notes = [
        (
            f"Test: two-way t over seeds and sequences, {test}; Holm over the declared pairs at alpha = {plan.alpha:g}; "
            f"equivalence margin {100 * plan.margin:g} points. Intervals are at {100 * (1 - plan.alpha):g} % and "
            "unadjusted. A difference that is not significant is not evidence of equality."
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
        notes.append(bullets([_sentence(row, plan) for _, row in explored.iterrows()]))
    if (table["verdict"] == "undecided").any():
        notes.append(
            "What would decide a pair assumes that the observed difference and variances hold, a power of 80 %, "
            "and the strictest step of Holm. From few seeds it is a rough guess."
        )
    if results.missing:
        notes.append("Cells are missing: each pair uses the seeds that both of its models have.")
    if results.lost:
        lost = f"Without any finished run: {listing(results.lost)}."
        notes.append(f"{lost} Their pairs still count in Holm's correction.")
    return "\n\n".join(notes)


def _caution(table: pd.DataFrame) -> str:
    fewest = int(table["seeds"].min())
    if fewest not in FALSE_POSITIVES:
        return ""
    return (
        f"{fewest} seeds are few: where they differ by more than the sequences explain, the test finds a difference that is "
        f"not there in up to {FALSE_POSITIVES[fewest]} % of studies at a nominal 5 %; with 5 seeds in 6 %, with 10 in 5 %."
    )


def _counted(declared: pd.DataFrame) -> str:
    counts = [f"{(declared['verdict'] == v).sum()} {v}" for v in VERDICTS if (declared["verdict"] == v).any()]
    return f"{plural(len(declared), 'declared pair')}: {listing(counts)}."


def _sentence(row: pd.Series, plan: Plan) -> str:
    more = f"; {what_would_decide(row)}" if row["verdict"] == "undecided" else ""
    return (
        f"{verdict_line(row, plan)}{more} (n = {plural(row['seeds'], 'seed')} x {plural(row['images'], 'sequence')})."
    )


def _shown(declared: pd.DataFrame) -> str:
    margins = declared["smallest_margin"].dropna()
    if margins.empty:
        return "No margin could have been shown: each model needs 2 seeds."
    low, high = 100 * margins.min(), 100 * margins.max()
    size = f"{high:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"
    return (
        "Smallest equivalence margin this study could have shown, had the difference been zero: "
        f"{size} points, depending on the pair."
    )
