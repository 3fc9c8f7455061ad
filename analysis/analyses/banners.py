"""Warnings that a reader must know before trusting the numbers: a sentence each, for the head of the report."""

from collections.abc import Iterable
from itertools import combinations

import numpy as np

from analysis.analyses.collapses import collapse_banner
from analysis.analyses.deviations import absent_seeds, extra_seeds
from analysis.analyses.looks import ledger_problem
from analysis.metrics.curves import CONVERGENCE_WINDOW
from analysis.metrics.predictions import accuracy_at_best_epoch
from analysis.plan import Declaration
from analysis.results import Results, name_cells
from analysis.statistics.looks import error_of_looks
from analysis.statistics.two_way import LEAST_SEEDS
from analysis.wording import listing, percent, plural

RECORDED_TOLERANCE = 0.001
FAR_GRADIENTS = 20
"""Ratio of the median gradient norms of two models from which on a warning is given."""
CONDITIONS = {
    "torch_version": "builds of torch",
    "precision": "precisions",
    "device": "devices",
    "lstm_kernel": "kernels of the LSTM",
    "processor": "processors",
}
"""Conditions that should be the same in all runs: column to words; only models with an LSTM have a kernel."""


def banners(results: Results) -> list[str]:
    """Return the warnings about these results, the most serious first."""
    found: list[str] = []
    if results.missing:
        found.append(
            f"Missing cells: {name_cells(results.missing)}. Each pair is compared on the seeds that both of its models "
            "have; runs that fail are seldom a random sample."
        )
    found += _apart(results)
    if said := ledger_problem(results):
        found.append(
            f"The ledger of looks does not follow from the predictions: {said}. The verdicts are of the predictions."
        )
    found += _undeclared(results) + collapse_banner(results) + _degenerate(results)
    if "tuning_trials" in results.runs and results.runs["tuning_trials"].nunique() > 1:
        trials = results.runs.groupby("model", observed=True, sort=False)["tuning_trials"].max()
        spent = listing(f"{model} {plural(int(count), 'trial')}" for model, count in trials.items())
        found.append(f"Unequal tuning budgets: {spent}. The model that was tuned more has an advantage.")
    for column, what in CONDITIONS.items():
        used = sorted(set(results.runs[column].dropna().astype(str))) if column in results.runs else []
        if len(used) > 1:
            found.append(f"The runs used different {what}: {listing(used)}. Part of a difference may come from that.")
    mixed = [model for model, runs in results.runs.groupby("model", observed=True) if runs["code_digest"].nunique() > 1]
    if mixed:
        found.append(f"Seeds of one model were trained by different code: {listing(map(str, mixed))}.")
    if results.runs["shared_code_digest"].nunique() > 1:
        found.append(
            "The runs were trained by different versions of the code that all models share (trainer, data, classifier). "
            "Part of a difference may come from that."
        )
    found += _lengths(results) + _gradients(results)
    gap = (results.runs["test_accuracy"] - accuracy_at_best_epoch(results)).abs()
    if gap.max() > RECORDED_TOLERANCE:
        cell = results.runs.iloc[int(gap.argmax())]
        found.append(
            f"The recorded test accuracy of {cell['model']} seed {cell['seed']} ({percent(cell['test_accuracy'])}) is "
            "not that of its stored predictions; every number here is computed from the predictions."
        )
    return found


def _apart(results: Results) -> list[str]:
    if not results.streams:
        return []
    if results.is_crossed:
        said = (
            "Random streams vary apart (train.vary), and runs share their levels, so they are not independent: no pair gets a verdict, "
            "and the intervals of each model's accuracy are too narrow. The section 'Which randomness?' says what varies."
        )
    else:
        said = (
            f"Only one random stream varies ({results.streams[0]}, by train.vary); the others stay as with seed 0. Verdicts and "
            "intervals are about models that are trained again with the others as they are."
        )
    return [said]


def _gradients(results: Results) -> list[str]:
    norms = results.curve("", "gradient_norm")
    medians = {model: norms[results.runs["model"] == model].melt()["value"].median() for model in results.models}
    known = {model: norm for model, norm in medians.items() if norm > 0}
    if not known:
        return []
    low, high = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    if known[high] < FAR_GRADIENTS * known[low]:
        return []
    return [
        (
            f"Gradient norms are far apart: {known[high]:.3g} for {high} and {known[low]:.3g} for {low} (medians over seeds and epochs, "
            "before clipping). Where all gradients are clipped at one norm (`train.clip_norm`), the updates of one model are shortened "
            "far more than those of another, and part of a difference may come from that."
        )
    ]


