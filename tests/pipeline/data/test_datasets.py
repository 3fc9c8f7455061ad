"""The contract of every listed data set: what is in the registry is tested here."""

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from pipeline.data import DATASETS, AnyDataset, DataError
from pipeline.data.base import data_folder
from pipeline.data.mnist import MNISTSampleConfig
from pipeline.data.packages import PackagedConfig

FETCHED = {"event_mnist", "event_fashion_mnist"}
BY_HAND = {"event_kmnist"}
"""No package registry carries its files: tested where they were put below the data folder."""
PACKAGED = {name for name, kind in DATASETS.items() if issubclass(kind, PackagedConfig)}
"""Tested where the archives have been fetched, which is tested by itself: they have tens of megabytes."""
GIVEN = {"events_file", "recordings"}
"""Data sets that need files of the user's: test_events_file.py and test_recordings.py beside this test them on files of their own."""


def marks(name):
    if name in BY_HAND | PACKAGED:
        kind = DATASETS[name]
        place = f"packages/{kind.package.file}" if name in PACKAGED else f"{kind.files.folder}/raw"
        absent = not (data_folder() / place).exists()
        return [pytest.mark.skipif(absent, reason=f"the files of {name} are not below the data folder")]
    return [pytest.mark.network] if name in FETCHED else []


EACH = pytest.mark.parametrize(
    "config",
    [pytest.param(kind(), id=name, marks=marks(name)) for name, kind in DATASETS.items() if name not in GIVEN],
)


def rows(data):
    return {tuple(part.tolist()) for part in data.times.tensor_split(data.offsets[1:-1])}


def parts(splits):
    return splits.train, splits.validation, splits.test


@EACH
def test_every_field_is_documented(config):
    assert all(field.description for name, field in type(config).model_fields.items() if name != "name")


@EACH
def test_a_config_survives_its_json(config):
    assert TypeAdapter(AnyDataset).validate_json(config.model_dump_json()) == config


@EACH
def test_equal_configs_load_the_same_splits_from_memory(config):
    assert config.load() is type(config)().load()


@EACH
def test_splits_agree_on_what_the_task_is(config):
    splits = config.load()
    assert len({(part.classes, part.horizon, part.time_unit, part.name) for part in parts(splits)}) == 1
    assert all(part.times.max() < part.horizon for part in parts(splits))
    assert all(torch.bincount(part.labels, minlength=part.classes).min() > 0 for part in parts(splits))


@EACH
def test_validation_may_be_empty_and_training_then_has_all(config):
    splits = config.load()
    everything = config.model_copy(update={"validation_size": 0}).load()
    assert len(everything.validation) == 0
    both = len(splits.train) + len(splits.validation)
    # Of a group that the cut between the two goes through, training has nothing.
    parted = len(everything.train) - both
    said = (f"sequences that training leaves out because validation has others of their group: {parted}",)
    assert len(everything.train) == config.train_size or splits.notes == (said if parted else ())
    assert everything.notes == ()


@EACH
def test_long_sequences_can_be_cut(config):
    cut = config.model_copy(update={"max_events": 5}).load()
    assert cut.train.lengths.max() == 5
    batch, whole = cut.train.batch(torch.tensor([0])), config.load().train.batch(torch.tensor([0]))
    assert torch.equal(batch.times, whole.times[:, :5])


def test_subsets_are_nested_and_validation_does_not_depend_on_them():
    large = MNISTSampleConfig(train_size=300, test_size=150).load()
    small = MNISTSampleConfig(train_size=120, test_size=40).load()
    assert rows(small.train) < rows(large.train)
    assert rows(small.test) < rows(large.test)
    assert small.validation.digest == large.validation.digest
    assert rows(MNISTSampleConfig(validation_size=20).load().validation) < rows(large.validation)


def test_training_and_validation_share_no_sequence():
    splits = MNISTSampleConfig().load()
    assert not rows(splits.train) & rows(splits.validation)
    assert len(rows(splits.train) | rows(splits.validation)) == 500


def test_the_split_seed_decides_the_split():
    assert MNISTSampleConfig(split_seed=1).load().validation.digest != MNISTSampleConfig().load().validation.digest


def test_the_digest_of_the_sample_never_changes():
    # A golden value of our own: the events, the split and their digest are part of every run's identity.
    assert MNISTSampleConfig().load().digest.startswith("f252c018446ce352")


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (
            {"train_size": 450},
            "data.train_size: must fit with data.validation_size into the 500 sequences of mnist_sample, got 450 and 100.",
        ),
        (
            {"validation_size": 500},
            "got 500 of the 500 that mnist_sample has beside the test set. Give --data.validation_size 100",
        ),
        (
            {"test_size": 201},
            "data.test_size: must fit into the 200 test sequences of mnist_sample, got 201. Lower it.",
        ),
    ],
)
def test_more_than_there_is_is_refused(sizes, message):
    with pytest.raises(DataError) as caught:
        MNISTSampleConfig(**sizes).load()
    assert message in str(caught.value)


@pytest.mark.parametrize("bad", [{"train_size": 0}, {"validation_size": -1}, {"max_events": 0}, {"unknown": 1}])
def test_a_config_refuses_what_makes_no_sense(bad):
    with pytest.raises(ValidationError):
        MNISTSampleConfig(**bad)


def test_the_data_folder_is_what_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.delenv("EVENT_DATA_DIR", raising=False)
    assert str(data_folder()) == "data"
    monkeypatch.setenv("EVENT_DATA_DIR", str(tmp_path))
    assert data_folder() == tmp_path
