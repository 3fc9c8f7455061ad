import json

import pytest
from pydantic import ValidationError

from analysis.plan import Plan
from pipeline.ablation.reading import load_ablation
from pipeline.errors import UsageError
from pipeline.identity import ROOT
from pipeline.manifest import Manifest
from pipeline.study import DEFAULT_MODELS, load_run, load_study


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "study.json"
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return path

    return write


def test_the_default_study_is_the_four_required_models_over_five_seeds():
    study = load_study(None)
    assert tuple(study.variants) == DEFAULT_MODELS == ("position", "sincos", "lete", "kan_mammote")
    assert study.seeds == (0, 1, 2, 3, 4)
    assert len(study.cells()) == 20
    assert study.plan.reference == "position"


def test_names_of_runs_differ_in_their_first_twelve_letters():
    runs = [cell.run_name for cell in load_study(None, models=["lete", "kan_mammote"], seeds=[0, 1]).cells()]
    assert runs == ["lete s0", "kan_…mote s0", "lete s1", "kan_…mote s1"]
    alike = load_study(None, models=["position_gap", "position_and_gap", "lete"], seeds=[3, 4]).cells()
    assert len({cell.run_name[:12] for cell in alike}) == 6
    assert alike[1].run_name == "1 positio s3"


def test_a_setting_goes_to_the_variants_that_have_it(write):
    study = load_study(write({"base": {"p": 0.25, "num_experts": 2, "time_embedding_dim": 16, "normalize": True}}))
    assert study.variants["lete"].model.embedding.p == 0.25
    assert study.variants["kan_mammote"].model.embedding.num_experts == 2
    assert {config.model.embedding.dim for config in study.variants.values()} == {16}


def test_the_command_line_wins_over_the_file(write):
    path = write({"batch_size": 32, "train": {"epochs": 3}, "seeds": [5]})
    study = load_study(path, seeds=[1, 2], overrides={"batch_size": 64})
    assert study.variants["lete"].train.batch_size == 64
    assert study.variants["lete"].train.epochs == 3
    assert study.seeds == (1, 2)


def test_models_choose_variants_of_the_file_or_embeddings(write):
    path = write({"variants": {"wide": {"model.embedding.name": "lete", "model.embedding.dim": 64}}})
    assert list(load_study(path, models=["none", "wide"]).variants) == ["none", "wide"]


def test_the_identity_of_a_study_is_its_plan_and_variants():
    study = load_study(None)
    assert load_study(None, seeds=[7, 8]).id == study.id
    assert load_study(None, overrides={"train.epochs": 1}).id != study.id
    assert load_study(None, models=["position", "lete"]).id != study.id


