from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from pipeline.data import sources
from pipeline.data.base import data_folder
from pipeline.data.mnist import EventFashionMNISTConfig, EventMNISTConfig, MNISTSampleConfig, events_of_images
from pipeline.data.split import stratified_order


def events(image, threshold, *, intensities=False):
    images = np.array([image], dtype=np.uint8), np.array([7])
    return events_of_images(images, threshold=threshold, intensities=intensities, name="one image")


@pytest.mark.parametrize(
    ("threshold", "darkest"),
    # 0.9 x 255 = 229.5; 0.2 x 255 = 51 exactly, and the comparison is strict; 0.3 x 255 = 76.5.
    [(0.9, 230), (0.2, 52), (0.3, 77), (0.0, 1), (0.999, 255)],
)
def test_a_pixel_is_an_event_if_it_is_strictly_brighter(threshold, darkest):
    found = events(np.arange(256).reshape(16, 16), threshold)
    assert found.times.tolist() == list(range(darkest, 256))
    assert found.horizon == 256


def test_times_are_positions_row_by_row():
    assert events([[0, 255, 0], [255, 0, 255]], 0.9).times.tolist() == [1, 3, 5]


def test_intensities_are_features_between_the_threshold_and_one():
    assert events([[0, 255], [51, 102]], 0.1, intensities=True).features.tolist() == [
        [1.0],
        [pytest.approx(0.2)],
        [pytest.approx(0.4)],
    ]


def test_a_dark_image_is_an_empty_sequence():
    assert events([[0, 10]], 0.9).lengths.tolist() == [0]


def test_events_of_the_sample_equal_those_found_pixel_by_pixel():
    config = MNISTSampleConfig(threshold=0.5, validation_size=0)
    images, labels = config.images(Path())[0]
    train = config.load().train
    expected = [[t for t, x in enumerate(image.reshape(-1).tolist()) if x / 255 > 0.5] for image in images]
    assert [part.tolist() for part in train.times.tensor_split(train.offsets[1:-1])] == expected
    assert train.labels.tolist() == labels.tolist()


@pytest.mark.parametrize("threshold", [-0.1, 1.0, 230])
def test_a_threshold_outside_of_its_range_is_refused(threshold):
    with pytest.raises(ValidationError):
        EventMNISTConfig(threshold=threshold)


@pytest.mark.network
@pytest.mark.parametrize(
    ("threshold", "train_mean", "test_mean"),
    [(0.9, 68.63, 70.33), (0.3, 118.44, 119.83)],
)
def test_mean_lengths_on_the_original_files(threshold, train_mean, test_mean):
    splits = EventMNISTConfig(threshold=threshold, validation_size=0).load()
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (60_000, 0, 10_000)
    assert splits.train.lengths.double().mean().item() == pytest.approx(train_mean, abs=0.0051)
    assert splits.test.lengths.double().mean().item() == pytest.approx(test_mean, abs=0.0051)


@pytest.mark.network
def test_shortest_longest_and_gaps_on_the_original_files():
    splits = EventMNISTConfig(validation_size=0).load()
    assert (splits.train.lengths.min(), splits.train.lengths.max()) == (2, 283)
    assert (splits.test.lengths.min(), splits.test.lengths.max()) == (2, 227)


def share_of_unit_gaps(data):
    gaps = data.times.diff()
    within = torch.ones(len(gaps), dtype=torch.bool)
    within[data.offsets[1:-1] - 1] = False
    return (gaps[within] == 1).double().mean().item()


@pytest.mark.network
def test_two_thirds_of_the_gaps_on_the_original_files_are_one_pixel():
    # The figure of 64.9 % is the mean of the two parts: 64.4 % of the training gaps, 65.3 % of the test gaps.
    splits = EventMNISTConfig(validation_size=0).load()
    shares = [share_of_unit_gaps(splits.train), share_of_unit_gaps(splits.test)]
    assert np.mean(shares) == pytest.approx(0.649, abs=0.0005)


@pytest.mark.network
@pytest.mark.parametrize("config", [EventMNISTConfig(), EventFashionMNISTConfig()], ids=lambda config: config.name)
def test_the_default_split_is_55000_5000_10000_and_stratified(config):
    splits = config.load()
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [55_000, 5_000, 10_000]
    share = torch.bincount(torch.cat([splits.train.labels, splits.validation.labels])) / 60_000
    assert torch.all((torch.bincount(splits.validation.labels) - 5_000 * share).abs() <= 1)


@pytest.mark.network
def test_the_committed_sample_is_part_of_the_original_files():
    sample = MNISTSampleConfig().images(Path())
    for (images, labels), part in zip(sample, ("train", "test"), strict=True):
        sources.fetch(sources.MNIST, data_folder())
        all_images, all_labels = sources.read(sources.MNIST, data_folder(), part)
        rows = np.sort(stratified_order(all_labels, 0)[: len(labels)])
        assert np.array_equal(all_images[rows], images)
        assert np.array_equal(all_labels[rows], labels)
