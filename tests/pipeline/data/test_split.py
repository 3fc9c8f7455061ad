import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.split import GOLDEN_GAMMA, _mix, grouped_order, hashes, part_groups, stratified_order


def test_the_hash_gives_the_published_outputs_of_splitmix64():
    # The first five outputs for the seed 1234567, as printed with the reference implementation.
    states = np.uint64(1234567) + np.arange(1, 6, dtype=np.uint64) * np.uint64(GOLDEN_GAMMA)
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert _mix(states).tolist() == expected


@given(labels=st.lists(st.integers(0, 4), min_size=1, max_size=60), seed=st.integers(0, 2**64 - 1), data=st.data())
def test_every_stretch_of_the_order_is_stratified(labels, seed, data):
    order = stratified_order(np.array(labels), seed)
    assert sorted(order.tolist()) == list(range(len(labels)))
    first = data.draw(st.integers(0, len(labels)))
    last = data.draw(st.integers(first, len(labels)))
    found = np.bincount(np.array(labels)[order[first:last]], minlength=5)
    share = np.bincount(labels, minlength=5) * (last - first) / len(labels)
    # Each end of the stretch cuts the regular spacing of a class once, and the other classes' steps fall in between.
    assert np.all(np.abs(found - share) < 1 + np.count_nonzero(share))


def test_large_classes_are_split_to_within_a_few_samples():
    labels = np.repeat([0, 1, 2], [1000, 3000, 6000])
    counts = np.bincount(labels[stratified_order(labels, 3)[:500]])
    assert np.abs(counts - [50, 150, 300]).max() <= 1


def test_another_seed_gives_another_order_and_the_same_seed_the_same():
    labels = np.arange(1000) % 10
    assert np.array_equal(stratified_order(labels, 1), stratified_order(labels, 1))
    assert not np.array_equal(stratified_order(labels, 1), stratified_order(labels, 2))


def test_hashes_do_not_depend_on_how_many_are_asked_for():
    assert hashes(5, 10).tolist() == hashes(5, 100)[:10].tolist()


@pytest.mark.parametrize(("seed", "expected"), [(0, "d3a9fc9859e3bf87"), (1, "e8257705dc3cf17e")])
def test_the_order_never_changes(seed, expected):
    # Golden values of our own: a change of the order changes every split, and with it every result.
    order = stratified_order(np.arange(60_000) * 7 % 10, seed)
    assert hashlib.sha256(order.astype("<i8").tobytes()).hexdigest().startswith(expected)


@given(groups=st.lists(st.integers(0, 9), min_size=2, max_size=60), share=st.floats(0.1, 0.6), seed=st.integers(0, 99))
def test_groups_stay_together_and_one_sequence_of_each_is_tested(groups, share, seed):
    groups = np.array(groups)
    labels = groups % 3
    order = grouped_order(labels, groups, seed)
    assert sorted(order.tolist()) == list(range(len(groups)))
    assert np.count_nonzero(np.diff(groups[order])) + 1 == len(set(groups.tolist()))  # each is one stretch
    rest, test = part_groups(labels, groups, share, seed)
    tested = groups[test].tolist()
    assert len(tested) == len(set(tested)) == max(1, round(share * len(set(groups.tolist()))))
    assert set(tested) | set(groups[rest].tolist()) == set(groups.tolist())
    assert not set(tested) & set(groups[rest].tolist())
    assert len(rest) == sum(group not in tested for group in groups.tolist())


def test_the_tested_groups_are_stratified():
    groups = np.repeat(np.arange(300), 4)
    labels = (groups >= 100).astype(np.int64)  # a third of the groups are of the first class
    _, test = part_groups(labels, groups, 0.3, 1)
    assert np.bincount(labels[test]).tolist() == [30, 60]
