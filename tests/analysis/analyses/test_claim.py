"""Where a published accuracy lies in what the stored runs of a model predict."""

import numpy as np
import pytest

from analysis.analyses.claim import Claim, place
from analysis.results import ResultsError


@pytest.fixture(scope="module")
def results(study, draw):
    return study(draw({"lete": 0.9, "none": 0.5}, seeds=5, images=400))


def claim(accuracy, **changes):
    return Claim(
        **({"model": "lete", "accuracy": accuracy, "tests": 400, "runs": 1, "chosen_on": "validation"} | changes)
    )


def test_a_number_near_the_mean_is_compatible_and_one_far_off_is_not(results):
    mean = results.correct["lete"].mean()
    near, far = place(results, claim(mean)), place(results, claim(mean - 0.2))
    assert (near.verdict, near.p) == ("compatible", pytest.approx(1))
    assert near.sentence.startswith(
        f"compatible: lete may score {100 * mean:.2f} %; expected of 1 new run on 400 new sequences: "
    )
    assert near.sentence.endswith("p = 1.000 two-sided (n = 5 seeds x 400 sequences).")
    assert (far.verdict, far.p < 0.01) == ("not compatible", True)
    narrowed = place(results, claim(mean), train_size=10_000).notes[0]
    assert narrowed.startswith("It holds the number against this study's training: 10,000 training sequences of ")


def test_the_interval_ends_where_the_verdict_turns(results):
    low, high = place(results, claim(0.9)).prediction.interval(0.95)
    assert place(results, claim(low - 0.001)).verdict == "not compatible"
    assert place(results, claim(high - 0.001)).verdict != "not compatible"


def test_where_few_seeds_are_why_it_is_not_excluded_it_says_how_many_would_tell(study):
    right = np.zeros((3, 1000), dtype=bool)
    for seed, count in enumerate((880, 900, 920)):
        right[seed, :count] = True
    placed = place(study({"lete": right}), claim(0.96, tests=10_000_000))
    assert placed.verdict == "open"
    assert placed.seeds_to_exclude == pytest.approx(5, abs=2)
    assert f"; about {placed.seeds_to_exclude:.0f} seeds in all would exclude it, if the mean" in placed.sentence


def test_a_number_chosen_on_test_is_held_against_the_best_epochs(study, draw):
    # Each run's best test accuracy is 0.02 above that of the epoch that validation chose.
    right = draw({"lete": 0.9}, seeds=4, images=400)
    means = right["lete"].mean(axis=1)
    results = study(right, curve=lambda _model, seed, _split, epoch: means[seed] + 0.02 * (epoch == 2))
    fair, best = (place(results, claim(0.95, chosen_on=split)) for split in ("validation", "test"))
    assert best.prediction.value == pytest.approx(fair.prediction.value + 0.02)
    assert best.p > fair.p
    assert dict(best.table)["of it, by choosing the epoch on test"] == "+2.00 points (sd 0.00 over seeds)"
    assert not any("choosing" in note for note in best.notes)
    assert any("choosing" in note for note in place(results, claim(0.95, chosen_on="test", tests=50)).notes)


def test_the_very_same_images_are_shown_where_their_number_is_the_same(results):
    assert "the very same sequences, 95 %" in dict(place(results, claim(0.9)).table)
    assert "the very same sequences, 95 %" not in dict(place(results, claim(0.9, tests=401)).table)


def test_an_interval_is_shown_within_0_and_100_percent(study):
    shown = dict(place(study({"lete": np.ones((3, 50))}), claim(1, tests=50)).table)["new sequences, 95 %"]
    assert shown.endswith("to 100.00 %")


def test_a_seed_that_lies_far_is_named(study, draw):
    right = draw({"lete": 0.9}, seeds=5, images=400)["lete"]
    right[3] = np.random.default_rng(1).random(400) < 0.1
    assert (
        "Far from the other seeds: lete seed 3. The prediction counts them."
        in place(study({"lete": right}), claim(0.9)).notes
    )


@pytest.mark.parametrize(("model", "said"), [("leet", "Did you mean lete?"), ("", "got none. Name one of them.")])
def test_a_model_that_is_not_there_is_refused(results, model, said):
    with pytest.raises(
        ResultsError, match=r"--model: must be a model of the study with a finished run \(lete, none\), got "
    ) as error:
        place(results, claim(0.9, model=model))
    assert said in str(error.value)


def test_fewer_than_three_seeds_are_refused(study, draw):
    with pytest.raises(ResultsError, match="--study: must have 3 seeds of lete, got 2"):
        place(study(draw({"lete": 0.9}, seeds=2)), claim(0.9))


def test_a_copy_of_a_seed_is_no_seed(study, draw):
    results = study(draw({"lete": 0.9}, seeds=3))
    results.__dict__["copies"] = [("lete", 2)]  # as the fingerprints of a study say it
    with pytest.raises(ResultsError, match="must have 3 seeds of lete, got 2"):
        place(results, claim(0.9))
