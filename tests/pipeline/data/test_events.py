from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import DataError, EventBatch, EventDataset

ROWS = [[3, 5, 9], [], [0], [2, 2, 700, 783]]


def dataset(rows=ROWS, features=None, **changes):
    fields = {"labels": [i % 3 for i in range(len(rows))], "classes": 3, "horizon": 784.0} | changes
    return EventDataset.from_lists(rows, features=features, **fields)


def parts(**changes):
    fields = {
        "times": torch.tensor([1, 2, 3], dtype=torch.int16),
        "offsets": torch.tensor([0, 2, 3]),
        "labels": torch.tensor([0, 1]),
        "classes": 2,
        "horizon": 10.0,
        "time_unit": "step",
        "name": "toy",
    }
    return EventDataset(**(fields | changes))


def rows_of(data):
    bounds = data.offsets.tolist()
    return [data.times[a:b].tolist() for a, b in pairwise(bounds)]


@given(
    rows=st.lists(st.lists(st.integers(0, 783), max_size=9).map(sorted), min_size=1, max_size=8),
    padding=st.sampled_from([0, -1, 783, 10_000]),
    data=st.data(),
)
def test_a_batch_is_the_rows_one_by_one_padded_to_the_longest(rows, padding, data):
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=6))
    batch = dataset(rows).batch(torch.tensor(chosen), padding=padding)
    width = max(1, *(len(rows[i]) for i in chosen))
    assert batch.times.tolist() == [rows[i] + [padding] * (width - len(rows[i])) for i in chosen]
    assert batch.lengths.tolist() == [len(rows[i]) for i in chosen]
    assert batch.labels.tolist() == [i % 3 for i in chosen]
    assert batch.features is None


def test_whole_times_are_stored_in_two_bytes_and_batched_as_int64():
    data = dataset()
    assert data.times.dtype == torch.int16
    assert data.batch(torch.tensor([0])).times.dtype == torch.int64


@pytest.mark.parametrize("row", [[0.5, 1.0], [0.0, 40_000.0]])
def test_other_times_stay_float32(row):
    data = dataset([row], horizon=1e5)
    assert data.times.dtype == torch.float32
    assert data.batch(torch.tensor([0])).times.tolist() == [row]


def test_features_follow_their_events_and_are_padded_alike():
    features = [[[10.0 * i + j] for j in range(len(row))] for i, row in enumerate(ROWS)]
    features[1] = np.zeros((0, 1))
    data = dataset(features=features)
    assert data.feature_dim == 1
    batch = data.batch(torch.tensor([2, 0]), padding=-7)
    assert batch.features.squeeze(-1).tolist() == [[20, -7, -7], [0, 1, 2]]
    assert data.truncate(1).select(torch.tensor([3, 0])).features.tolist() == [[30.0], [0.0]]


def test_only_empty_sequences_make_a_batch_of_padding():
    data = dataset([[], []], features=[[], []])
    batch = data.batch(torch.tensor([0, 1]), padding=5)
    assert batch.times.tolist() == [[5], [5]]
    assert batch.features.shape == (2, 1, 1)
    assert batch.lengths.tolist() == [0, 0]


def test_a_data_set_and_a_batch_may_be_empty():
    assert len(dataset([])) == 0
    assert len(dataset().select(torch.tensor([], dtype=torch.long))) == 0
    assert len(dataset().batch(torch.tensor([], dtype=torch.long))) == 0


def test_select_takes_sequences_in_the_order_asked_for():
    chosen = dataset().select(torch.tensor([3, 1, 0]))
    assert rows_of(chosen) == [ROWS[3], ROWS[1], ROWS[0]]
    assert chosen.labels.tolist() == [0, 1, 0]
    assert chosen.lengths.tolist() == [4, 0, 3]


def test_truncate_keeps_the_first_events():
    assert rows_of(dataset().truncate(2)) == [[3, 5], [], [0], [2, 2]]


def test_gaps_are_those_within_a_sequence():
    data = EventDataset.from_lists([[0.5, 2.5], [], [5.5], [4.5, 4.5, 9.5], []], classes=1, horizon=10)
    assert data.gaps.tolist() == [0, 2, 0, 0, 0, 5]
    assert EventDataset.from_lists([[], []], classes=1, horizon=10).gaps.tolist() == []
    assert EventDataset.from_lists([[700, 30000], [2]], classes=1, horizon=40000).gaps.tolist() == [0, 29300, 0]


