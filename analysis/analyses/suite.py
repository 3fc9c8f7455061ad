"""Comparison of models over the data sets of several studies: mean ranks, an omnibus test, and verdicts on pairs.

A data set counts once, by the mean of the primary metric over its seeds, because the conclusion generalises over data sets, and
seeds are no data sets. Friedman's test is reported but is not a condition of the verdicts; the verdict on a pair is that of Wilcoxon's
test with Holm's correction over the declared family.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, count
from math import isfinite

import numpy as np
import pandas as pd

from analysis.analyses.need import NEEDED, UNDECIDED
from analysis.analyses.significance import family_sizes
from analysis.figures import ranks_figure
from analysis.findings import Finding
from analysis.metrics.registry import BY_NAME, Metric
from analysis.plan import Plan
from analysis.results import ResultsError
from analysis.statistics.randomness import stream
from analysis.statistics.ranks import (
    DIGITS,
    Friedman,
    Scores,
    cliques,
    critical_difference,
    friedman,
    median_interval,
    ranks,
    signed_rank,
    smallest_p,
)
from analysis.statistics.two_way import holm
from analysis.wording import as_words, bullets, listing, markdown_table, p_value, plural, points

LEAST_SETS = 2
"""Fewest data sets of a suite."""
RECOMMENDED_SETS = 10


@dataclass(frozen=True, eq=False)
class Member:
    """One study of a suite."""

    study: str
    """Name of the study, unique in the suite."""
    dataset: str
    source: str
    """Source of its sequences: data sets of the same source are not independent."""
    seeds: int
    """Smallest number of seeds of a model."""
    sequences: int
    scores: Mapping[str, float]
    """Mean of the primary metric over seeds, by model."""
    certificate: str = ""
    """Whether times are needed, by `analysis/analyses/need.py`; "" if no model sees only the order."""


def suite(members: Sequence[Member], plan: Plan) -> Finding:
    """Compare the models of all members; ResultsError if there are too few members, or if their models differ.

    Data sets are set aside if a control shows that times are not needed, or does not show that they are.
    """
    asked, members = members, [member for member in members if member.certificate in ("", NEEDED)]
    _check(members, asked)
    metric = BY_NAME[plan.primary_metric]
    table = pd.DataFrame([member.scores for member in members], index=[member.study for member in members])
    ranks_NK = ranks(table.to_numpy())
    mean_ranks = dict(zip(table.columns, ranks_NK.mean(axis=0), strict=True))
    pairs = _pairs(table, mean_ranks, plan)
    joined = pd.DataFrame(data=True, index=table.columns, columns=table.columns)
    for _, row in pairs.iterrows():
        apart = row["p_adjusted"] < plan.alpha
        joined.loc[row["model_a"], row["model_b"]] = joined.loc[row["model_b"], row["model_a"]] = not apart
    groups = [tuple(table.columns[list(clique)]) for clique in cliques(joined.to_numpy())]
    omnibus, sets = friedman(ranks_NK), len(members)
    nemenyi = critical_difference(len(table.columns), sets, plan.alpha)
    verdicts = [_sentence(row, sets) for _, row in pairs[pairs["declared"]].iterrows()]
    warnings = [
        *_kinships(members),
        *_too_few(sets, plan, len(table.columns)),
        *_set_aside(asked),
        *_uncertified(members),
    ]
    summary = [
        f"Over {plural(sets, 'data set')}, by {metric.title.lower()} averaged over seeds:",
        bullets(verdicts),
        _by_set(members, ranks_NK, mean_ranks, metric),
        "In brackets: the rank on the data set, 1 for the best, equal ones sharing theirs.",
        _tests(omnibus, nemenyi, plan),
    ]
    if not pairs["declared"].all():
        more = [_sentence(row, sets) for _, row in pairs[~pairs["declared"]].iterrows()]
        summary += ["Exploratory pairs, not declared in the plan (Holm over all pairs):", bullets(more)]
    return Finding(
        name="suite",
        title="Over data sets",
        summary="\n\n".join(summary),
        tables={"scores": _long(members, ranks_NK), "pairs": pairs},
        figures={"critical_difference": ranks_figure(mean_ranks, groups, sets=sets, alpha=plan.alpha)},
        data={
            "plan": plan.effective(),
            "verdicts": verdicts,
            "warnings": warnings,
            "certificates": {member.study: member.certificate or "no control" for member in asked},
            "mean_ranks": mean_ranks,
            "friedman": omnibus._asdict(),
            "critical_difference": nemenyi,
            "cliques": groups,
        },
    )


def _by_set(members: Sequence[Member], ranks_NK: Scores, mean_ranks: Mapping[str, float], metric: Metric) -> str:
    """Return the table of scores and ranks, one row per data set."""
    rows: list[list[str]] = [
        [
            member.study,
            member.dataset,
            f"{member.seeds} x {member.sequences:,}",
            *(
                f"{metric.show(member.scores[model])} ({rank:g})"
                for model, rank in zip(mean_ranks, ranks_K, strict=True)
            ),
        ]
        for member, ranks_K in zip(members, ranks_NK, strict=True)
    ]
    rows.append(["mean rank", "", "", *(f"{rank:.2f}" for rank in mean_ranks.values())])
    return markdown_table(["Study", "Data set", "Seeds x sequences", *mean_ranks], rows)


def _tests(omnibus: Friedman, nemenyi: float, plan: Plan) -> str:
    """Return what was tested and how."""
    f = f"F({omnibus.df[0]}, {omnibus.df[1]}) = {omnibus.f:.2f}, {p_value(omnibus.p)}"
    return (
        f"Do the models differ at all? Friedman's chi-squared {omnibus.chi_squared:.2f}, Iman and Davenport's {f}. It gates "
        "nothing.\n\n"
        "p: Wilcoxon's signed-rank test over data sets, two-sided, over all signs; Holm over the declared pairs at alpha = "
        f"{plan.alpha:g}. The interval of the median difference is of order statistics and unadjusted. Wins, ties and losses count "
        f"data sets; a tie is a difference of at most {_size(plan.margin).lstrip('+')}. "
        f"For comparison with older work: Nemenyi's critical difference is {nemenyi:.2f} ranks."
    )


def _set_aside(asked: Sequence[Member]) -> list[str]:
    """Return a sentence about the data sets on which a comparison would not be about time."""
    return [
        f"Set aside: {member.study}, on which it is {member.certificate} that times are needed."
        if member.certificate == UNDECIDED
        else f"Set aside: {member.study}, a negative control, on which times are not needed."
        for member in asked
        if member.certificate not in ("", NEEDED)
    ]


def _uncertified(members: Sequence[Member]) -> list[str]:
    """Return a sentence about the data sets without a control."""
    unknown = [member.study for member in members if not member.certificate]
    if not unknown:
        return []
    needs = f"{listing(unknown)} {'needs' if len(unknown) == 1 else 'need'} times"
    return [f"Without a model that sees the order of events alone (order), it is not known whether {needs}."]


def _check(members: Sequence[Member], asked: Sequence[Member]) -> None:
    if len(members) < LEAST_SETS <= len(asked):
        aside = listing(f"{member.study} ({member.certificate})" for member in asked if member not in members)
        raise ResultsError(
            f"--studies: must be {LEAST_SETS} or more on whose data times are needed, got {len(members)} beside {aside}. Add studies "
            "of other data."
        )
    if len(members) < LEAST_SETS:
        raise ResultsError(
            f"--studies: must be {LEAST_SETS} or more, got {len(members)}. Read the study's own report, or add studies of other data."
        )
    models = list(members[0].scores)
    if len(models) < 2:  # noqa: PLR2004  a pair is the least
        raise ResultsError(f"--studies: must have two variants, got {models[0]} alone. Add one to each study.")
    for member in members:
        if set(member.scores) != set(models):
            raise ResultsError(
                f"--studies: must have the same variants, got {', '.join(sorted(models))} in {members[0].study} and "
                f"{', '.join(sorted(member.scores))} in {member.study}. Leave that study out, or run it with the same ones."
            )


def _pairs(scores: pd.DataFrame, mean_ranks: Mapping[str, float], plan: Plan) -> pd.DataFrame:
    """Return one row a pair, the reference or the earlier model second; a difference above 0 says that model_a is better.

    Each primary metric that a plan may name is a rate, and more of it is better.
    """
    reference = plan.reference or scores.columns[0]
    order = [reference, *(model for model in scores.columns if model != reference)]
    rows = []
    for b, a in combinations(order, 2):
        gap_N = np.round((scores[a] - scores[b]).to_numpy(), DIGITS)
        test = signed_rank(gap_N, stream("suite", a, b))
        low, high = median_interval(gap_N, 1 - plan.alpha)
        rows.append(
            {
                "model_a": a,
                "model_b": b,
                "declared": plan.declares(a, b, reference=reference),
                "mean_rank_a": mean_ranks[a],
                "mean_rank_b": mean_ranks[b],
                "median_difference": float(np.median(gap_N)),
                "ci_low": low,
                "ci_high": high,
                "wins": int((gap_N > plan.margin).sum()),
                "ties": int((np.abs(gap_N) <= plan.margin).sum()),
                "losses": int((gap_N < -plan.margin).sum()),
                **test._asdict(),
            }
        )
    table = pd.DataFrame(rows)
    raw, declared = table["p"].to_numpy(), table["declared"].to_numpy()
    adjusted = holm(raw)
    adjusted[declared] = holm(raw[declared])
    better = np.where(table["balance"] > 0, "better", "worse")
    return table.assign(p_adjusted=adjusted, verdict=np.where(adjusted < plan.alpha, better, "undecided"))


def _sentence(row: pd.Series, sets: int) -> str:
    low, high = (_size(row[end]) for end in ("ci_low", "ci_high"))
    interval = f"[{low}, {high}]" if isfinite(row["ci_low"]) else "(no interval over so few data sets)"
    said = {
        "better": f"{row['model_a']} is better than {row['model_b']}",
        "worse": f"{row['model_a']} is worse than {row['model_b']}",
        "undecided": f"{row['model_a']} against {row['model_b']} is undecided",
    }[row["verdict"]]
    return (
        f"{said}: mean rank {row['mean_rank_a']:.2f} against {row['mean_rank_b']:.2f}, median difference "
        f"{_size(row['median_difference'])} {interval}, {p_value(row['p'])} (Holm: {p_value(row['p_adjusted'])}), "
        f"{plural(row['wins'], 'win')}, {plural(row['ties'], 'tie')}, "
        f"{row['losses']} {'loss' if row['losses'] == 1 else 'losses'} (n = {plural(sets, 'data set')})."
    )


def _size(difference: float) -> str:
    return f"{points(difference)} points"


def _kinships(members: Sequence[Member]) -> list[str]:
    """Return a warning for each source that several data sets share."""
    studies = {member.source: [other.study for other in members if other.source == member.source] for member in members}
    return [
        f"{listing(names)} are made from the same source, {as_words(source)}: they are not independent data sets. The tests count each "
        f"of them, so that p is too small; {len(members)} data sets come from {plural(len(studies), 'source')}."
        for source, names in studies.items()
        if len(names) > 1
    ]


def _too_few(sets: int, plan: Plan, models: int) -> list[str]:
    pairs = family_sizes(models, plan)[True]
    if smallest_p(sets) * pairs >= plan.alpha:
        enough = next(number for number in count(sets) if smallest_p(number) * pairs < plan.alpha)
        return [
            (
                f"No pair can be decided: over {plural(sets, 'data set')} the smallest p is {smallest_p(sets):.3g}, and Holm "
                f"takes it {plural(pairs, 'time')}. {plural(enough, 'data set')} are the fewest that can."
            )
        ]
    if sets < RECOMMENDED_SETS:
        return [
            f"{plural(sets, 'data set')}: few. {RECOMMENDED_SETS} or more are advised, and large differences alone show."
        ]
    return []


def _long(members: Sequence[Member], ranks_NK: Scores) -> pd.DataFrame:
    """Return one row per study and model."""
    rows = [
        {
            "study": member.study,
            "dataset": member.dataset,
            "source": member.source,
            "seeds": member.seeds,
            "sequences": member.sequences,
            "model": model,
            "score": member.scores[model],
            "rank": rank,
        }
        for member, ranks_K in zip(members, ranks_NK, strict=True)
        for model, rank in zip(members[0].scores, ranks_K, strict=True)
    ]
    return pd.DataFrame(rows)
