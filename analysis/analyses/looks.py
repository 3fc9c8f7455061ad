"""The report's section on looks: their schedule, their decisions, and whether the stored ledger agrees."""

import pandas as pd

from analysis.analyses.looking import UNDECIDED, disagreement, ledger, take_looks
from analysis.analyses.significance import one_look
from analysis.findings import Finding
from analysis.results import Results
from analysis.wording import listing, markdown_table, p_value, plural, points


def looks(results: Results) -> Finding:
    """Take the looks of the plan anew, from the predictions."""
    plan, found = results.plan, ledger(take_looks(results, one_look))
    found = found.assign(at=_times(found, results))
    rows = zip(plan.looks, plan.levels, strict=True)
    schedule = listing(f"{seeds} seeds at level {level:g}" for seeds, level in rows)
    said = ledger_problem(results)
    summary = [
        (
            f"Looks were declared before the first run: {schedule}. The levels add up to {sum(plan.levels):g} of alpha = "
            f"{plan.alpha:g} (Bonferroni over looks), Holm corrects over the declared pairs at each look, and the first verdict "
            "of a pair is final. A model without an undecided pair trains no further seeds."
        ),
        f"{plural(found['look'].nunique(), 'look')} of {len(plan.looks)} taken."
        if len(found)
        else "No look was taken yet.",
    ]
    if len(found):
        summary.append(
            markdown_table(
                ["Look", "Level", "Taken", "Pair", "Difference, points", "p", "Holm", "Verdict"],
                _rows(found, last=plan.looks[-1]),
            )
        )
    if said:
        summary.append(f"The stored ledger says something else: {said}.")
    return Finding(
        name="looks",
        title="Looks",
        summary="\n\n".join(summary),
        tables={"looks": found},
        data={"looks": list(plan.looks), "levels": list(plan.levels), "disagreement": said},
    )


def ledger_problem(results: Results) -> str:
    """Return how the stored ledger differs from the one that follows from the predictions; "" if it does not, or if none is stored."""
    if results.ledger is None:
        return ""
    return disagreement(results.ledger, ledger(take_looks(results, one_look)))


def _times(found: pd.DataFrame, results: Results) -> list[str]:
    """Return the time of each row, from the stored ledger."""
    stored = results.ledger if results.ledger is not None else pd.DataFrame(columns=["look", "at"])
    times = dict(zip(stored["look"], stored["at"], strict=True))
    return [str(times.get(look, "")) for look in found["look"]]


def _rows(found: pd.DataFrame, last: int) -> list[list[object]]:
    return [
        [
            f"{row['seeds']} seeds",
            f"{row['level']:g}",
            row["at"][:16].replace("T", " ") or "not noted",
            f"{row['model_a']} against {row['model_b']}",
            points(row["difference"]),
            p_value(row["p"]).removeprefix("p = ").removeprefix("p "),
            p_value(row["p_adjusted"]).removeprefix("p = ").removeprefix("p "),
            "undecided, goes on" if row["verdict"] == UNDECIDED and row["seeds"] < last else row["verdict"],
        ]
        for _, row in found.iterrows()
    ]
