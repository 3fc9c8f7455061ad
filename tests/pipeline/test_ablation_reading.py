"""What a file of an ablation study means, and what is wrong with one, before anything is started."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.ablation import space
from pipeline.ablation.reading import load_ablation
from pipeline.ablation.space import Span
from pipeline.errors import UsageError
from pipeline.identity import ROOT, code_digest
from pipeline.settings import build_run

SPACE = {"model.hidden_dim": [6, 8], "seeds": [0]}


@pytest.fixture
def read(tmp_path):
    def read(tree, **changes):
        path = tmp_path / "study.json"
        path.write_text(tree if isinstance(tree, str) else json.dumps({**tree, **changes}))
        return load_ablation(path)

    return read


def test_the_example_of_the_requirement_is_the_full_product_around_kan_mammote(read):
    study = read({"time_embedding_dim": [16, 32, 64], "lstm_hidden_dim": [64, 128, 256], "num_experts": [2, 4, 8]})
    assert study.how.design == "grid"
    assert study.base == {"model.embedding.name": "kan_mammote"}
    assert {
        (point.overrides["model.embedding.dim"], point.overrides["model.hidden_dim"], point.overrides["model.embedding.num_experts"])
        for point in study.points
    } == {(dim, hidden, experts) for dim in (16, 32, 64) for hidden in (64, 128, 256) for experts in (2, 4, 8)}  # fmt: skip


def test_a_path_is_swept_only_where_the_embedding_has_it(read):
    study = read({"model.embedding.name": ["sincos", "lete"], "p": [0.25, 0.75]})
    assert [point.overrides for point in study.points] == [
        {"model.embedding.name": "sincos"},
        {"model.embedding.name": "lete", "model.embedding.p": 0.25},
        {"model.embedding.name": "lete", "model.embedding.p": 0.75},
    ]


def test_one_at_a_time_is_the_base_and_each_change_of_it_alone(read):
    study = read({"model.hidden_dim": [64, 128, 256], "model.num_layers": [1, 2], "design": "one_at_a_time"})
    assert [point.overrides for point in study.points] == [
        {}, {"model.hidden_dim": 64}, {"model.hidden_dim": 256}, {"model.num_layers": 1},
    ]  # fmt: skip


def test_changes_one_at_a_time_have_names_that_fit_files_and_metrics(read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    files = ["a/b.csv", "a_b.csv"]
    for file in files:
        Path(file).write_text(file)
    tree = {"learning_rate": [0.001, 0.01], "data.name": "events_file", "design": "one_at_a_time"}
    names = [point.name for point in read(tree, **{"data.path": files[:1]}).points]
    assert names == ["base", "learning_rate_0.01", "path_a_b.csv"]
    with pytest.raises(UsageError, match=r"points: must have names of their own, got 2 called path_a_b\.csv"):
        read(tree, **{"data.path": files})


def test_a_range_is_of_whole_numbers_where_the_setting_is(read):
    space = read({"batch_size": {"low": 32, "high": 64}, "weight_decay": {"low": 0, "high": 1}, "dim": [4, 8]}).space
    assert space["train.batch_size"] == Span(low=32, high=64, whole=True)
    assert space["train.weight_decay"] == Span(low=0, high=1, whole=False)


def test_the_number_of_trials_is_no_part_of_a_search_and_the_space_is(read):
    rates = {"train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
    study = read(rates, trials=5)
    assert study.how.design == "tpe"
    assert read(rates, trials=50).id == study.id
    assert read({"train.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}}).id != study.id
    assert read(rates, seeds=[0]).id != study.id


def test_a_study_builds_the_config_of_each_point_once(read, monkeypatch):
    study, built = replace(read(SPACE)), []
    monkeypatch.setattr(space, "build_run", lambda values: built.append(values) or build_run(values))
    assert study.id == study.id
    assert [point.config.model.hidden_dim for point in study.points] == [6, 8]
    assert {config.data.name for config in study.samples()} == {study.config({}).data.name}
    assert len(built) == 2 + 1  # the last one is the base, which the test asks for itself


def test_a_sample_stands_for_all_points_that_take_the_same_of_the_same_data(read):
    grid = {"dim": [8, 16], "num_experts": [2, 4], "time_input": ["absolute", "gap"], "model.hidden_dim": [6, 8]}
    assert len(read(grid).points) == 16
    kinds = {config.model.embedding.time_input for config in read(grid).samples()}
    assert (len(read(grid).samples()), kinds) == (4, {"absolute", "gap"})  # of two widths each
    shuffled = {"shuffle_times": [False, True], "dropout_rate": {"low": 0, "high": 0.5}, "model.embedding.name": "lete"}
    assert [config.model.shuffle_times for config in read(shuffled).samples()] == [False, True]


def test_the_samples_of_one_data_set_follow_one_another(read):
    grid = {"model.embedding.name": ["lete", "position", "fte"], "data.train_size": [100, 200, 300, 400, 500, 600]}
    sizes = [config.data.train_size for config in read(grid).samples()]
    assert sizes == [size for size in grid["data.train_size"] for _ in range(3)]


@pytest.mark.parametrize("name", ["kan_mammote_components", "lete_components"])
def test_every_change_of_a_preset_has_an_identity(name):
    study = load_ablation(ROOT / "config" / f"{name}.json")
    digests = {code_digest(point.config) for point in study.points}
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in digests)


WRONG = [
    ('{"dim": [1,}', ["study.json", "valid JSON"]),
    ({"dim": []}, ["dim", "at least one value", "an empty list"]),
    ({"dim": [[4], [8]]}, ["dim", "numbers, words or true and false", "[4]"]),
    ({"dim": [4, 4.0]}, ["dim", "each value once", "[4, 4.0]"]),
    ({"hiden_dim": [4, 8]}, ["hiden_dim", "Did you mean hidden_dim?"]),
    ({"model.hidden_dim": [8, 0]}, ["point hidden_dim=0", "model.hidden_dim", "at least 1", "got 0"]),
    ({"dim": [4, 8], "model.hidden_dim": [8, "wide"]}, ["point", "model.hidden_dim", "whole number", "'wide'"]),
    ({"model.hidden_dim": [8, 9], "model.name": "transformer"}, ["num_heads", "hidden_dim"]),
    ({"num_experts": [2, 4], "k_top": [2, 3]}, ["point", "k_top", "num_experts"]),
    ({"train.learning_rate": {"low": 0.1, "high": 0.01}}, ["train.learning_rate", "low", "below high", "0.1 and 0.01"]),
    ({"train.learning_rate": {"low": 0.1, "high": 0.1}}, ["low", "below high"]),
    ({"train.learning_rate": {"low": 0.1}}, ["train.learning_rate.high"]),
    ({"train.learning_rate": {"low": 0, "high": 1, "log": True}}, ["low", "above 0 on a logarithmic scale"]),
    ({"train.learning_rate": {"low": -1, "high": 1}}, ["train.learning_rate", "above 0", "-1"]),
    ({"batch_size": {"low": 1.5, "high": 4}}, ["batch_size", "whole number", "1.5"]),
    ({"train.learning_rate": {"low": 0.1, "high": 0.2}, "design": "grid"}, ["must be a list in a grid study", "a range"]),
    ({"model.embedding.name": {"low": 1, "high": 2}}, ["model.embedding.name", "list of names"]),
    ({"model.embedding.name": ["lete", "leet"]}, ["leet", "Did you mean lete?"]),
    ({**SPACE, "num_experts": 4, "model.embedding.name": "lete"}, ["num_experts"]),
    ({**SPACE, "seeds": 3}, ["seeds", "list", "3"]),
    ({**SPACE, "seeds": []}, ["seeds", "at least one"]),
    ({**SPACE, "seed": 3}, ["seed", "left out of an ablation"]),
    ({**SPACE, "plan": {"pairs": [["a", "b"]]}}, ["plan.pairs", "left out of an ablation"]),
    ({**SPACE, "plan": {"family": "pairs"}}, ["plan.family", "'all' or 'reference' in an ablation", "'pairs'"]),
    ({**SPACE, "objectives": ["test_accuracy"]}, ["objectives", "validation_accuracy", "test_accuracy"]),
    ({**SPACE, "objectives": []}, ["objectives", "at least one"]),
    ({**SPACE, "objectives": "parameters", "pruning": "median"}, ["pruning", "validation_accuracy"]),
    ({**SPACE, "design": "gird"}, ["gird", "known design", "Did you mean grid?"]),
    ({**SPACE, "trials": 0}, ["trials", "at least 1"]),
    ({**SPACE, "lstm_hidden_dim": [4]}, ["lstm_hidden_dim", "given once"]),
    ({**SPACE, "validation_size": 0}, ["data.validation_size", "above 0"]),
    ({"seeds": [0]}, ["sweep", "at least one list or range"]),
    ({**SPACE, "rows": {"full": {}}}, ["design", "no sweeps"]),
    ({"rows": {"full": {}, "same": {"model.hidden_dim": 128}}}, ["points", "must differ", "full and same"]),
    ({"rows": {"full": {}, "a=1": {"dim": 4}}}, ["rows", "letters, digits", "'a=1'"]),
    ({"rows": {"full": {}, "a": {"dim": 4}}, "plan": {"reference": "ful"}}, ["ful", "Did you mean full?"]),
    ({"dim": list(range(1, 200)), "model.hidden_dim": list(range(1, 200))}, ["grid", "10,000 points"]),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "parts"), WRONG)
def test_a_wrong_file_says_where_what_and_what_to_do(read, tree, parts):
    with pytest.raises(UsageError) as error:
        read(tree)
    message = str(error.value)
    assert all(part in message for part in parts), message
    assert "\n" not in message
    assert ", got " in message


@pytest.mark.parametrize(
    ("tree", "arguments", "said"),
    [
        ({"model.hidden_dim": [8, -1]}, [], "point hidden_dim=-1: model.hidden_dim: must be at least 1, got -1"),
        (SPACE, ["--storage", "postgresql://someone:secret@127.0.0.1:9/none"], "--storage: must be a database that answers"),
        (SPACE, ["--storage", "sqlite:///nowhere/optuna.db"], "optuna.db (in a folder that does not exist)"),
        (SPACE, ["--storage", "sqlite://"], "in memory, where no other process sees it"),
        (SPACE, ["--storage", "mysql://localhost/optuna"], "only SQLite and PostgreSQL are supported"),
        (SPACE, ["--storage", "sqlite:///mlflow.db"], "--storage: must be a database for Optuna alone, got sqlite:///mlflow.db"),
        (SPACE, ["--storage", "no database"], "--storage: must be a database that answers, got no database"),
        (SPACE, ["--models", "full"], "--models: must be left out of an ablation that names no rows, got full"),
        ({"rows": {"full": {}, "wide": {"model.hidden_dim": 9}}}, ["--models", "ful"], "ful: must be a known row (full, "),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2_and_starts_nothing(mlflow_tracker, capsys, tree, arguments, said):
    Path("study.json").write_text(json.dumps({**tree, "data.name": "mnist_sample"}))
    assert main(["ablate", "--config", "study.json", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert "secret" not in error
    assert mlflow_tracker.find(kind="ablation") == []
    assert not Path("results").exists()