def test_a_run_takes_the_base_of_a_study_file(write):
    config = load_run(write({"base": {"num_epochs": 2}, "seeds": [0]}), {"model.embedding.name": "lete"})
    assert config.train.epochs == 2
    assert config.model.embedding.name == "lete"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('{"a": 1,}', ["study.json", "valid JSON", "line 1"]),
        ("[1]", ["study.json", "JSON object", "got [1]"]),
        ("[" * 100_000, ["study.json", "nested less deeply"]),
        ('{"base": {"p": 1}, "base": {}}', ["study.json", "base", "twice"]),
        ({"base": {"epoch": 3}}, ["epoch", "Did you mean epochs?"]),
        ({"base": []}, ["base", "JSON object", "[]"]),
        ({"seeds": []}, ["seeds", "at least one"]),
        ({"seeds": 3}, ["seeds", "list", "3"]),
        ({"seeds": [0, 0]}, ["seeds", "once", "[0, 0]"]),
        ({"seeds": [True]}, ["seeds", "whole numbers", "True"]),
        ({"seeds": [-1]}, ["seeds", "whole numbers", "-1"]),
        ({"plan": {"alpha": 2}}, ["plan.alpha", "below 0.5", "2"]),
        ({"plan": {"test": "wilcoxon"}}, ["plan.test", "two_way", "0.0625 with 5 seeds", "wilcoxon"]),
        ({"plan": {"test": "epochs"}}, ["plan.test", "no replicates"]),
        ({"plan": {"primary_metric": "best_accuracy"}}, ["plan.primary_metric", "chosen on test", "best_accuracy"]),
        ({"plan": {"alfa": 0.1}}, ["plan.alfa"]),
        ({"plan": {"reference": "lette"}}, ["lette", "lete"]),
        ({"plan": {"family": "pairs"}}, ["plan.pairs", "must be named if the family is 'pairs'"]),
        ({"plan": {"pairs": [["lete", "sincos"]]}}, ["plan.pairs", "and only then", "family 'all'"]),
        ({"plan": {"family": "pairs", "pairs": 3}}, ["plan.pairs", "list of pairs", "got 3"]),
        ({"plan": {"family": "pairs", "pairs": ["lete"]}}, ["plan.pairs", "list of pairs"]),
        ({"plan": {"family": "pairs", "pairs": [["lete"]]}}, ["plan.pairs", "list of pairs"]),
        ({"plan": {"family": "pairs", "pairs": [["lete", 3]]}}, ["plan.pairs", "list of pairs"]),
        ({"plan": {"family": "pairs", "pairs": [["lete", "lete"]]}}, ["plan.pairs", "two variants", "lete twice"]),
        (
            {"plan": {"family": "pairs", "pairs": [["lete", "sincos"], ["sincos", "lete"]]}},
            ["plan.pairs", "once", "lete and sincos twice"],
        ),
        ({"plan": {"family": "pairs", "pairs": [["lette", "sincos"]]}}, ["plan.pairs", "lette", "Did you mean lete?"]),
        ({"variants": {"pos/a": {}}}, ["variants", "letters, digits", "'pos/a'"]),
        ({"variants": {"..": {}}}, ["variants", "begin with a letter", "'..'"]),
        ({"variants": {"": {}}}, ["variants", "''"]),
        (
            {"variants": {"a": {"model.embedding.name": "lete"}}, "base": {"num_experts": 3}},
            ["num_experts", "KANMAMMOTE"],
        ),
    ],
)
def test_a_wrong_study_file_says_where_what_and_what_to_do(write, text, parts):
    with pytest.raises(UsageError) as error:
        load_study(write(text))
    message = str(error.value)
    assert all(part in message for part in parts), message
    assert "\n" not in message
    assert ", got " in message


def test_a_narrowed_study_keeps_the_declared_pairs_of_its_models(write):
    variants = {name: {"model.embedding.name": name} for name in ("position", "sincos", "lete")}
    pairs = [["lete", "sincos"], ["lete", "position"]]
    path = write({"variants": variants, "plan": {"family": "pairs", "pairs": pairs}})
    assert load_study(path).plan.pairs == (("lete", "position"), ("lete", "sincos"))
    assert load_study(path, models=["position", "lete"]).plan.pairs == (("lete", "position"),)
    assert load_study(path, models=["sincos"]).plan.pairs == ()
    with pytest.raises(
        UsageError,
        match=r"plan\.pairs: must hold each chosen variant, got no pair of time2vec among lete, sincos, time2vec",
    ):
        load_study(path, models=["lete", "sincos", "time2vec"])


def test_a_stored_study_declares_pairs_of_its_own_variants():
    plan = Plan(family="pairs", pairs=[["a", "b"]])
    parts = {"id": "", "name": "own", "plan": plan, "plan_hash": "", "seeds": (0,), "cells": ()}
    assert Manifest(variants={"a": {}, "b": {}}, **parts).plan == plan
    with pytest.raises(ValidationError, match=r"plan\.pairs: must be of variants of the study, got b"):
        Manifest(variants={"a": {}, "c": {}}, **parts)


def test_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nothere\.json: must be a readable file, got No such file"):
        load_study(tmp_path / "nothere.json")


def test_an_unknown_model_names_the_closest():
    with pytest.raises(UsageError, match="Did you mean kan_mammote"):
        load_study(None, models=["kan_mamote"])


