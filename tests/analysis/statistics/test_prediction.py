from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.prediction import Spread
from scripts.claim_coverage import coverage

# Three seeds on four images: 3, 2 and 2 right, on the images 3, 3, 1 and 0 of 3.
ANSWERS = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 0, 0]], dtype=bool)


def test_the_spread_is_what_a_hand_computes():
    spread = Spread.of(ANSWERS)
    assert spread.mean == pytest.approx(7 / 12)
    assert spread.flips == pytest.approx((1 / 3) / 4)  # the third image alone differs between seeds: var(1, 0, 0) = 1/3
    assert spread.over_seeds == pytest.approx(np.var([3 / 4, 1 / 2, 1 / 2], ddof=1))  # 1/48
    padded = np.var([1, 1, 1 / 3, 0, 1, 0], ddof=1)
    assert spread.over_images == pytest.approx(padded - (1 / 12) / 3)


def test_the_error_of_a_prediction_is_what_a_hand_computes():
    predicted = Spread(0.9, seeds=5, images=100, over_seeds=0.0004, over_images=0.05, flips=0.03).prediction(2, 400)
    assert predicted.value == 0.9
    assert predicted.seed_df == (4,)
    assert predicted.over_seeds == pytest.approx((0.0004 / 5 + (0.0004 - 0.0003) / 2,))
    assert predicted.over_images == pytest.approx(0.05 * (1 / 100 + 1 / 400) + 0.03 / (2 * 400))


def test_without_images_and_flips_it_is_students_prediction_interval():
    spread = Spread(0.9, seeds=5, images=100, over_seeds=0.0004, over_images=0.0, flips=0.0)
    low, high = spread.prediction(1, None).interval(0.95)
    half = stats.t.ppf(0.975, 4) * 0.02 * (1 + 1 / 5) ** 0.5
    assert (low, high) == pytest.approx((0.9 - half, 0.9 + half))
    assert spread.p(high, 1, None) == pytest.approx(0.05)


def test_the_very_same_images_leave_the_seeds_alone():
    spread = Spread(0.9, seeds=5, images=100, over_seeds=0.0004, over_images=0.05, flips=0.03)
    predicted = spread.prediction(1, None)
    total = predicted.over_seeds[0] + predicted.over_images
    assert total == pytest.approx(0.0004 * (1 + 1 / 5))
    assert predicted.se < spread.prediction(1, 100).se


def test_more_runs_and_more_images_predict_closer():
    spread = Spread.of(np.random.default_rng(0).random((5, 200)) < 0.8)
    assert spread.prediction(9, 200).se < spread.prediction(1, 200).se
    assert spread.prediction(1, 2000).se < spread.prediction(1, 200).se


def test_what_the_choice_of_an_epoch_brings_moves_the_mean_and_adds_its_own_spread():
    gain = np.array([0.25, 0.0, 0.25])
    spread = Spread.of(ANSWERS, gain)
    assert spread.mean == pytest.approx(7 / 12 + 1 / 6)
    assert spread.over_seeds == pytest.approx(np.var([1, 1 / 2, 3 / 4], ddof=1))


def test_all_right_answers_do_not_predict_that_all_will_be():
    low, high = Spread.of(np.ones((3, 128), dtype=bool)).prediction(1, 128).interval(0.95)
    assert 0.95 < low < 0.99
    assert high > 1


def test_seeds_that_agree_by_chance_vary_as_single_answers_do():
    right = np.array([[1, 0] * 50, [0, 1] * 50, [1, 0] * 50], dtype=bool)  # every seed has 50 of 100
    spread = Spread.of(right)
    assert spread.over_seeds == pytest.approx((1 / 3) / 100)


@pytest.mark.parametrize(
    ("accuracy", "needed"), [(0.9, "no number"), (0.938, "no number"), (0.95, "some"), (0.99, "these")]
)
def test_the_seeds_that_would_exclude_a_number_are_those_at_which_its_p_falls_under_alpha(accuracy, needed):
    spread = Spread(0.9, seeds=3, images=10_000, over_seeds=0.0004, over_images=0.0, flips=0.0)
    if needed == "these":
        spread = replace(spread, over_seeds=0.0002)
    seeds = spread.seeds_to_exclude(accuracy, 1, 10_000, alpha=0.05, most=100)
    if needed == "no number":
        # 1.96 deviations of one new run are 0.0392 however many seeds there are.
        assert np.isnan(seeds)
    elif needed == "these":
        assert seeds == 3
    else:
        assert 3 < seeds < 100
        assert spread.p(accuracy, 1, 10_000, int(seeds)) < 0.05 <= spread.p(accuracy, 1, 10_000, int(seeds) - 1)
        assert spread.seeds_to_exclude(accuracy, 1, 10_000, alpha=0.05, most=4) == np.inf


@pytest.mark.parametrize("world", ["seeds dominate", "images dominate", "coin flips"])
@pytest.mark.parametrize("seeds", [3, 10])
def test_a_prediction_holds_new_runs_as_often_as_it_says(world, seeds):
    found = coverage((world, seeds, 1, 1), studies=200)["coverage"]
    assert found >= 0.95 - 3 * (0.95 * 0.05 / 200) ** 0.5


def test_a_prediction_that_forgets_its_seeds_is_found_out(monkeypatch):
    def forgetful(correct_Sn):
        return replace(Spread.of(correct_Sn), over_seeds=0.0, flips=0.0)

    monkeypatch.setattr("scripts.claim_coverage.measured", forgetful)
    assert coverage(("seeds dominate", 3, 1, 1), studies=200)["coverage"] < 0.7
