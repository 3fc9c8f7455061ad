import itertools

import pytest

from pipeline.config import RunConfig
from pipeline.errors import UsageError
from pipeline.settings import build_run, fields_of, flat, known_paths, read_values, resolve, resolve_all


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


@pytest.mark.parametrize("given", ["age, weight", ["age", "weight"]])
def test_names_may_be_a_list_or_have_commas_between_them(given):
    config = build_run({"data.name": "events_file", "data.path": "x.csv", "data.feature_columns": given})
    assert config.data.feature_columns == ("age", "weight")


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
        ({"data.name": "events_file", "data.feature_columns": 5}, ["data.feature_columns: must be a list such as", "5"]),
        ({"data.path": "x.csv"}, ["data.path: must belong to the data chosen", "set data.name to events_file or recordings."]),
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


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("data.time_unit", "5", "5"),
        ("time_unit", "1e3", "1e3"),
        ("data.path", "0.50", "0.50"),
        ("data.label_column", "NaN", "NaN"),
        ("data.label_column", "true", "true"),
        ("id_column", "null", "null"),
        ("data.time_unit", '"hour"', "hour"),
        ("data.time_unit", "hour", "hour"),
        ("data.feature_columns", '[1, 2.50, "x"]', ["1", "2.50", "x"]),
        ("data.time_unit", '["day", 5]', ["day", "5"]),  # a sweep
        ("train.epochs", "5", 5),
        ("num_epochs", "5", 5),
        ("learning_rate", "1e-3", 1e-3),
        ("data.horizon", "null", None),
        ("layer_norm", "true", True),
        ("train.optimizer", "adam", "adam"),
        ("trials", "20", 20),
        ("epochs", "9" * 5000, "9" * 5000),
    ],
)
def test_what_is_written_is_json_but_a_setting_that_is_text_takes_a_number_as_it_is_spelled(name, text, value):
    read = read_values({name: text})[name]
    assert (read, type(read)) == (value, type(value))


def test_settings_that_are_text_build_a_config_from_numbers():
    written = {"data.name": "events_file", "data.path": "5", "data.feature_columns": "[1]", "data.time_unit": "7"}
    data = build_run(resolve_all(read_values(written))).data
    assert (data.path, data.feature_columns, data.time_unit) == ("5", ("1",), "7")
