"""Looks at a study while it is trained: which variants continue after each look, and the ledger of the results.

The ledger is an artifact of the study's run, with a digest. Except for the times of the looks, it follows from the stored
predictions, so a process that was killed continues with the same ledger.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import pandas as pd

from analysis.analyses.looking import UNDECIDED, disagreement, ledger, take_looks
from analysis.analyses.significance import one_look
from analysis.plan import Plan
from analysis.wording import listing, plural
from pipeline.console import say
from pipeline.errors import UsageError
from pipeline.evidence import LEDGER_FILE, replace_text, unfit
from pipeline.stored_study import STUDY_KIND, StoredStudy, declared_of, load_results, read_manifest
from pipeline.study import Cell, Study
from pipeline.tracking import Tracker


def check_looks(study: Study, tracker: Tracker) -> None:
    """Raise UsageError if the looks of a study, or the seeds of a study with looks, differ from those declared in the store."""
    for parent in tracker.find(kind=STUDY_KIND, study=study.id):
        declared = declared_of(parent, tracker)
        if declared is None:
            continue
        old, new = declared.plan, study.plan
        if new.looks and not old.looks:
            raise UsageError(
                f"--until: must be declared before the first run, got study {study.id}, declared without looks on "
                f"{declared.declared[:10]}. Leave it out: the report says what level added seeds leave."
            )
        if (new.looks, new.levels) != (old.looks, old.levels):
            got = schedule(new) if new.looks else "none"
            raise UsageError(
                f"plan.looks: must be as study {study.id} was declared, {schedule(old)}, got {got}. Repeat the command that "
                "began it, with --until decided."
            )
        if old.looks and study.seeds != declared.seeds:
            raise UsageError(
                f"seeds: must be as study {study.id} was declared, {_seeds(declared.seeds)}, got {_seeds(study.seeds)}. "
                "Repeat the command that began it."
            )


def schedule(plan: Plan) -> str:
    """Return the looks of a plan in words."""
    return f"looks at {_seeds(plan.looks)} seeds with levels {listing(f'{level:g}' for level in plan.levels)}"


def _seeds(seeds: tuple[int, ...]) -> str:
    return listing(map(str, seeds))


def wanted_cells(study: Study, cells: Sequence[Cell], taken: pd.DataFrame) -> list[Cell]:
    """Return the cells that a study needs after the looks in the ledger `taken`; with an empty ledger, those of the first look."""
    looks = study.plan.looks
    reach = dict.fromkeys(study.variants, looks[0])
    for number, seeds in enumerate(looks, start=1):
        rows = taken[taken["look"] == number]
        still = rows[rows["verdict"] == UNDECIDED]
        reach |= dict.fromkeys({*rows["model_a"], *rows["model_b"]}, seeds)
        if number < len(looks):
            reach |= dict.fromkeys({*still["model_a"], *still["model_b"]}, looks[number])
    place = {seed: number for number, seed in enumerate(study.seeds)}
    return [cell for cell in cells if place[cell.config.seed] < reach[cell.model]]


def take_stored_looks(parent: str, tracker: Tracker) -> pd.DataFrame:
    """Take every look for which enough runs are stored, add new looks to the ledger, and return the ledger.

    UsageError if a look in the stored ledger does not follow from the predictions.
    """
    run = tracker.get(parent)
    results = load_results(StoredStudy(run, read_manifest(run, tracker)), tracker, allow_missing=False, probes=False)
    stored, found = results.ledger, ledger(take_looks(results, one_look))
    assert stored is not None  # noqa: S101 - the plan has looks
    if said := disagreement(stored, found.head(len(stored))):
        raise unfit(run, LEDGER_FILE, f"must follow from the predictions, got another: {said}", tracker)
    new = found.iloc[len(stored) :].assign(at=datetime.now(UTC).isoformat(timespec="seconds"))
    if new.empty:
        return stored
    for _, rows in new.groupby("look"):
        say(_said(rows))
    both = pd.concat([stored, new], ignore_index=True) if len(stored) else new
    replace_text(parent, LEDGER_FILE, tracker.table_text(both), tracker)
    tracker.show_tables(parent, [LEDGER_FILE])
    return both


def _said(rows: pd.DataFrame) -> str:
    first, decided = rows.iloc[0], rows[rows["verdict"] != UNDECIDED]
    verdicts = [f"{row['model_a']} {row['verdict']} than {row['model_b']}" for _, row in decided.iterrows()]
    verdicts = [said.replace("equivalent than", "equivalent to") for said in verdicts]
    what = "; ".join(verdicts) or "nothing decided"
    left = f"{plural(len(rows) - len(decided), 'pair')} undecided"
    return f"look at {plural(int(first['seeds']), 'seed')}, level {first['level']:g}: {what}; {left}"
