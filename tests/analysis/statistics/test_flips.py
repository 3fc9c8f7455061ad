import numpy as np
import pytest

from analysis.statistics.flips import churn, flips

LABELS = np.array([0, 0, 1, 1, 2, 2])
BEFORE = np.array([0, 1, 1, 0, 0, 1])  # right, wrong, right, wrong, wrong, wrong
AFTER = np.array([0, 0, 2, 1, 1, 1])  # right, right, wrong, right, wrong otherwise, wrong alike


def test_answers_that_turn_right_and_wrong_are_counted_and_named():
    found = flips(LABELS, BEFORE, AFTER)
    assert np.flatnonzero(found.righted).tolist() == [1, 3]
    assert np.flatnonzero(found.wronged).tolist() == [2]
    assert np.flatnonzero(found.changed).tolist() == [1, 2, 3, 4]
    assert (found.count, found.net) == (3, 1)


def test_the_net_of_flips_is_the_difference_of_right_answers():
    draw = np.random.default_rng(0)
    labels, before, after = draw.integers(0, 4, (3, 1000))
    assert flips(labels, before, after).net == (after == labels).sum() - (before == labels).sum()


def test_flips_by_class_add_up_and_a_class_without_sequences_has_none():
    assert flips(LABELS, BEFORE, AFTER).by_class(LABELS, 4).tolist() == [[2, 1, 0], [2, 1, 1], [2, 0, 0], [0, 0, 0]]


def test_churn_is_counted_for_each_pair_of_seeds_whatever_their_order():
    third = np.array([1, 1, 0, 0, 0, 0])  # all wrong
    # BEFORE to AFTER 3; BEFORE to third: 0 and 2 turn wrong; AFTER to third: 0, 1 and 3.
    assert churn(LABELS, np.stack([BEFORE, AFTER, third])).tolist() == [3, 2, 3]
    assert sorted(churn(LABELS, np.stack([third, AFTER, BEFORE]))) == [2, 3, 3]


@pytest.mark.parametrize("seeds", [0, 1])
def test_one_seed_has_no_churn(seeds):
    assert churn(LABELS, np.stack([BEFORE, AFTER])[:seeds]).tolist() == []


def test_the_same_answers_flip_nothing():
    found = flips(LABELS, BEFORE, BEFORE)
    assert (found.count, found.net, found.changed.any()) == (0, 0, False)
