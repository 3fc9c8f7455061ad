"""Deviations from the plan: every difference between the runs and the declaration."""

from analysis.plan import Declaration
from analysis.results import Results, name_cells
from analysis.wording import listing, plural

KINDS = {
    "config_hash": "config",
    "code_digest": "code",
    "shared_code_digest": "shared code",
    "data_digest": "data",
    "torch_version": "torch build",
    "precision": "precision",
    "device": "device",
}


def extra_seeds(results: Results, declared: Declaration) -> list[int]:
    """Return the seeds that were run but not declared."""
    return sorted(_seeds(results) - set(declared.seeds))


def absent_seeds(results: Results, declared: Declaration) -> list[int]:
    """Return the declared seeds without any cell; a study with looks may stop before its last seed."""
    return [] if results.plan.looks else sorted(set(declared.seeds) - _seeds(results))


def _seeds(results: Results) -> set[int]:
    return {int(seed) for seed in results.runs["seed"]} | {seed for _, seed in results.missing}


def deviations(results: Results) -> list[str]:
    """Return a sentence for each deviation from the declared plan."""
    declared = results.declaration
    if declared is None:
        return ["No plan was stored before the runs: take everything as exploratory."]
    found = []
    if declared.plan != results.plan:
        found.append("The plan in use is not the one that was declared.")
    if declared.finished_before:
        count = len(declared.finished_before)
        found.append(f"{plural(count, 'run')} had finished before the plan was declared, and may have been seen.")
    if extra := extra_seeds(results, declared):
        found.append(f"Extra seeds, not in the plan: {listing(map(str, extra))}.")
    if absent := absent_seeds(results, declared):
        found.append(f"Planned seeds that were left out: {listing(map(str, absent))}.")
    if results.missing:
        found.append(f"Failed or missing cells: {name_cells(results.missing)}.")
    return found + _changes(results, declared)


def _changes(results: Results, declared: Declaration) -> list[str]:
    found = []
    for model in results.models:
        planned, runs = declared.identity.get(model), results.runs[results.runs["model"] == model]
        if planned is None:
            found.append(f"{model} is not in the plan.")
            continue
        for column, what in KINDS.items():
            other = int((runs[column].astype(str) != planned.get(column, "")).sum())
            if other and column in planned:
                found.append(f"{model}: {other} of {plural(len(runs), 'run')} have another {what} than planned.")
    return found
