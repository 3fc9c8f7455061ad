"""The schemas are those that are committed, take what the loaders take, and refuse what they refuse."""

import json
import re

import jsonschema
import pytest

from pipeline.__main__ import main
from pipeline.ablation.reading import load_ablation
from pipeline.errors import UsageError
from pipeline.registries import ROOT
from pipeline.schema import schema
from pipeline.study import load_study

PRESETS = sorted((ROOT / "config").glob("*.json"))
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
EXAMPLES = [
    pytest.param(json.loads(text), id=f"{page.stem}-{number}")
    for page in PAGES
    for number, text in enumerate(re.findall(r"```json\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
]
TWO = {name: {"model.embedding.name": embedding} for name, embedding in (("a", "lete"), ("b", "sincos"))}
CHECKS = {kind: jsonschema.Draft202012Validator(schema(kind), format_checker=None) for kind in ("study", "ablation")}


@pytest.mark.parametrize("kind", CHECKS)
def test_the_schema_beside_the_presets_is_the_one_that_is_printed(kind, capsys):
    # After a change of the settings: python -m pipeline schema KIND > config/schema/KIND.json
    assert main(["schema", kind]) == 0
    assert (ROOT / f"config/schema/{kind}.json").read_text(encoding="utf-8") == capsys.readouterr().out
    jsonschema.Draft202012Validator.check_schema(schema(kind))


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_every_preset_names_a_schema_and_fits_it(preset):
    tree = json.loads(preset.read_text(encoding="utf-8"))
    assert (preset.parent / tree["$schema"]).is_file()
    kind = "ablation" if tree["$schema"] == "schema/ablation.json" else "study"
    CHECKS[kind].validate(tree)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_documentation_fit_a_schema(example):
    CHECKS["study" if "variants" in example else "ablation"].validate(example)


def test_the_documentation_has_examples_of_both_kinds():
    assert {"variants" in example.values[0] for example in EXAMPLES} == {True, False}


@pytest.mark.parametrize(
    ("kind", "tree"),
    [
        ("study", {"varients": {}}),
        ("study", {"base": {"train.epochs": 0}}),
        ("study", {"base": {"train.epochs": "5"}}),
        ("study", {"variants": {"a": {"model.embedding.name": "leet"}}}),
        ("study", {"plan": {"alpha": 2}}),
        ("study", {"plan": {"family": "pairs", "pairs": [["lete"]]}}),
        ("study", {"seeds": [0, -1]}),
        ("ablation", {"time_embedding_dim": []}),
        ("ablation", {"learning_rate": {"low": 0.1, "high": 0.2, "wide": True}}),
        ("ablation", {"dim": [8, 16], "design": "gird"}),
        ("ablation", {"dim": [8, 16], "objectives": "accuracy"}),
    ],
)
def test_what_the_loader_refuses_the_schema_refuses(kind, tree, tmp_path):
    (tmp_path / "own.json").write_text(json.dumps(tree))
    with pytest.raises(UsageError):
        load_study(tmp_path / "own.json") if kind == "study" else load_ablation(tmp_path / "own.json")
    assert not CHECKS[kind].is_valid(tree)


@pytest.mark.parametrize(
    ("kind", "tree"),
    [
        ("study", {"num_epochs": 3, "normalize": False, "threshold": 0.5}),
        ("study", {"variants": TWO, "plan": {"family": "pairs", "pairs": [["a", "b"]]}}),
        ("study", {"train": {"epochs": 3}, "variants": {"a": {"p": 1.0, "model.embedding.name": "lete"}}}),
        ("ablation", {"dim": [8, 16], "objectives": "validation_loss", "base": {"train.epochs": 3}}),
        ("ablation", {"learning_rate": {"low": 0.001, "high": 0.01, "log": True}, "trials": 3, "seeds": [0]}),
    ],
)
def test_what_the_loader_takes_the_schema_takes(kind, tree, tmp_path):
    (tmp_path / "own.json").write_text(json.dumps({"$schema": "x.json", **tree}))
    load_study(tmp_path / "own.json") if kind == "study" else load_ablation(tmp_path / "own.json")
    CHECKS[kind].validate({"$schema": "x.json", **tree})
