"""In which order cells are trained, and where."""

from itertools import product

import pytest

from pipeline.placement import Cost, fits, order, spread


def test_workers_take_one_cell_after_another_as_they_become_free():
    # Worker 0 is busy until 3, worker 1 until 1, then until 3: the fourth cell goes to the one that is free first.
    assert spread([3.0, 1.0, 2.0, 1.0], 2) == [(0, 3.0), (1, 1.0), (1, 3.0), (0, 4.0)]


def test_seeds_are_whole_and_within_each_the_slowest_is_first():
    costs = [Cost(seed, seconds) for seed in range(3) for seconds in (1.0, 3.0, 2.0)]
    assert order(costs, 1) == [1, 2, 0, 4, 5, 3, 7, 8, 6]


def test_the_last_seeds_are_taken_together_where_workers_would_idle_at_the_end():
    # Two workers, seeds of 4 and 1: seed by seed both end a seed's 4 and wait for nothing, but the third 4 is alone at the
    # end: 0-4 | 0-1, 1-5 | 4-5, 5-9. The slowest first is 0-4, 4-8 | 0-4, then the ones: 4-5, 5-6, 6-7.
    costs = [Cost(seed, seconds) for seed in range(3) for seconds in (4.0, 1.0)]
    seed_by_seed = [0, 1, 2, 3, 4, 5]
    assert max(end for _, end in spread([costs[place].seconds for place in seed_by_seed], 2)) == 9.0
    places = order(costs, 2)
    assert max(end for _, end in spread([costs[place].seconds for place in places], 2)) == 8.0


@pytest.mark.parametrize(("cells", "workers"), list(product([1, 7, 40], [1, 3, 16, 100])))
def test_every_cell_is_placed_once_and_no_worker_is_free_while_one_waits(cells, workers):
    costs = [Cost(number // 5, 1.0 + number * 7 % 5) for number in range(cells)]
    places = order(costs, workers)
    assert sorted(places) == list(range(cells))
    seconds = [costs[place].seconds for place in places]
    ends = [end for _, end in spread(seconds, workers)]
    # Graham's bound of list scheduling: at most the mean load and the longest cell.
    assert max(ends) <= sum(seconds) / workers + max(seconds)


def test_a_cell_without_expected_time_is_placed():
    assert order([Cost(0, 0.0), Cost(0, 0.0)], 2) == [0, 1]
    assert order([], 3) == []


def test_work_fits_with_a_margin_into_the_time_that_is_left():
    # 1.2 times 100 s, and 10 s for what comes before and after.
    assert fits(100.0, 130.0)
    assert not fits(100.0, 129.9)
