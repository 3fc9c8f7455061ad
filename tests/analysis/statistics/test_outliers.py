import numpy as np
import pytest

from analysis.statistics.outliers import WIDEST, far_seeds, farthest_repetition
from analysis.statistics.randomness import stream

IMAGES = 2000


def drawn(generator, *, models, seeds, lower=0.0, collapsed=0):
    """Return accuracies of equal models over seeds; the first seeds of the first model are lower."""
    accuracies = {str(model): 0.8 + 0.02 * generator.standard_normal(seeds) for model in range(models)}
    accuracies["0"][:collapsed] -= lower
    return accuracies


@pytest.mark.parametrize(("seeds", "collapsed"), [(3, 1), (5, 1), (5, 2), (10, 3)])
@pytest.mark.parametrize("models", [2, 4])
def test_seeds_that_collapse_are_found(models, seeds, collapsed):
    generator = stream("collapses", models, seeds)
    found = [
        far_seeds(drawn(generator, models=models, seeds=seeds, lower=0.5, collapsed=collapsed), IMAGES)["0"]
        for _ in range(100)
    ]
    assert np.mean([far_S[:collapsed].all() for far_S in found]) >= 0.95


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_seeds_that_only_vary_are_not_said_to_collapse(seeds):
    generator = stream("no collapse", seeds)
    found = [far_seeds(drawn(generator, models=4, seeds=seeds), IMAGES) for _ in range(300)]
    assert np.mean([any(far_S.any() for far_S in one.values()) for one in found]) <= 0.02


def test_accuracies_that_chance_on_the_images_explains_are_near():
    accuracies = {"a": np.array([0.9, 0.9, 0.9, 0.91]), "b": np.array([0.9, 0.9, 0.9, 0.9])}
    assert not far_seeds(accuracies, 100)["a"].any()
    assert far_seeds(accuracies, 1_000_000)["a"].tolist() == [False, False, False, True]


def test_the_deviation_of_chance_is_the_binomial_one():
    # Six deviations of 0.9 on 2,500 images are 3.6 points.
    near, far = ({"a": np.array([0.9, 0.9, 0.9, 0.9 - gap])} for gap in (0.0359, 0.0361))
    assert not far_seeds(near, 2500)["a"].any()
    assert far_seeds(far, 2500)["a"].tolist() == [False, False, False, True]


def test_two_seeds_cannot_say_which_of_them_lies_far():
    found = far_seeds({"a": np.array([0.1, 0.9]), "b": np.array([0.9, 0.9, 0.9])}, IMAGES)
    assert {model: far_S.tolist() for model, far_S in found.items()} == {"a": [False] * 2, "b": [False] * 3}


def test_a_repetition_may_lie_as_far_off_as_another_seed():
    others = [0.970, 0.971, 0.972, 0.969]  # their variance is 5e-6 / 3
    # 12.924 is Student's t at .9995 with 3 degrees of freedom, of the usual tables.
    expected = 12.924 * (2 * (5e-6 / 3 + 0.97 * 0.03 / 10_000)) ** 0.5
    assert farthest_repetition(others, 0.97, 10_000) == pytest.approx(expected, rel=1e-4)
    assert expected == pytest.approx(0.0391, abs=1e-4)
    assert farthest_repetition(others[:1], 0.97, 10_000) == farthest_repetition([], 0.97, 10_000) == WIDEST
    assert farthest_repetition([0.2, 0.6, 0.9], 0.97, 10_000) == WIDEST


def test_a_repetition_with_other_rounding_is_rarely_too_far_off():
    generator = stream("repetitions")
    drawn_R6 = 0.8 + 0.02 * generator.standard_normal((4000, 6))
    far = [abs(one - other) > farthest_repetition(others, (one + other) / 2, 2000) for one, other, *others in drawn_R6]
    assert np.mean(far) <= 0.002
