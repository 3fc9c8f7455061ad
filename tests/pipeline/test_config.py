import itertools

import pytest

from pipeline.config import RunConfig, config_hash
from pipeline.errors import UsageError
from pipeline.settings import build_run, fields_of, flat, known_paths, resolve, resolve_all


def test_a_flat_config_builds_itself_again():
    config = build_run(
        {"model.embedding.name": "kan_mammote", "data.name": "synthetic", "train.scheduler.name": "cosine"}
    )
    assert build_run(flat(config)) == config


def test_the_order_of_settings_never_matters():
    settings = {"model.embedding.name": "lete", "model.embedding.p": 0.25, "model.name": "gru", "model.hidden_dim": 16}
    configs = [build_run(dict(order)) for order in itertools.permutations(settings.items())]
    assert all(config == configs[0] for config in configs)
    assert configs[0].model.embedding.p == 0.25
    assert configs[0].model.name == "gru"


def test_the_names_of_the_requirement_are_settings():
    names = {
        "batch_size": 128, "learning_rate": 0.001, "num_epochs": 50, "dropout_rate": 0.2, "lstm_hidden_dim": 128,
        "lstm_num_layers": 2, "time_embedding_dim": 32, "threshold": 0.9,
    }  # fmt: skip
    assert build_run(resolve_all(names)) == RunConfig()
    kan = {"model.embedding.name": "kan_mammote", "num_experts": 4, "hidden_dim_mamba": 32, "kan_grid_size": 5}
    assert build_run(resolve_all(kan)) == build_run({"model.embedding.name": "kan_mammote"})
    lete = {"model.embedding.name": "lete", "p": 0.5, "layer_norm": True, "scale": True}
    assert build_run(resolve_all(lete)) == build_run({"model.embedding.name": "lete"})


@pytest.mark.parametrize(("value", "scale"), [(True, "auto"), (False, "raw"), ("true", "auto"), ("False", "raw")])
def test_normalize_is_a_time_scale(value, scale):
    assert resolve("normalize", value) == ("model.embedding.time_scale", scale)


def test_equal_configs_have_equal_hashes_and_the_seed_does_not_count():
    assert config_hash(RunConfig(seed=0)) == config_hash(RunConfig(seed=7))
    assert config_hash(build_run({"train.epochs": 49})) != config_hash(RunConfig())


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"model.embeding.dim": 3}, ["model.embeding.dim", "model.embedding.dim"]),
        ({"treshold": 0.5}, ["treshold", "threshold"]),
        ({"model.embedding.name": "leet"}, ["model.embedding.name", "'leet'", "lete"]),
        ({"train.epochs": 0}, ["train.epochs", "at least 1", "0"]),
        ({"train.epochs": "many"}, ["train.epochs", "whole number", "'many'"]),
        ({"train.epochs": 2.5}, ["train.epochs", "whole number", "2.5"]),
        ({"train.learning_rate": float("nan")}, ["train.learning_rate", "finite", "nan"]),
        ({"model.dropout": 1}, ["model.dropout", "below 1", "1"]),
        ({"train.optimizer": "lion"}, ["train.optimizer", "adamw", "'lion'"]),
        ({"model.embedding.p": 0.5}, ["model.embedding.p", "LeTE", "position"]),
        ({"model.embedding.name": "sincos", "model.embedding.dim": 31}, ["model.embedding.dim", "even", "31"]),
        (
            {"model.embedding.name": "kan_mammote", "k_top": 5},
            ["model.embedding.k_top: must be at most num_experts (4), got 5. "],
        ),
        ({"validation_size": 0, "patience": 2}, ["data.validation_size: must be above 0 where train.patience", "0"]),
        ({"validation_size": 0, "train.scheduler.name": "plateau"}, ["data.validation_size", "plateau", "0"]),
        ({"name": "lete"}, ["name", "data.name", "model.embedding.name"]),
        ({"normalize": "maybe"}, ["normalize", "true or false", "maybe"]),
        ({"batch_size": 32, "train.batch_size": 64}, ["batch_size", "once", "32", "64"]),
        ({"model": {"embedding": {"name": "lete", "q": 1}}}, ["model.embedding.q"]),
        ({"model.embedding": "lete"}, ["model.embedding", "model.embedding.name"]),
    ],
)  # fmt: skip
def test_a_wrong_setting_says_where_what_and_what_to_do(settings, parts):
    with pytest.raises(UsageError) as error:
        build_run(resolve_all(settings))
    message = str(error.value)
    assert all(part in message for part in parts), message
    assert "\n" not in message
    assert message.count(", got ") == 1
    assert message.endswith((".", "?"))
    assert "union" not in message
    assert "pydantic" not in message


def test_every_setting_is_documented():
    undocumented = [
        path for path, _, field in fields_of(RunConfig) if not field.description and not path.endswith("name")
    ]
    assert undocumented == []


def test_every_bare_word_of_the_requirement_is_unique():
    words = [path.rsplit(".", 1)[-1] for path in known_paths()]
    for word in ("p", "layer_norm", "scale", "num_experts", "hidden_dim_mamba", "kan_grid_size", "threshold", "gamma"):
        assert words.count(word) == 1
