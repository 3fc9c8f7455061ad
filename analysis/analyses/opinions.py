"""Second opinions: all other tests of each pair besides the headline test, in one table, and omnibus tests.

None of them decides a verdict. If they disagree with the headline test, they usually answer a narrower question: about these
images (t, permutation and rank tests over seeds) or about these trained weights (McNemar, Cochran). All of them are about
test accuracy, whatever the primary metric is.
"""

from dataclasses import asdict, dataclass
from math import isfinite, isnan, nan

import numpy as np
import pandas as pd

from analysis.analyses.pairs import Pair, pairs
from analysis.analyses.primary import about_accuracy
from analysis.findings import Finding
from analysis.results import Results
from analysis.statistics.bootstrap import COVERAGE, Resampled, crossed_interval, resample_images
from analysis.statistics.detectable import seeds_needed, smallest_effect
from analysis.statistics.effect_sizes import cohens_dz, posterior, probability_of_improvement
from analysis.statistics.image_tests import cochran_q, discordant, mcnemar
from analysis.statistics.randomness import stream
from analysis.statistics.seed_tests import (
    flip_floor,
    label_floor,
    label_permutation,
    mann_whitney,
    paired_t,
    permutation_f,
    sign_flip,
    welch,
    wilcoxon,
)
from analysis.statistics.two_way import LEAST_SEEDS, Estimate, difference, hedges_g
from analysis.wording import UNKNOWN, interval, listing, markdown_table, percent, plural, points

TITLE = "Second opinions"


@dataclass(frozen=True)
class _Row:
    model_a: str
    model_b: str
    declared: bool
    seeds: int
    difference: float
    ci_low: float
    ci_high: float
    p: float
    p_other_pairing: float
    """The p of the two-way test with the other pairing: paired if the plan is unpaired, and vice versa."""
    p_welch: float
    welch_low: float
    welch_high: float
    p_paired_t: float
    paired_t_low: float
    paired_t_high: float
    p_permutation: float
    """The p of the sign-flip test if paired, otherwise of the label permutation test."""
    permutation_floor: float
    p_wilcoxon: float
    """NaN if the floor of the test is above alpha, because it could never reject."""
    wilcoxon_floor: float
    p_mann_whitney: float
    mann_whitney_floor: float
    mcnemar_significant: int
    """Number of seeds whose mid-p is below alpha."""
    mcnemar_exact_significant: int
    bootstrap_low: float
    bootstrap_high: float
    hedges_g: float
    d_z: float
    improvement: float
    p_better: float
    p_within: float
    p_worse: float


def opinion_table(results: Results) -> pd.DataFrame:
    """Return one row per pair that shares a seed; differences and intervals in [0, 1] units of test accuracy."""
    everything_Rn = np.concatenate([results.correct[model] for model in results.models])
    drawn_BR = resample_images(everything_Rn, stream("crossed bootstrap", "images"))
    starts = np.cumsum([0, *(len(results.correct[model]) for model in results.models)])
    drawn = {model: drawn_BR[:, a:b] for model, a, b in zip(results.models, starts, starts[1:], strict=False)}
    return pd.DataFrame([asdict(_row(pair, results, drawn)) for pair in pairs(results) if pair.seeds])


def _row(pair: Pair, results: Results, drawn: dict[str, Resampled]) -> _Row:
    plan, paired, seeds = results.plan, results.plan.pairing == "paired", len(pair.seeds)
    images = pair.correct_a.shape[1]
    right_a, right_b = pair.correct_a.sum(axis=1), pair.correct_b.sum(axis=1)
    two_way = difference(*pair.answers(plan.pairing), paired=paired)
    other = difference(*pair.answers("unpaired" if paired else "paired"), paired=not paired)
    over_seeds = {"welch": welch(right_a, right_b), "paired_t": paired_t(right_a, right_b)}
    named = stream("seed tests", pair.model_a, pair.model_b)
    floors = flip_floor(right_a - right_b), label_floor(right_a, right_b)
    exact, mid = mcnemar(*discordant(pair.correct_a, pair.correct_b))
    low, high = two_way.interval(1 - plan.alpha)
    drawn_a, drawn_b = (
        drawn[model][:, np.searchsorted(results.seeds(model), pair.seeds)] for model in (pair.model_a, pair.model_b)
    )
    boot_low, boot_high = crossed_interval(
        drawn_a,
        drawn_b,
        stream("crossed bootstrap", pair.model_a, pair.model_b),
        paired=paired,
        level=1 - plan.alpha,
    )
    lies = posterior(two_way, plan.margin)
    return _Row(
        model_a=pair.model_a,
        model_b=pair.model_b,
        declared=pair.declared,
        seeds=seeds,
        difference=two_way.value,
        ci_low=low,
        ci_high=high,
        p=two_way.p if two_way.df >= LEAST_SEEDS - 1 else nan,
        p_other_pairing=other.p if other.df >= LEAST_SEEDS - 1 else nan,
        **_over_seeds(over_seeds, images, 1 - plan.alpha),
        p_permutation=(sign_flip(right_a - right_b, named) if paired else label_permutation(right_a, right_b, named)),
        permutation_floor=floors[not paired],
        p_wilcoxon=wilcoxon(right_a - right_b, named) if floors[0] <= plan.alpha else nan,
        wilcoxon_floor=floors[0],
        p_mann_whitney=mann_whitney(right_a, right_b, named) if floors[1] <= plan.alpha else nan,
        mann_whitney_floor=floors[1],
        mcnemar_significant=int((mid < plan.alpha).sum()),
        mcnemar_exact_significant=int((exact < plan.alpha).sum()),
        bootstrap_low=boot_low,
        bootstrap_high=boot_high,
        hedges_g=hedges_g(right_a, right_b),
        d_z=cohens_dz(right_a - right_b),
        improvement=probability_of_improvement(right_a, right_b),
        p_better=lies.better,
        p_within=lies.within,
        p_worse=lies.worse,
    )


