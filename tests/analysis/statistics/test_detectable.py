from math import isnan

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.detectable import seeds_needed, smallest_effect
from analysis.statistics.randomness import stream

WRONG = ("mde_paired_dz_power80_alpha_holm6", "3")
"""The library's search stopped where its power is NaN: at that effect, 6.85, the simulated power is .69."""


@pytest.mark.parametrize(
    ("name", "alpha", "paired"),
    [
        ("mde_paired_dz_power80", 0.05, True),
        ("mde_welch_d_power80", 0.05, False),
        ("mde_paired_dz_power80_alpha_holm6", 0.05 / 6, True),
    ],
)
def test_the_smallest_effects_are_the_oracles(oracle, name, alpha, paired):
    for seeds, effect in oracle[name].items():
        if (name, seeds) == WRONG:
            continue
        assert smallest_effect(int(seeds), alpha, paired=paired) == pytest.approx(effect, rel=1e-4)


@pytest.mark.parametrize(("name", "paired"), [("paired dz=1,1.5,2", True), ("welch d=1,1.5,2", False)])
def test_the_seeds_that_an_effect_needs_are_the_oracles(oracle, name, paired):
    known = oracle["n_per_arm_power80"][name]
    for label, pairs in (("a.05", 1), ("a.05/3", 3), ("a.05/6", 6)):
        found = [seeds_needed(effect, 0.05 / pairs, paired=paired) for effect in (1, 1.5, 2)]
        assert found == known[label]


def test_one_seed_detects_nothing():
    assert isnan(smallest_effect(1, 0.05, paired=True))


def test_the_smallest_effect_of_three_seeds_after_holm_has_its_power_in_a_simulation(oracle):
    bound = stats.t.ppf(1 - 0.05 / 12, 2)
    noise = stream("power of three seeds").standard_normal((400_000, 3))
    for effect, power in ((smallest_effect(3, 0.05 / 6, paired=True), 0.8), (oracle[WRONG[0]][WRONG[1]], 0.69)):
        values = noise + effect
        t = values.mean(axis=1) / values.std(axis=1, ddof=1) * 3**0.5
        assert np.mean(np.abs(t) > bound) == pytest.approx(power, abs=0.005)
