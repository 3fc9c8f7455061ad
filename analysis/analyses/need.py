"""The certificate of need: whether models need the times of a data set at all.

A control does not see times: it sees the number of events (`none`), or also their positions (`order`), and the features of the
events in their order. A certificate needs the second control, because a model may fail to count. If no encoding of times is better
than every control, a comparison of encodings on that data set is not about time.

A verdict against all controls together is an intersection-union test: it holds at the level of its weakest pair.
"""

import pandas as pd

from analysis.analyses.significance import effect, pair_table, seen_from
from analysis.findings import Finding
from analysis.results import Results
from analysis.wording import bullets, listing

NEEDED, NOT_NEEDED, UNDECIDED = "needed", "not needed", "undecided"
"""Statements of a certificate about times."""


def need(results: Results) -> Finding:
    """Hold every model that sees times against every one that does not, among them one of `order`."""
    table = _against_controls(results)
    certificate, beating = certify(table), _beating(table)
    beats = f"{listing(beating)} {'beats' if len(beating) == 1 else 'beat'} every control"
    said = {
        NEEDED: (
            f"Times are needed on this data: {beats}, which sees no time. A comparison of encodings on it is about time."
        ),
        NOT_NEEDED: (
            "Times are not needed on this data: no encoding of times is better than every control, which sees no time, and each is "
            "equivalent to one of them, or worse. Differences between encodings on it are not about time."
        ),
        UNDECIDED: (
            "Whether times are needed on this data is undecided: no encoding of times has been shown to beat every control, which sees "
            "no time. Until one is, differences between encodings on it may have nothing to do with time."
        ),
    }[certificate]
    controls = (
        f"Controls: {listing(results.timeless)}. They see how many events there are, their places where the encoding is `order`, "
        "and their features in their order."
    )
    lines = [
        f"{row['model_a']} against {row['model_b']}: {row['verdict']}; {row['effect']}" for _, row in table.iterrows()
    ]
    return Finding(
        name="need",
        title="Are times needed?",
        summary="\n\n".join([said, controls, bullets(lines)]),
        tables={"need": table},
        listed=(),
        data={"certificate": certificate, "controls": results.timeless, "needed_by": beating},
    )


def certificate_of(results: Results) -> str:
    """Return the statement of the certificate of these results; "" if no model sees only the order."""
    return certify(_against_controls(results)) if results.has_controls else ""


def certify(table: pd.DataFrame) -> str:
    """Return the statement that follows from verdicts on models with times against controls, one row each."""
    if _beating(table):
        return NEEDED
    spared = table["verdict"].isin(["equivalent", "worse"]).groupby(table["model_a"], sort=False).any()
    return NOT_NEEDED if spared.all() else UNDECIDED


def _against_controls(results: Results) -> pd.DataFrame:
    """Return the pairs of a model that sees times with a control, the control second."""
    rows = []
    for _, row in pair_table(results).iterrows():
        pair = {row["model_a"], row["model_b"]}
        if len(pair & set(results.timeless)) == 1:
            [model] = pair - set(results.timeless)
            seen = seen_from(row, model)
            rows.append({**seen, "effect": effect(seen, results.plan)})
    return pd.DataFrame(rows).reset_index(drop=True)


def _beating(table: pd.DataFrame) -> list[str]:
    """Return the models that are better than every control."""
    better = (table["verdict"] == "better").groupby(table["model_a"], sort=False).all()
    return [str(model) for model in better.index[better]]
