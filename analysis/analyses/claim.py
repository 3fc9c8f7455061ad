"""Comparison of a published accuracy with the accuracy that a stored model would have.

The published accuracy is compared with the distribution of new trainings of the model on new images (`statistics/prediction.py`).
If the published epoch was chosen on the test split, it is compared with the best test accuracy over the epochs of each stored run,
which is biased upwards by the same choice.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from math import inf, isnan, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.analyses.collapses import collapsed
from analysis.results import Results, ResultsError, name_cells
from analysis.statistics.prediction import Spread
from analysis.statistics.two_way import LEAST_SEEDS, TwoWay
from analysis.wording import p_value, percent, plural, points, with_interval

MOST_SEEDS = 100
"""Most seeds for which it is tested whether they would exclude the claim."""


@dataclass(frozen=True)
class Claim:
    """A published accuracy."""

    model: str
    """The model of the study with which the claim is compared."""
    accuracy: float
    """The published accuracy in [0, 1]."""
    tests: int
    """Number of images on which it was measured."""
    runs: int
    """Number of trainings whose mean it is."""
    chosen_on: Literal["test", "validation"]
    """The split on which its epoch was chosen."""


@dataclass(frozen=True)
class Placed:
    """The result of comparing a claim with the stored runs."""

    verdict: Literal["compatible", "not compatible", "open"]
    p: float
    """Two-sided p: the probability that new trainings score at least as far from the mean of the stored ones."""
    prediction: TwoWay
    """The prediction for the number of runs and images of the claim."""
    seeds_to_exclude: float
    """Number of seeds from which on the claim would be excluded; inf for more than `MOST_SEEDS`, NaN if no number would suffice."""
    sentence: str
    table: tuple[tuple[str, str], ...]
    """The numbers behind the sentence: name and value."""
    notes: tuple[str, ...]
    """Caveats that a reader must know."""


def place(results: Results, claim: Claim, *, train_size: int | None = None) -> Placed:
    """Compare a claim with the prediction from the stored runs of its model; ResultsError if they allow no prediction.

    `train_size` is the number of training sequences of the stored runs, if they had fewer than the data set has.
    """
    rows, seeds = _evidence(results, claim.model)
    correct_Sn = results.correct[claim.model][rows]
    of_model = results.runs[results.runs["model"] == claim.model][rows]
    gain_S = (of_model["best_accuracy"] - of_model["test_accuracy"]).to_numpy(dtype=float)
    chosen_on_test = claim.chosen_on == "test"
    spread = Spread.of(correct_Sn, gain_S if chosen_on_test else 0.0)
    alpha = results.plan.alpha
    prediction = spread.prediction(claim.runs, claim.tests)
    p = spread.p(claim.accuracy, claim.runs, claim.tests)
    needed = spread.seeds_to_exclude(claim.accuracy, claim.runs, claim.tests, alpha=alpha, most=MOST_SEEDS)
    verdict: Literal["compatible", "not compatible", "open"]
    verdict = "not compatible" if p < alpha else "compatible" if isnan(needed) else "open"
    shown = with_interval(prediction.value, *_within_0_and_1(prediction, 1 - alpha))
    size = f"n = {plural(len(seeds), 'seed')} x {plural(correct_Sn.shape[1], 'sequence')}"
    said = {
        "compatible": f"{claim.model} may score {percent(claim.accuracy)}",
        "not compatible": f"{claim.model} does not score {percent(claim.accuracy)}",
        "open": f"these seeds do not exclude that {claim.model} scores {percent(claim.accuracy)}, and more may",
    }[verdict]
    what = f"{plural(claim.runs, 'new run')} on {plural(claim.tests, 'new sequence')}"
    sentence = (
        f"{verdict}: {said}; expected of {what}: {shown} at {100 * (1 - alpha):g} %, {p_value(p)} two-sided ({size})"
    )
    return Placed(
        verdict,
        p,
        prediction,
        needed,
        f"{sentence}{_what_would_tell(verdict, needed)}.",
        _table(claim, spread, gain_S, alpha),
        tuple(_notes(results, claim, seeds, spread, train_size)),
    )


def _evidence(results: Results, model: str) -> tuple[NDArray[np.bool_], list[int]]:
    """Return the answers (S, n) of the runs of a model that are independent evidence, and their seeds."""
    if model not in results.models:
        near = get_close_matches(model, results.models, n=1)
        raise ResultsError(
            f"--model: must be a model of the study with a finished run ({', '.join(results.models)}), got {model or 'none'}. "
            + (f"Did you mean {near[0]}?" if near else "Name one of them.")
        )
    rows = np.array([(model, seed) not in results.copies for seed in results.seeds(model)])
    seeds = [seed for seed, own in zip(results.seeds(model), rows, strict=True) if own]
    if len(seeds) < LEAST_SEEDS:
        raise ResultsError(
            f"--study: must have {LEAST_SEEDS} seeds of {model}, got {len(seeds)}. Add seeds: compare with the same file and "
            "more --seeds."
        )
    return rows, seeds


def _within_0_and_1(prediction: TwoWay, level: float) -> tuple[float, float]:
    low, high = prediction.interval(level)
    return max(low, 0.0), min(high, 1.0)


def _what_would_tell(verdict: str, needed: float) -> str:
    if verdict != "open":
        return ""
    count = f"more than {MOST_SEEDS} seeds" if needed == inf else f"about {plural(int(needed), 'seed')} in all"
    return f"; {count} would exclude it, if the mean and the variances seen here are the true ones"


def _table(claim: Claim, spread: Spread, gain_S: NDArray[np.float64], alpha: float) -> tuple[tuple[str, str], ...]:
    predicted, level = spread.prediction(claim.runs, claim.tests), f"{100 * (1 - alpha):g} %"
    rows = [
        ("published", f"{percent(claim.accuracy)}, {points(claim.accuracy - spread.mean)} points from the mean"),
        ("mean of the stored runs", percent(spread.mean)),
    ]
    if claim.chosen_on == "test":
        gained = f"{points(float(gain_S.mean()))} points (sd {100 * float(gain_S.std(ddof=1)):.2f} over seeds)"
        rows.append(("of it, by choosing the epoch on test", gained))
    rows += [
        ("sd of one run on the stored sequences", f"{100 * sqrt(spread.over_seeds):.2f} points"),
        ("error of the prediction, of seeds", f"{100 * sqrt(predicted.over_seeds[0]):.2f} points"),
        ("error of the prediction, of sequences", f"{100 * sqrt(predicted.over_images):.2f} points"),
        (f"new sequences, {level}", _interval(predicted, alpha)),
    ]
    if claim.tests == spread.images:
        rows.append((f"the very same sequences, {level}", _interval(spread.prediction(claim.runs, None), alpha)))
    return tuple(rows)


def _interval(prediction: TwoWay, alpha: float) -> str:
    low, high = _within_0_and_1(prediction, 1 - alpha)
    return f"{percent(low)} to {percent(high)}"


def _notes(results: Results, claim: Claim, seeds: list[int], spread: Spread, train_size: int | None) -> list[str]:
    """Return caveats: circumstances that the comparison cannot take into account."""
    data, epochs = results.runs["dataset"].iloc[0], results.runs.loc[results.runs["model"] == claim.model, "epochs"]
    trained_on = data if train_size is None else f"{plural(train_size, 'training sequence')} of {data}"
    notes = [
        (
            f"It holds the number against this study's training: {trained_on}, {plural(int(epochs.max()), 'epoch')}. Another "
            "protocol is another distribution."
        )
    ]
    if far := [cell for cell in collapsed(results) if cell[0] == claim.model and cell[1] in seeds]:
        notes.append(f"Far from the other seeds: {name_cells(far)}. The prediction counts them.")
    if claim.chosen_on == "test" and claim.tests != spread.images:
        notes.append(
            f"What choosing the epoch on test brings was measured on {plural(spread.images, 'sequence')}; it is more on fewer, "
            "and with more epochs."
        )
    return notes
