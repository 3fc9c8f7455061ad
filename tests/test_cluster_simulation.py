"""The simulation of a study on many machines, where its end is known."""

import pytest

from scripts.cluster_simulation import EPOCHS, Launcher, Store, simulate

FREE = Store("free", processors=1, cell=0.0, epoch=0.0)
AT_ONCE = Launcher("at once", seconds=0.0)


def test_without_costs_a_study_takes_its_rounds():
    assert simulate(10, 4, 50.0, FREE, AT_ONCE) == pytest.approx(150.0)


def test_a_store_that_answers_one_after_another_bounds_the_study():
    # 40 cells ask for 5 s and 50 times for a second, and the store is idle in the first and the last epoch at most.
    asked = 40 * (5.0 + EPOCHS * 1.0)
    seconds = simulate(40, 40, 50.0, Store("slow", processors=1, cell=5.0, epoch=1.0), AT_ONCE)
    assert asked <= seconds <= asked + 50.0
    assert simulate(40, 40, 50.0, Store("slow", processors=2, cell=5.0, epoch=1.0), AT_ONCE) < 0.6 * seconds


def test_a_driver_hands_out_one_cell_after_another():
    # The last of 100 workers begins after 100 times 0.5 s, or 25 times with four drivers.
    assert simulate(100, 100, 50.0, FREE, Launcher("slow", seconds=0.5)) == pytest.approx(100.0)
    assert simulate(100, 100, 50.0, FREE, Launcher("slow", seconds=0.5, drivers=4)) == pytest.approx(62.5)
