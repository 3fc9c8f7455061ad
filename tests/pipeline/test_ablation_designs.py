"""What each design makes of a file, and that a new one is a class and a name."""

import json
from dataclasses import dataclass

import pytest
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import create_trial

from pipeline.ablation.designs import DESIGNS, Grid
from pipeline.ablation.reading import load_ablation

LISTS = {"model.hidden_dim": [6, 8], "model.num_layers": [1, 2]}
SPAN = {"model.dropout": {"low": 0.0, "high": 0.5}}
ROWS = {"rows": {"full": {}, "small": {"model.hidden_dim": 6}}}


@pytest.fixture
def read(tmp_path):
    def read(tree):
        (tmp_path / "study.json").write_text(json.dumps(tree))
        return load_ablation(tmp_path / "study.json")

    return read


@pytest.mark.parametrize(("tree", "name"), [(LISTS, "grid"), (ROWS, "rows"), (SPAN, "tpe"), ({**LISTS, **SPAN}, "tpe")])
def test_a_file_that_names_no_design_has_the_one_that_suits_it(read, tree, name):
    assert read(tree).design is DESIGNS[name]
    assert read(tree).how.design == name
    assert sum(design.suits(read(tree).space, read(tree).rows) for design in DESIGNS.values()) == 1


@dataclass
class Expected:
    searches: bool
    named: bool
    points: list[str]
    factors: dict
    compared: dict
    lacking: list


GRID_POINTS = [
    "hidden_dim=6, num_layers=1", "hidden_dim=6, num_layers=2", "hidden_dim=8, num_layers=1", "hidden_dim=8, num_layers=2",
]  # fmt: skip
CASES = {
    "grid": (
        LISTS,
        Expected(
            False, False, GRID_POINTS, LISTS, LISTS,
            [(name, {"model.hidden_dim": dim, "model.num_layers": layers})
             for name, (dim, layers) in zip(GRID_POINTS, [(6, 1), (6, 2), (8, 1), (8, 2)], strict=True)],
        ),
    ),
    "one_at_a_time": (
        {**LISTS, "design": "one_at_a_time"},
        Expected(
            False, True, ["base", "hidden_dim_6", "hidden_dim_8", "num_layers_1"],
            {"row": ["base", "hidden_dim_6", "hidden_dim_8", "num_layers_1"]}, LISTS,
            [(name, {"row": name}) for name in ["base", "hidden_dim_6", "hidden_dim_8", "num_layers_1"]],
        ),
    ),
    "rows": (
        ROWS,
        Expected(
            False, True, ["full", "small"], {"row": ["full", "small"]}, {"row": ["full", "small"]},
            [("full", {"row": "full"}), ("small", {"row": "small"})],
        ),
    ),
    "random": (
        {**LISTS, "design": "random", "trials": 3},
        Expected(True, False, GRID_POINTS, LISTS, LISTS, [("", {})] * 3),
    ),
    "tpe": (
        {"model.embedding.name": ["sincos", "lete"], "design": "tpe", "trials": 3},
        Expected(
            True, False, ["embedding=sincos", "embedding=lete"],
            {"model.embedding.name": ["sincos", "lete"]}, {"model.embedding.name": ["sincos", "lete"]},
            [("", {"model.embedding.name": name}) for name in ["sincos", "lete"] * 2],
        ),
    ),
}  # fmt: skip


def test_every_design_has_a_case():
    assert CASES.keys() == DESIGNS.keys()


@pytest.mark.parametrize("name", CASES)
def test_a_design_says_what_its_trials_are(read, name):
    tree, expected = CASES[name]
    study = read(tree)
    design = study.design
    assert design.name == name
    assert (design.searches, design.named) == (expected.searches, expected.named)
    assert [point.name for point in study.points] == expected.points
    assert all(study.config(point.overrides) == point.config for point in study.points)
    assert design.factors(study) == expected.factors
    assert design.compared(study) == expected.compared
    assert design.lacking(study, [], []) == expected.lacking


@pytest.mark.parametrize("name", CASES)
def test_the_sampler_of_tpe_learns_and_that_of_the_others_does_not(name):
    assert type(DESIGNS[name].sampler(3)) is (TPESampler if name == "tpe" else RandomSampler)


def test_a_point_is_lacking_until_one_of_its_trials_has_not_failed(read):
    study = read(ROWS)
    lacking = study.design.lacking
    assert [name for name, _ in lacking(study, ["full", "small"], ["small"])] == ["small"]
    assert lacking(study, ["full", "small", "small"], ["small"]) == []
    assert [name for name, _ in lacking(study, ["full", "small", "small"], ["small"] * 2)] == ["small"]
    search = read({**SPAN, "trials": 4})
    assert len(search.design.lacking(search, [""] * 3, [""] * 3)) == 1  # what failed counts


def test_one_at_a_time_compares_the_values_of_all_factors_and_rows_only_names(read):
    one = read({**LISTS, "design": "one_at_a_time"})
    trial = create_trial(value=0.5, user_attrs={"point": "num_layers_1"})
    assert one.design.levels(one, trial) == {"model.hidden_dim": 128, "model.num_layers": 1}
    rows = read(ROWS)
    trial = create_trial(value=0.5, params={"row": "small"}, distributions=_of(rows), user_attrs={"point": "small"})
    assert rows.design.levels(rows, trial) == {"row": "small"}
    assert rows.design.point_of(rows, trial).config.model.hidden_dim == 6


def _of(study):
    from optuna.distributions import CategoricalDistribution  # noqa: PLC0415

    return {name: CategoricalDistribution(part) for name, part in study.design.factors(study).items()}


def test_a_trial_of_a_search_is_foreseen_as_the_base_with_the_first_of_the_names(read):
    study = read({"model.embedding.name": ["lete", "sincos"], **SPAN})
    assert study.design.foreseen(study, "") == study.config({"model.embedding.name": "lete"})
    assert read(ROWS).design.foreseen(read(ROWS), "small").model.hidden_dim == 6


def test_a_new_design_is_a_class_and_a_name(read, monkeypatch):
    class Diagonal(Grid):
        """The first values of all lists together, then the second ones."""

        name = "diagonal"

        def suits(self, _space, _rows):
            return False

        def entries(self, study):
            for number, values in enumerate(zip(*study.space.values(), strict=True)):
                yield f"step {number}", dict(zip(study.space, values, strict=True))

    monkeypatch.setitem(DESIGNS, "diagonal", Diagonal())
    study = read({**LISTS, "design": "diagonal"})
    assert [(point.name, point.overrides) for point in study.points] == [
        ("step 0", {"model.hidden_dim": 6, "model.num_layers": 1}),
        ("step 1", {"model.hidden_dim": 8, "model.num_layers": 2}),
    ]
    assert study.id != read(LISTS).id
