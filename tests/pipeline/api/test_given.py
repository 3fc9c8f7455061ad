"""What a caller hands over becomes a study, or one line that says what it must be."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.api.given import study_from
from pipeline.data.events_file import EventsFileConfig
from pipeline.errors import UsageError

TIMES = [[1.0, 2.5, 7.0][: 1 + number % 3] for number in range(60)]
LABELS = ["early" if number % 2 else "late" for number in range(60)]

study = partial(study_from, "test", seeds=range(2), plan={}, settings={})


def events(times=TIMES, labels=LABELS):
    rows = [(number, time, labels[number]) for number, row in enumerate(times) for time in row]
    return pd.DataFrame(rows, columns=["id", "time", "label"])


def loaded(data, **settings):
    config = study(["none"], data, settings=settings).variants["none"].data
    return config, config.load()


@pytest.mark.usefixtures("workplace")
def test_data_in_memory_is_the_same_in_every_form(workplace):
    events().to_csv(workplace / "own.csv", index=False)
    arrays = [np.array(row) for row in TIMES]
    forms = {
        "lists": (TIMES, LABELS),
        "arrays": (arrays, np.array(LABELS)),
        "tensors": ([torch.tensor(row, dtype=torch.float64) for row in TIMES], LABELS),
        "frame": events(),
        "columns": {name: column.to_numpy() for name, column in events().items()},
        "config": EventsFileConfig.of(events()),
        "path": workplace / "own.csv",
        "text": "own.csv",
    }
    digests = {name: loaded(data, validation_size=12)[1].digest for name, data in forms.items()}
    assert set(digests.values()) == {digests["lists"]}


@pytest.mark.usefixtures("workplace")
def test_few_sequences_in_memory_leave_most_for_training():
    config, splits = loaded((TIMES, LABELS))
    assert config.validation_size == 12  # a fifth of 60, not the 100 of files
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (36, 12, 12)
    assert len(loaded((TIMES, LABELS), **{"data.validation_size": 6})[1].validation) == 6


@pytest.mark.usefixtures("workplace")
def test_features_go_with_their_events():
    features = [np.stack([row, np.ones(len(row))], axis=1) for row in TIMES]
    _, splits = loaded((TIMES, LABELS, features), standardize=False)
    assert torch.equal(splits.train.features[:, 0], splits.train.times)
    assert splits.train.features.shape[1] == 2


def test_a_name_is_a_data_set():
    assert study(["none"], "synthetic").variants["none"].data.name == "synthetic"


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("mnist_sampel", "data: must be a known data set or file .*, got 'mnist_sampel'. Did you mean mnist_sample?"),
        ((TIMES,), r"data: must be \(times, labels\) or \(times, labels, features\), got 1 parts"),
        ((TIMES, LABELS[1:]), r"data: must be \(times, labels\) with a label for each of 60 sequences, got 59 labels"),
        (([[1.0], []], [0, 1]), "data: must have an event in each sequence, got none in sequence 1"),
        (([], []), "data: must have an event in each sequence, got no sequence"),
        ((np.ones(3), [0, 1, 2]), "data: times of sequence 0 must have 1 dimension.* got 0 of float64"),
        (([["a"], [None]], [0, 1]), "data: times of sequence 1 must have 1 dimension.* got 1 of object"),
        ((TIMES, LABELS, [np.ones((2, 1))] * 60), "data: must have features .events, numbers. for each sequence"),
        (3, "table: must be a frame or columns of one type each"),
    ],
    ids=["name", "parts", "labels", "empty", "none", "flat", "objects", "features", "number"],
)
def test_data_that_cannot_be_taken_is_one_line(data, said):
    with pytest.raises(UsageError, match=said) as raised:
        study(["none"], data)
    assert "\n" not in str(raised.value)


def test_models_are_named_listed_or_given_by_settings():
    settings = {"wide": {"embedding": "sincos", "dim": 64}, "deep": {"model.embedding.name": "none", "num_layers": 3}}
    configs = study(settings, "synthetic", settings={"epochs": 3}).variants
    assert (configs["wide"].model.embedding.name, configs["wide"].model.embedding.dim) == ("sincos", 64)
    assert (configs["deep"].model.embedding.name, configs["deep"].model.num_layers) == ("none", 3)
    assert {config.train.epochs for config in configs.values()} == {3}
    assert list(study(["sincos", "lete"], "synthetic").variants) == ["sincos", "lete"]


@pytest.mark.parametrize(
    ("models", "more", "said"),
    [
        ({}, {}, "models: must be at least one"),
        (["none", "none"], {}, "models: must be at least one, each with a name of its own"),
        ({"a/b": "none"}, {}, "models: must have names of up to 100 letters"),
        (["leet"], {}, "Did you mean lete?"),
        ({"a": 3}, {}, "models.a: must be a name, a dict of settings, or a class"),
        (["none"], {"settings": {"epocs": 3}}, "epocs: must be a known setting, .* Did you mean epochs?"),
        (["none"], {"plan": {"reference": "lete"}}, "plan.reference: must be a known variant"),
        (["none"], {"seeds": []}, "seeds: must be at least one"),
    ],
)
def test_models_and_settings_that_cannot_be_are_one_line(models, more, said):
    with pytest.raises(UsageError, match=said):
        study(models, "synthetic", **more)
