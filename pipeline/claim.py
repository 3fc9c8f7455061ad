"""Comparison of a published accuracy with a stored study; nothing is trained."""

from typing import Literal

from analysis.analyses.claim import Claim, Placed, place
from pipeline.console import say, show
from pipeline.stored_study import StoredStudy, load_results
from pipeline.tracking import Tracker


def place_claim(
    study: StoredStudy,
    tracker: Tracker,
    *,
    model: str,
    accuracy: float,
    tests: int | None,
    runs: int,
    chosen_on: Literal["test", "validation"],
) -> Placed:
    """Print and return how an accuracy in [0, 1] compares with what a model of the study would score.

    `tests` is the number of test sequences behind the accuracy, by default that of the study; `runs` is the number of runs.
    """
    results = load_results(study, tracker, allow_missing=True, probes=False)
    claim = Claim(model, accuracy, tests or len(results.test_set.label), runs, chosen_on)
    config = study.manifest.variants.get(model, {})
    placed = place(results, claim, train_size=config.get("data", {}).get("train_size"))
    show(("", model), placed.table, title=f"{study.name} (study {study.id})")
    for note in placed.notes:
        say(f"Note. {note}")
    say()
    say(placed.sentence)
    return placed
