"""Seeds that are far from the others of their model, and the verdicts with and without them."""

from dataclasses import replace

import pandas as pd

from analysis.analyses.looking import looked_table
from analysis.analyses.primary import primary_metric
from analysis.analyses.significance import one_look, pair_table
from analysis.results import Cell, Results
from analysis.statistics.outliers import far_seeds
from analysis.statistics.rates import images_that_count
from analysis.statistics.two_way import scores
from analysis.wording import listing, percent


def collapsed(results: Results) -> list[Cell]:
    """Return the cells whose primary metric is far from those of their model's other seeds."""
    accuracies = {model: scores(correct_Sn, results.strata) for model, correct_Sn in results.correct.items()}
    far = far_seeds(accuracies, images_that_count(results.strata, len(results.test_set.label)))
    return [
        (model, seed)
        for model in results.models
        for seed, is_far in zip(results.seeds(model), far[model], strict=True)
        if is_far
    ]


def collapse_banner(results: Results) -> list[str]:
    """Return a warning that names such seeds, with the verdicts without them; empty if there are none."""
    cells = collapsed(results)
    if not cells:
        return []
    named = listing(_described(cell, results) for cell in cells)
    metric = primary_metric(results.plan).title.lower()
    return [
        (
            f"Far from the other seeds of their model in {metric}: {named}. The verdicts count them. Where one model collapses in some "
            "seeds and another does not, no test that treats the seeds alike keeps its level. Without them: "
            f"{_changes(cells, results)}."
        )
    ]


def _described(cell: Cell, results: Results) -> str:
    model, seed = cell
    accuracies = dict(zip(results.seeds(model), scores(results.correct[model], results.strata), strict=True))
    others = sorted(float(value) for other, value in accuracies.items() if other != seed)
    return (
        f"{model} seed {seed} ({percent(accuracies[seed])}; the others {percent(others[0])} to {percent(others[-1])})"
    )


def _changes(cells: list[Cell], results: Results) -> str:
    """Return in words which declared verdicts would be different without these cells."""
    given, left = _verdicts(results, []), _verdicts(results, cells)
    changed = [
        f"{a} against {b} is {left.get((a, b), 'without a run')}, not {verdict}"
        for (a, b), verdict in given.items()
        if left.get((a, b)) != verdict
    ]
    return listing(changed) if changed else "every verdict is the same"


def _verdicts(results: Results, cells: list[Cell]) -> dict[tuple[str, str], str]:
    """Return the verdict on each declared pair without these cells, at the same looks."""
    if results.plan.looks:
        table = looked_table(results, lambda seen, earlier: one_look(_without(cells, seen), earlier))
    else:
        table = pair_table(_without(cells, results) if cells else results)
    declared = table[table["declared"]] if len(table) else table
    return {(row["model_a"], row["model_b"]): row["verdict"] for _, row in declared.iterrows()}


def _without(cells: list[Cell], results: Results) -> Results:
    """Return the results as if these cells had no finished run."""
    present = zip(results.runs["model"].astype(str), results.runs["seed"], strict=True)
    runs = results.runs.assign(status=["FAILED" if cell in cells else "FINISHED" for cell in present])
    lost = pd.DataFrame([{"model": model, "seed": seed, "status": "FAILED"} for model, seed in results.missing])
    return replace(results, runs=pd.concat([runs, lost]), allow_missing=True)