def test_the_digest_is_that_of_the_content():
    assert dataset().digest == dataset(name="another name").digest
    others = [
        dataset([*ROWS[:3], [2, 2, 700, 782]]),
        dataset(labels=[0, 1, 2, 1]),
        dataset(horizon=785.0),
        dataset(classes=4),
    ]
    # The same numbers, cut elsewhere, or stored as another type, are other content.
    others += [dataset([[3, 5], [9], [0], [2, 2, 700, 783]]), parts(), parts(times=torch.tensor([1.0, 2.0, 3.0]))]
    assert len({dataset().digest, *(other.digest for other in others)}) == len(others) + 1


def test_without_labels_all_are_zero():
    assert EventDataset.from_lists([[1], [2]], classes=2, horizon=5.0).labels.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"times": torch.tensor([1, 2, 3])},
            "times: must have 1 dimension(s) of int16 or float32, got (3,) of torch.int64",
        ),
        (
            {"times": torch.tensor([2, 1, 3], dtype=torch.int16)},
            "ascend within a sequence (sequence 0), got 2 before 1",
        ),
        ({"times": torch.tensor([1.0, 2.0, float("nan")])}, "finite and at least 0 (sequence 1), got nan"),
        ({"times": torch.tensor([-1.0, 2.0, 3.0])}, "finite and at least 0 (sequence 0), got -1.0"),
        ({"offsets": torch.tensor([0, 3])}, "offsets: must be one more than the 2 labels, got 2"),
        ({"offsets": torch.tensor([0, 2, 4])}, "offsets: must ascend from 0 to the 3 events"),
        ({"offsets": torch.tensor([0, 4, 3])}, "offsets: must ascend from 0 to the 3 events"),
        ({"labels": torch.tensor([0, 2])}, "labels: must lie in [0, 2), got 2"),
        ({"features": torch.zeros(2, 1)}, "features: must have one row for each of the 3 events, got 2 rows"),
        ({"features": torch.full((3, 1), torch.inf)}, "features: must be finite, got another value in sequence 0"),
        (
            {"class_names": ("owl",)},
            "class_names: must be 2 different ones, each in one line with single blanks, got ['owl']",
        ),
        ({"class_names": ("owl", "owl")}, "got ['owl', 'owl']"),
        ({"class_names": ("owl", "barn\nowl")}, "got ['owl', 'barn\\nowl']"),
        ({"horizon": 0.0}, "finite above 0, got 2, 0.0"),
    ],
)
def test_bad_content_is_refused_with_where_and_what(changes, message):
    with pytest.raises(DataError) as caught:
        parts(**changes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_later_sequence_may_start_before_the_one_before_it_ended():
    assert len(parts(times=torch.tensor([5, 9, 1], dtype=torch.int16))) == 2
    assert len(dataset([[], [5], [], [1], []])) == 5


@pytest.mark.parametrize(
    ("rows", "features", "message"),
    [
        ([["a"]], None, "sequence 0: must be numbers"),
        ([[1], [[2]]], None, "sequence 1: must have 1 dimension(s), got 2"),
        ([[1, 2]], [[[1.0]]], "features: must be (L_i, F)"),
        ([[1], [2]], [[[1.0]], [[1.0, 2.0]]], "features: must be (L_i, F)"),
    ],
)
def test_lists_of_the_wrong_shape_are_refused(rows, features, message):
    with pytest.raises(DataError) as caught:
        dataset(rows, features)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"times": torch.zeros(2, 3)[0]},
        {"times": torch.zeros(2, 3, dtype=torch.float64)},
        {"lengths": torch.tensor([1])},
        {"labels": torch.tensor([1])},
        {"features": torch.zeros(2, 3)},
    ],
)
def test_a_batch_checks_its_shapes(changes):
    fields = {
        "times": torch.zeros(2, 3),
        "features": None,
        "lengths": torch.tensor([1, 3]),
        "labels": torch.tensor([0, 1]),
    }
    EventBatch(**fields)
    with pytest.raises(DataError, match="batch"):
        EventBatch(**(fields | changes))


@pytest.mark.gpu
def test_batches_are_made_on_the_device_of_the_data_set():
    data = dataset().to("cuda")
    batch = data.batch(torch.tensor([3, 0], device="cuda"))
    assert batch.times.device.type == "cuda"
    assert batch.times.tolist() == dataset().batch(torch.tensor([3, 0])).times.tolist()
    assert data.digest == dataset().digest