def _over_seeds(tests: dict[str, Estimate], images: int, level: float) -> dict[str, float]:
    """Return the p and intervals of tests over counts of right answers, converted to accuracy."""
    found: dict[str, float] = {}
    for name, test in tests.items():
        low, high = test.interval(level)
        found |= {f"p_{name}": test.p, f"{name}_low": low / images, f"{name}_high": high / images}
    return found


def omnibus_table(results: Results) -> pd.DataFrame:
    """Return the omnibus tests of all models, on their common seeds: F over seeds, Cochran's Q for each seed.

    A seed is left out if a run of any model only repeats an earlier one.
    """
    copied = {seed for _, seed in results.copies}
    shared = [
        seed
        for seed in results.seeds(results.models[0])
        if seed not in copied and all(seed in results.seeds(m) for m in results.models)
    ]
    correct_KSn = np.stack(
        [results.correct[m][[results.seeds(m).index(seed) for seed in shared]] for m in results.models]
    )
    rows: list[dict[str, object]] = []
    if len(shared) > 1:
        f, p = permutation_f(
            correct_KSn.sum(axis=2).T, stream("permutation F"), paired=results.plan.pairing == "paired"
        )
        rows.append({"test": "permutation F over seeds", "seed": "all", "statistic": f, "p": p})
    for seed, correct_Kn in zip(shared, correct_KSn.transpose(1, 0, 2), strict=True):
        q, p = cochran_q(correct_Kn)
        rows.append({"test": "Cochran's Q", "seed": str(seed), "statistic": q, "p": p})
    spread = np.ptp(correct_KSn.mean(axis=(1, 2))) if shared else nan
    return pd.DataFrame(rows, columns=["test", "seed", "statistic", "p"]).assign(range=float(spread))


def opinions(results: Results) -> Finding:
    """Hold the headline test against every other test of the same pairs."""
    if len(results.models) == 1:
        return Finding("opinions", TITLE, "One model: nothing to compare.")
    table, omnibus = opinion_table(results), omnibus_table(results)
    if table.empty:
        return Finding("opinions", TITLE, "No two models have a seed in common that counts.")
    parts = [*about_accuracy(results.plan), _reading(results)]
    for declared, head in ((True, "Declared pairs"), (False, "Exploratory pairs, not declared in the plan")):
        rows = table[table["declared"] == declared]
        if len(rows):
            parts += [_tests(rows, results, head), _sizes(rows, head)]
    if results.plan.pairing == "paired":
        parts += _refused(table, results.plan.alpha)
    parts += [_detectable(table, results), _omnibus(omnibus, results)]
    return Finding(
        name="opinions",
        title=TITLE,
        summary="\n\n".join(parts),
        tables={"opinions": table, "omnibus": omnibus},
        listed=(),
    )


def _refused(table: pd.DataFrame, alpha: float) -> list[str]:
    """Return a sentence about the pairs for which Wilcoxon's test could never be significant."""
    refused = table[table["wilcoxon_floor"] > alpha]
    if refused.empty:
        return []
    row = refused.iloc[int(refused["wilcoxon_floor"].argmax())]
    ties = (
        " (a seed on which both models tie does not count)" if row["wilcoxon_floor"] > 2.0 ** (1 - row["seeds"]) else ""
    )
    said = (
        f"Refused: Wilcoxon's test. With {plural(row['seeds'], 'seed')}{ties} its smallest two-sided p is "
        f"{row['wilcoxon_floor']:g}, above alpha = {alpha:g}: it could never be significant. "
        f"The two-way test can, at any number of seeds from {LEAST_SEEDS}."
    )
    return [said]