def test_what_the_variants_differ_in_is_left_to_them():
    with pytest.raises(UsageError, match=r"model\.embedding\.name: must be left to the variants"):
        load_study(None, overrides={"model.embedding.name": "lete"})
    with pytest.raises(UsageError, match=r"model\.embedding\.name: must be left to the variants"):
        load_run(None, {"model.embedding.name": "sincos"}, "lete")
    assert load_run(None, {"model.embedding.name": "lete"}, "lete").model.embedding.name == "lete"


def test_the_file_of_the_full_study_serves_a_single_run_and_a_narrowed_study():
    path = ROOT / "config" / "lstm_comparison_config.json"
    assert load_run(path, {}, "lete").model.embedding.p == 0.5
    assert load_run(path, {}) == load_run(None, {})
    study = load_study(path, models=["none", "sincos"])
    assert list(study.variants) == ["none", "sincos"]
    assert study.plan.reference == "none"


ABLATIONS = {"ablation", "kan_mammote_components", "lete_components", "tuning"}


def test_a_name_with_nothing_below_it_is_not_overlooked(write):
    assert load_study(write({"train": {}})).cells() == load_study(write({})).cells()
    with pytest.raises(UsageError, match="rows: must be a known setting"):
        load_study(write({"rows": {}}))
    with pytest.raises(UsageError, match=r"rows\.a: must be a known setting"):
        load_study(write({"rows": {"a": {}}}))


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.json")), ids=lambda path: path.stem)
def test_every_preset_is_a_valid_study(path):
    if path.stem in ABLATIONS:
        assert load_ablation(path).name == path.stem
    else:
        assert load_study(path).cells()


def parameters_of(config):
    model = config.model.build(horizon=784, feature_dim=0, classes=10)
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


@pytest.mark.parametrize(
    ("sized", "reference", "expected"),
    # An LSTM layer of width H has 4 H (inputs + H + 2) parameters, the head 10 (H + 1), the table 784 x 32, LeTE 5,040.
    [
        ("sincos_sized", "position", 4 * 135 * (36 + 137) + 4 * 135 * (135 + 137) + 10 * 136),
        ("lete_sized", "position", 4 * 134 * (32 + 136) + 4 * 134 * (134 + 136) + 10 * 135 + 5_040),
        ("kan_mammote", "position", 241_582),
        ("position_sized", "sincos", 4 * 120 * (32 + 122) + 4 * 120 * (120 + 122) + 10 * 121 + 784 * 32),
    ],
)
def test_the_controls_of_equal_size_have_it(sized, reference, expected):
    variants = load_study(ROOT / "config/controls.json").variants
    assert parameters_of(variants[sized]) == expected
    assert parameters_of(variants[sized]) == pytest.approx(parameters_of(variants[reference]), rel=0.005)


def test_the_controls_switch_what_their_names_say():
    study = load_study(ROOT / "config/controls.json")
    models = {name: config.model for name, config in study.variants.items()}
    assert {name for name, model in models.items() if model.freeze_embedding} == {"lete_frozen", "kan_mammote_frozen"}
    assert {name for name, model in models.items() if model.shuffle_times} == {"sincos_shuffled", "lete_shuffled"}
    assert {name for name, model in models.items() if model.num_layers == 3} == {"position_3_layers"}
    assert {"none", "position_mamba", "position_gap", "lete_gap", "kmote_gap"} <= {
        name for name, model in models.items() if model.embedding.name == name
    }
    assert study.plan.reference == "position"


def test_a_setting_without_effect_makes_no_other_study():
    asked = load_study(None, overrides={"train.epochs": 5})
    assert load_study(None, overrides={"train.epochs": 5, "train.patience": 7}).id == asked.id
    assert load_study(None, overrides={"train.epochs": 5, "train.patience": 2}).id != asked.id
    assert load_study(None, overrides={"train.epochs": 5, "train.precision": "fp32"}).id != asked.id
