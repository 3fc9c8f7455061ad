"""Comparison of the encoding doctor's advice with the verdicts.

The doctor examines only the times of the data, before anything is trained. If the encoding of one model fits them and that of
another has collapsed or blurs them, it advises for the first. It gives no advice between two encodings that fit, or on controls,
which should always be trained. Pairs of models that also differ in other settings are left out, because a verdict on them is not
one on encodings.
"""

import pandas as pd

from analysis.analyses.significance import effect, pair_table, seen_from
from analysis.findings import Finding
from analysis.results import Results
from analysis.wording import as_words, bullets, plural

FITS, AGAINST = "fits", ("collapsed", "blurs")
"""Verdict of the doctor on an encoding that it advises for, and verdicts on encodings that it advises against."""
OUTCOMES = {"better": "confirmed", "worse": "contradicted", "equivalent": "equivalent", "undecided": "undecided"}
"""Outcome of the advice for the first model of a pair, by the verdict on that model."""


def advice(results: Results) -> Finding:
    """Say of how many pairs the verdicts confirm what the doctor said, and of how many they contradict it."""
    table = _scored(results)
    counts = {outcome: int((table["outcome"] == outcome).sum()) for outcome in OUTCOMES.values()}
    said = (
        "Before this study trained anything, and from the times alone, the encoding doctor advised for one model and against another "
        f"in {plural(len(table), 'pair')}. The verdicts confirm {counts['confirmed']}, contradict {counts['contradicted']}, find "
        f"{counts['equivalent']} equivalent, and leave {counts['undecided']} undecided."
    )
    lines = [
        f"{row['model_a']} over {row['model_b']}: **{row['outcome']}**{'' if row['declared'] else ' (exploratory)'}; {row['effect']}"
        for _, row in table.iterrows()
    ]
    return Finding(
        name="advice",
        title="Was the encoding doctor right?",
        summary="\n\n".join([said, bullets(lines), _reasons(results, table)]),
        tables={"advice": table},
        listed=(),
        data={"pairs": len(table), **counts},
    )


def advised(results: Results) -> list[tuple[str, str]]:
    """Return the pairs in which the doctor advised for the first model and against the second."""
    if results.advice is None:
        return []
    told = results.advice[results.advice["model"].isin(results.models)]
    both = told[told["verdict"] == FITS].merge(told[told["verdict"].isin(AGAINST)], on="besides", suffixes=("_a", "_b"))
    return list(zip(both["model_a"], both["model_b"], strict=True))


def _scored(results: Results) -> pd.DataFrame:
    """Return the pairs with advice, the recommended model first, with the outcome of the advice."""
    of_pair = {frozenset((row["model_a"], row["model_b"])): row for _, row in pair_table(results).iterrows()}
    rows = [seen_from(of_pair[frozenset(pair)], pair[0]) for pair in advised(results)]
    return pd.DataFrame(
        [{**row, "effect": effect(row, results.plan), "outcome": OUTCOMES[row["verdict"]]} for row in rows]
    )


def _reasons(results: Results, table: pd.DataFrame) -> str:
    """Return the reason against each model that the doctor advised against, in words."""
    assert results.advice is not None  # noqa: S101 - there are pairs
    told = results.advice.set_index("model")
    reasons = [f"{model} {_reason(told.loc[model])}" for model in dict.fromkeys(table["model_b"])]
    return f"What it had against them: {'; '.join(reasons)}."


def _reason(row: pd.Series) -> str:
    if row["verdict"] == "collapsed":
        return f"has collapsed to an effective rank of {row['rank']:.3g}, which is {row['reference']:.3g} on the times 0 to 783"
    unit = as_words(str(row["unit"]))
    least = (
        f"from {row['resolved']:,.4g} {unit} on" if row["resolved"] == row["resolved"] else "by none of the usual gaps"
    )
    return f"tells events apart {least}, and the median gap is {row['median_gap']:,.4g} {unit}"
