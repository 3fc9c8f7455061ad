from itertools import pairwise

import numpy as np
import pytest
import torch

from pipeline.data import EventDataset
from pipeline.probes.alterations import ALTERATIONS, altered

BY_NAME = {alteration.name: alteration for alteration in ALTERATIONS}
EVENTS = [[3, 5, 5, 9], [], [0, 63]]


def dataset(times=EVENTS, features=None, horizon=64):
    return EventDataset.from_lists(times, features=features, classes=2, horizon=horizon)


def lists(changed):
    ends = changed.offsets.tolist()
    return [changed.times[a:b].tolist() for a, b in pairwise(ends)]


def of(name, data=None):
    return altered(data or dataset(), BY_NAME[name], np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", [[32, 32, 32, 32], [], [32, 32]]),
        ("rank only", [[0, 1, 2, 3], [], [0, 1]]),
        ("shifted by 1", [[4, 6, 6, 10], [], [1, 63]]),  # 64 is clipped
        ("shifted by 28", [[31, 33, 33, 37], [], [28, 63]]),
        ("stretched by 0.9", [[3, 4, 4, 8], [], [0, 57]]),  # 2.7, 4.5, 8.1, 56.7; a half goes to the even number
        ("reversed", [[54, 58, 58, 60], [], [0, 63]]),
    ],
)
def test_alterations_without_chance_are_those_computed_by_hand(name, expected):
    assert lists(of(name)) == expected


def test_shuffled_gaps_keep_the_ends_and_the_gaps():
    first, empty, last = lists(of("shuffled gaps"))
    assert (first[0], first[-1]) == (3, 9)
    assert sorted(np.diff(first)) == [0, 2, 4]
    assert (empty, last) == ([], [0, 63])


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("whole", [True, False])
def test_every_alteration_is_legal_and_repeats(name, whole):
    times = np.sort(np.random.default_rng(1).integers(0, 64, size=(20, 30)), axis=1) + (0.0 if whole else 0.25)
    data = dataset([row[row < 64] for row in times])
    changed = of(name, data)  # the constructor refuses times that do not ascend
    assert changed.times.dtype == data.times.dtype
    assert changed.times.min() >= 0
    assert changed.times.max() <= 63 if whole else changed.times.max() < 64
    assert torch.equal(changed.times, of(name, data).times)


def test_features_go_with_their_events():
    features = [[[10.0], [11.0], [12.0], [13.0]], np.zeros((0, 1)), [[20.0], [21.0]]]
    turned = of("reversed", dataset(features=features))
    assert turned.features.flatten().tolist() == [13, 12, 11, 10, 21, 20]
    dropped = of("10 % dropped", dataset([[float(i) for i in range(60)]], features=[[[i + 100.0] for i in range(60)]]))
    assert 40 < len(dropped.times) < 60
    assert torch.equal(dropped.features[:, 0], dropped.times + 100.0)
    inserted = of("10 % inserted", dataset([[float(i) for i in range(60)]]))
    assert len(inserted.times) == 66