def _undeclared(results: Results) -> list[str]:
    declared, found = results.declaration, []
    if declared and (extra := extra_seeds(results, declared)):
        found.append(_added(results, declared, extra))
    if declared and (absent := absent_seeds(results, declared)):
        found.append(
            f"Planned seeds that were left out: {listing(map(str, absent))}. Seeds must not be chosen by result."
        )
    return found


def _added(results: Results, declared: Declaration, extra: list[int]) -> str:
    """Return which seeds were added, and the error rate if the study was looked at before, simulated and as a bound."""
    plan, models = results.plan, [*results.reference_first, *results.lost]
    pairs = [
        (a, b)
        for (b, other), (a, one) in combinations(enumerate(models), 2)
        if plan.declares(one, other, reference=results.reference)
    ]
    first, last = len(declared.seeds), len(declared.seeds) + len(extra)
    said = f"Extra seeds, not in the plan: {listing(map(str, extra))}."
    if last < LEAST_SEEDS:
        return f"{said} No verdict was given before they were added, and none is given now: it needs {LEAST_SEEDS} seeds of each model."

    def level(looks: Iterable[int]) -> str:
        counted = [seeds for seeds in looks if seeds >= LEAST_SEEDS]  # fewer give no verdict
        rate = error_of_looks(counted, len(models), pairs, alpha=plan.alpha, paired=plan.pairing == "paired")
        return f"{100 * rate:.1f} % (at most {min(100 * len(counted) * plan.alpha, 100):g} %)"

    return (
        f"{said} If they were added because of what the study showed, its "
        f"verdicts are not at {100 * plan.alpha:g} %. With equal models, studies that were looked at with {plural(first, 'seed')} and "
        f"with {last} call some pair different in {level([first, last])}, those looked at after each added seed in "
        f"{level(range(first, last + 1))}; simulated, the upper limits are Bonferroni's."
    )


def _degenerate(results: Results) -> list[str]:
    found, constant = _identical(results), []
    for model in results.models:
        classes = zip(results.seeds(model), results.predicted[model], strict=True)
        constant += [(model, seed) for seed, values in classes if len(np.unique(values)) == 1]
    blind = [cell for cell in results.guessing if cell not in constant]
    said = []
    if constant:
        said.append(
            f"All predictions are one class: {name_cells(constant)}. The training failed, unless the model is a control that has "
            "nothing to tell the classes by."
        )
    said += [f"No better than guessing: {name_cells(blind)}."] if blind else []
    if said:
        said.append("Runs that learned nothing agree with one another: no pair that holds one is called equivalent.")
        found.append(" ".join(said))
    if len(results.runs) == len(results.models):
        found.append(
            f"One seed per model: nothing can be decided about the algorithms. Train at least {LEAST_SEEDS}, better 10."
        )
    return found


def _identical(results: Results) -> list[str]:
    copies = {model: [seed for of, seed in results.copies if of == model] for model in results.models}
    found = [
        f"Seeds of {model} gave identical results: the seed was not applied, or a run counts twice. A copy is no evidence, so "
        f"the verdicts leave out {_seeds(seeds)} of it."
        for model, seeds in copies.items()
        if seeds
    ]
    digests = results.fingerprints
    for a, b in combinations(results.models, 2):
        if same := [seed for seed in results.seeds(a) if digests[a, seed] == digests.get((b, seed))]:
            found.append(
                f"{a} and {b} gave identical results with {_seeds(same)}: what sets them apart was not applied, or a run counts "
                "for both. That is no evidence that they are equivalent, and their verdict leaves it out."
            )
    return found


def _seeds(seeds: list[int]) -> str:
    return f"seed{'' if len(seeds) == 1 else 's'} {listing(map(str, seeds))}"


def _lengths(results: Results) -> list[str]:
    epochs = results.runs["epochs"]
    found = []
    if epochs.nunique() > 1:
        found.append(f"The runs have between {epochs.min()} and {epochs.max()} epochs.")
    if epochs.max() < CONVERGENCE_WINDOW:
        found.append(
            f"Convergence needs {CONVERGENCE_WINDOW} epochs, and these runs have {plural(int(epochs.max()), 'epoch')}: "
            "no convergence figure can be given."
        )
    return found
