import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from analysis.statistics.rates import rate_interval


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
