import numpy as np
import pytest

from analysis.analyses.banners import banners
from analysis.analyses.opinions import omnibus_table
from analysis.analyses.pairs import pairs
from analysis.analyses.significance import pair_table
from analysis.plan import Plan
from analysis.results import Results

RESULT = ["predicted", "log_likelihood"]


def repeated(tables, correct, copies):
    """Return a study in which the cell of each key holds the results of the cell it is mapped to."""
    runs, curves, predictions = tables(correct)
    for (model, seed), (source, source_seed) in copies.items():
        rows = (predictions["model"] == model) & (predictions["seed"] == seed)
        origin = (predictions["model"] == source) & (predictions["seed"] == source_seed)
        predictions.loc[rows, RESULT] = predictions.loc[origin, RESULT].to_numpy()
    return Results(runs, curves, predictions, plan=Plan())


@pytest.mark.parametrize("model", ["a", "b"])
def test_five_copies_of_one_seed_count_once_and_give_no_verdict(model, tables, draw):
    # One seed says nothing about seeds: what is 20 points here could be the luck of that one.
    correct = draw({"b": 0.7, "a": 0.9}, seeds=5)
    results = repeated(tables, correct, {(model, seed): (model, 0) for seed in range(1, 5)})
    assert [pair.seeds for pair in pairs(results)] == [(0,)]
    row = pair_table(results).loc[0]
    assert (row["verdict"], np.isnan(row["p"])) == ("undecided", True)
    assert omnibus_table(results)["test"].tolist() == ["Cochran's Q"]
    said = f"Seeds of {model} gave identical results"
    assert any(said in banner and "leave out seeds 1, 2, 3 and 4 of it" in banner for banner in banners(results))


def test_a_copy_is_left_out_and_the_other_seeds_count(tables, study, draw):
    correct = draw({"b": 0.7, "a": 0.8}, seeds=4)
    found = pair_table(repeated(tables, correct, {("a", 2): ("a", 0)})).loc[0]
    expected = pair_table(study({model: right[[0, 1, 3]] for model, right in correct.items()})).loc[0]
    assert found[["seeds", "difference", "p"]].tolist() == pytest.approx(
        expected[["seeds", "difference", "p"]].tolist()
    )


def test_models_that_agree_bit_for_bit_are_not_equivalent_for_that(tables, draw):
    correct = draw({"b": 0.9, "a": 0.9, "c": 0.5}, seeds=3)
    results = repeated(tables, correct, {("a", seed): ("b", seed) for seed in range(3)})
    verdicts = pair_table(results).set_index(["model_a", "model_b"])["verdict"].to_dict()
    assert verdicts[("a", "b")] == "undecided"
    assert verdicts[("c", "b")] == "worse"
    assert any(banner.startswith("b and a gave identical results with seeds 0, 1 and 2") for banner in banners(results))
