import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from analysis.statistics.rates import images_that_count, rate_interval
from analysis.statistics.two_way import by_class


def test_one_seed_gets_wilsons_interval():
    right = np.arange(50) < 45
    assert rate_interval(right[None], 0.95) == pytest.approx((0.9, *proportion_confint(45, 50, method="wilson")))


def test_an_interval_has_a_width_when_every_answer_is_right():
    rate, low, high = rate_interval(np.ones((3, 40), dtype=bool), 0.95)
    assert (rate, high) == (1, 1)
    assert low == pytest.approx(proportion_confint(40, 40, method="wilson")[0])


def test_near_the_ceiling_the_interval_holds_the_true_accuracy():
    # 5 seeds, 128 images, every answer right with 99.5 %: 2,000 studies, standard error .005 at .95.
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(2_000):
        _, low, high = rate_interval(draw.random((5, 128)) < 0.995, 0.95)
        held += low <= 0.995 <= high
    assert held / 2_000 > 0.94


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_where_seeds_dominate_the_interval_holds_the_true_accuracy(seeds):
    # 1,000 studies, standard error .007; with Satterthwaite's degrees of freedom .867 at 2 seeds, .928 at 3.
    draw, held = np.random.default_rng(seeds), 0
    for _ in range(1_000):
        chances_S = 0.8 + 0.02 * draw.standard_normal((seeds, 1))
        _, low, high = rate_interval(draw.random((seeds, 2_000)) < chances_S, 0.95)
        held += low <= 0.8 <= high
    assert held / 1_000 > 0.935


def test_where_every_answer_is_right_the_rare_class_says_how_sure_that_is():
    # 475 images of one class and 25 of the other tell balanced accuracy as well as 95 tell accuracy.
    strata = by_class(np.arange(500) % 20 == 0)
    assert images_that_count(strata, 500) == pytest.approx(4 / (1 / 475 + 1 / 25))
    rate, low, high = rate_interval(np.ones((3, 500), dtype=bool), 0.95, strata)
    assert (rate, high) == (1, 1)
    assert low == pytest.approx(proportion_confint(95, 95, method="wilson")[0])


def test_a_rare_class_that_is_all_right_by_chance_does_not_make_the_interval_short():
    # 5 seeds, 500 images, no noise of seeds: 1,000 studies, standard error .007 at .95.
    draw, held, strata = np.random.default_rng(0), 0, by_class(np.arange(500) % 20 == 0)
    chances_n = np.where(np.arange(500) % 20 == 0, 0.95, 0.99)
    for _ in range(1_000):
        image_n = draw.random(500) < chances_n  # an image is right in every seed or in none
        _, low, high = rate_interval(np.tile(image_n, (5, 1)), 0.95, strata)
        held += low <= 0.97 <= high
    assert held / 1_000 > 0.93
