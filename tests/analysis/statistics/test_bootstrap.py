import numpy as np
import pytest

from analysis.statistics.bootstrap import COVERAGE, crossed_interval, resample_images
from analysis.statistics.randomness import stream
from analysis.statistics.two_way import difference

A = np.array([[1, 1, 0, 1], [1, 0, 0, 1]], dtype=bool)


@pytest.mark.parametrize("paired", [True, False])
def test_the_crossed_bootstrap_is_as_wide_as_its_two_sources(paired):
    generator = stream("answers")
    a, b = (generator.random((20, 1000)) < rate + 0.05 * generator.standard_normal((20, 1)) for rate in (0.8, 0.7))
    drawn = resample_images(np.concatenate([a, b]), stream("images"))
    assert drawn.mean(axis=0) == pytest.approx(np.concatenate([a, b]).mean(axis=1), abs=0.002)
    low, high = crossed_interval(drawn[:, :20], drawn[:, 20:], stream("seeds"), paired=paired, level=0.95)
    expected = difference(a, b, paired=paired)
    assert (low + high) / 2 == pytest.approx(expected.value, abs=0.01)
    assert high - low == pytest.approx(2 * 1.96 * expected.se, rel=0.15)


def test_the_bootstrap_of_identical_models_is_zero_and_of_one_seed_unknown():
    drawn = resample_images(A, stream("images"), draws=250)
    assert drawn.shape == (250, 2)
    assert crossed_interval(drawn, drawn, stream("seeds"), paired=True, level=0.95) == (0, 0)
    assert np.isnan(crossed_interval(drawn[:, :1], drawn[:, 1:], stream("seeds"), paired=True, level=0.95)).all()


@pytest.mark.parametrize("seeds", COVERAGE)
def test_with_few_seeds_its_interval_is_as_much_too_short_as_is_said(seeds):
    # Only seeds vary, by a standard normal; 1,000 studies without a difference, standard error .016 at most.
    draw, held = stream("coverage", seeds), 0
    for _ in range(1_000):
        drawn = np.tile(draw.standard_normal(seeds), (400, 1)).astype(np.float32)
        low, high = crossed_interval(drawn, np.zeros_like(drawn), draw, paired=True, level=0.95)
        held += low <= 0 <= high
    assert held / 1_000 == pytest.approx(COVERAGE[seeds] / 100, abs=0.04)
