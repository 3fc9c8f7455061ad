import numpy as np
import pytest

from analysis.statistics.guessing import beats_guessing


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.95, 0.05), (0.1,) * 10])
def test_answers_without_a_look_beat_guessing_as_often_as_the_level_says(shares):
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(shares)), (np.array(shares) * 400).astype(int))
    beaten = [beats_guessing(labels, random.choice(len(shares), len(labels), p=shares)) for _ in range(1000)]
    assert 0.02 < np.mean(beaten) < 0.08


def test_one_class_for_all_is_guessing_however_often_it_is_right():
    labels = np.array([0] * 95 + [1] * 5)
    assert not beats_guessing(labels, np.zeros(100, dtype=np.int64))
    assert not beats_guessing(np.zeros(10, dtype=np.int64), np.zeros(10, dtype=np.int64))


def test_a_rare_class_that_is_found_beats_guessing():
    labels = np.array([0] * 95 + [1] * 5)
    found = labels.copy()
    found[[0, 1, 95]] = 1, 1, 0
    assert beats_guessing(labels, found)


def test_answers_that_name_a_class_without_sequences_are_wrong():
    labels = np.array([0, 2] * 50)
    assert not beats_guessing(labels, np.full(100, 1))
    assert beats_guessing(labels, labels)