def _reading(results: Results) -> str:
    margin = f"{100 * results.plan.margin:g}"
    covered = listing(f"{share} % with {seeds}" for seeds, share in COVERAGE.items())
    return (
        "How to read them: all columns of p are two-sided and unadjusted, and belong to the difference on their left. The first is the "
        "two-way test; the others take these sequences as given (t, permutation, rank) or these weights (McNemar: seeds "
        "significant by the mid-p, of all), so a smaller p there answers a narrower question. The floor is the smallest p "
        "the test can give with so few seeds. The crossed bootstrap draws seeds and sequences again; its interval is too short: "
        f"where seeds differ by more than the sequences explain, one at 95 % holds the truth in {covered} seeds. Probability of "
        "improvement: how often a run of the first model beats a run of the second. The last column is the chance, under a "
        f"flat prior, that the first is better by more than {margin} points / within {margin} / worse by more."
    )


def _tests(rows: pd.DataFrame, results: Results, head: str) -> str:
    paired = results.plan.pairing == "paired"
    rank = "wilcoxon" if paired else "mann_whitney"
    header = ["Pair", f"Difference, points [{100 * (1 - results.plan.alpha):g} %]", "Two-way test"]
    header += ["unpaired" if paired else "paired", "Welch t", "Paired t"]
    header += ["Sign-flip (floor)" if paired else "Label permutation (floor)"]
    header += ["Wilcoxon (floor)" if paired else "Mann-Whitney (floor)", "McNemar"]
    body = [
        [
            *_who(row),
            *(_p(row[name]) for name in ("p", "p_other_pairing", "p_welch", "p_paired_t")),
            f"{_p(row['p_permutation'])} ({_p(row['permutation_floor'])})",
            f"{_p(row[f'p_{rank}'], 'refused')} ({_p(row[f'{rank}_floor'])})",
            f"{row['mcnemar_significant']} of {row['seeds']}",
        ]
        for _, row in rows.iterrows()
    ]
    return markdown_table(header, body, caption=f"{head}: p of each test")


def _sizes(rows: pd.DataFrame, head: str) -> str:
    header = ["Pair", "Difference, points", "Crossed bootstrap", "Hedges g", "d_z", "Probability of improvement"]
    body = [
        [
            *_who(row),
            interval(row["bootstrap_low"], row["bootstrap_high"]),
            *(f"{row[name]:.2f}" if isfinite(row[name]) else UNKNOWN for name in ("hedges_g", "d_z")),
            percent(row["improvement"]),
            " / ".join(
                UNKNOWN if pd.isna(row[name]) else f"{row[name]:.2f}" for name in ("p_better", "p_within", "p_worse")
            ),
        ]
        for _, row in rows.iterrows()
    ]
    header.append("Better / within margin / worse")
    return markdown_table(header, body, caption=f"{head}: effect sizes")


def _who(row: pd.Series) -> list[str]:
    gap = f"{points(row['difference'])} {interval(row['ci_low'], row['ci_high'])}"
    return [f"{row['model_a']} - {row['model_b']}", gap]


def _p(value: float, gap: str = UNKNOWN) -> str:
    if isnan(value):
        return gap
    return "< .0001" if value < 0.0001 else f"{value:.4f}"  # noqa: PLR2004  four decimals are shown


def _detectable(table: pd.DataFrame, results: Results) -> str:
    seeds, alpha = int(table["seeds"].max()), results.plan.alpha
    if seeds < 2:  # noqa: PLR2004
        return "One seed: no effect over seeds can be detected."
    paired, independent = (smallest_effect(seeds, alpha, paired=kind) for kind in (True, False))
    return (
        f"What {seeds} seeds can show with a power of 80 %, before Holm: d_z = {paired:.2f} in a paired t, "
        f"d = {independent:.2f} in Welch's. "
        f"An effect of d_z = 1 needs {seeds_needed(1, alpha, paired=True)} seeds."
    )


def _omnibus(table: pd.DataFrame, results: Results) -> str:
    if table.empty:
        return "All models at once: no seed is common to all of them."
    q, f = (table[table["test"].str.startswith(start)] for start in ("Cochran", "permutation"))
    said = [
        f"All models at once (their means span {points(table['range'].iloc[0])[1:]} points; shown, and gates nothing):"
    ]
    if len(f):
        statistic = f["statistic"].iloc[0]
        shown = f"{statistic:.2f}" if isfinite(statistic) else "infinite, because no model varies over seeds"
        said.append(f"permutation F over seeds {shown}, its p {_p(f['p'].iloc[0])};")
    said.append(f"Cochran's Q is significant in {(q['p'] < results.plan.alpha).sum()} of {len(q)} seeds.")
    return " ".join(said)
