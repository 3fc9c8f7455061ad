import numpy as np
import pytest
from scipy import stats

from analysis.analyses.banners import banners
from analysis.analyses.significance import pair_table, significance
from analysis.plan import Plan
from analysis.statistics.outlook import outlook

RATES = {"none": 0.6, "sincos": 0.9, "lete": 0.91}


def test_every_pair_has_one_row_with_the_reference_or_the_earlier_model_second(study, draw):
    table = pair_table(study(draw(RATES)))
    assert list(zip(table["model_a"], table["model_b"], strict=True)) == [
        ("sincos", "none"),
        ("lete", "none"),
        ("lete", "sincos"),
    ]
    table = pair_table(study(draw(RATES), Plan(reference="lete")))
    assert list(zip(table["model_a"], table["model_b"], strict=True)) == [
        ("none", "lete"),
        ("sincos", "lete"),
        ("sincos", "none"),
    ]


def test_the_primary_test_is_the_paired_one_unless_declared_otherwise(study, oracle):
    toy = {"b": oracle["two_way_se"]["B"], "a": oracle["two_way_se"]["A"]}
    assert pair_table(study(toy)).loc[0, "p"] == pytest.approx(oracle["two_way_se_paired"]["p"], abs=5e-8)
    unpaired = pair_table(study(toy, Plan(pairing="unpaired")))
    assert unpaired.loc[0, "p"] == pytest.approx(oracle["two_way_se"]["p"], abs=1e-9)


def test_a_large_difference_is_better_and_its_mirror_worse(study, draw):
    correct = draw(RATES)
    forth = pair_table(study(correct)).set_index(["model_a", "model_b"])
    back = pair_table(study(dict(reversed(correct.items())))).set_index(["model_a", "model_b"])
    assert forth.loc[("lete", "none"), "verdict"] == "better"
    assert back.loc[("none", "lete"), "verdict"] == "worse"
    assert back.loc[("none", "lete"), "p_adjusted"] == pytest.approx(forth.loc[("lete", "none"), "p_adjusted"])


def test_identical_models_are_equivalent(study, draw):
    right = draw({"a": 0.9})["a"]
    row = pair_table(study({"a": right, "b": right})).loc[0]
    assert (row["verdict"], row["p"], row["difference"], row["hedges_g"]) == ("equivalent", 1, 0, 0)
    assert not row[["se", "t", "ci_low", "ci_high", "p_adjusted", "p_tost"]].isna().any()


def test_equivalence_takes_precedence_over_significance(study):
    a = np.ones((4, 5000), dtype=bool)
    b = a.copy()
    b[:, :15] = False
    row = pair_table(study({"b": b, "a": a}, Plan(margin=0.01))).loc[0]
    assert row["p_adjusted"] < 0.05
    assert row["verdict"] == "equivalent"


def test_two_models_that_differ_by_little_on_few_images_are_undecided(study, draw):
    finding = significance(study(draw({"sincos": 0.9, "lete": 0.905})))
    assert finding.tables["pairs"].loc[0, "verdict"] == "undecided"
    assert "lete against sincos is undecided" in finding.summary
    assert "not evidence of equality" in finding.summary
    assert "the same" not in finding.summary.replace("these sequences", "")


def test_one_seed_is_undecided_and_says_that_it_needs_two(study, draw):
    finding = significance(study(draw({"sincos": 0.5, "lete": 0.9}, seeds=1)))
    assert finding.tables["pairs"].loc[0, "verdict"] == "undecided"
    assert "needs 2 seeds" in finding.summary
    assert "no interval" in finding.summary
    assert "p =" not in finding.summary


def test_pairs_outside_the_family_are_exploratory_and_do_not_cost_the_declared_ones(study, draw):
    finding = significance(study(draw(RATES), Plan(family="reference", reference="sincos")))
    table = finding.tables["pairs"].set_index(["model_a", "model_b"])
    assert table["declared"].to_dict() == {("none", "sincos"): True, ("lete", "sincos"): True, ("lete", "none"): False}
    declared = table[table["declared"]]
    smaller, larger = sorted(declared["p"])
    assert sorted(declared["p_adjusted"]) == pytest.approx([2 * smaller, max(2 * smaller, larger)])
    assert "Exploratory" in finding.summary
    assert len(finding.data["verdicts"]) == 2


def test_the_smallest_margin_is_the_one_at_which_a_zero_difference_would_have_been_equivalent(study, draw):
    plan = Plan()
    row = pair_table(study(draw({"sincos": 0.9, "lete": 0.9}), plan)).loc[0]
    assert stats.t.sf(row["smallest_margin"] / row["se"], row["df"]) == pytest.approx(plan.alpha)


def test_with_a_missing_cell_a_pair_uses_the_seeds_that_both_have(tables, study, draw):
    correct = draw(RATES)
    whole = pair_table(study({model: right[1:] for model, right in correct.items()}))
    runs, curves, predictions = tables(correct)
    results = study(correct)
    runs.loc[(runs["model"] == "lete") & (runs["seed"] == 0), "status"] = "FAILED"
    results = type(results)(runs, curves, predictions, plan=Plan(), allow_missing=True)
    finding = significance(results)
    found = finding.tables["pairs"].set_index(["model_a", "model_b"])
    expected = whole.set_index(["model_a", "model_b"])
    assert found.loc[("lete", "none"), "p"] == pytest.approx(expected.loc[("lete", "none"), "p"])
    assert found.loc[("sincos", "none"), "seeds"] == 3
    assert "seeds that both" in finding.summary


def test_a_model_without_a_finished_run_is_said_and_still_counts_in_the_correction(tables, draw, study):
    correct = draw(RATES)
    runs, curves, predictions = tables(correct)
    first = next(iter(correct))
    runs.loc[runs["model"] == first, "status"] = "FAILED"
    kept = {name: right for name, right in correct.items() if name != first}
    results = type(study(correct))(runs, curves, predictions, plan=Plan(), allow_missing=True)
    assert results.lost == [first]
    finding = significance(results)
    alone = pair_table(study(kept))
    assert finding.tables["pairs"]["p_adjusted"].tolist() == pytest.approx(np.minimum(3 * alone["p"], 1).tolist())
    assert f"Without any finished run: {first}." in finding.summary
    assert any(first in banner for banner in banners(results))


def test_a_model_keeps_its_place_where_one_of_its_runs_failed(tables, draw, study):
    correct = draw(RATES)
    runs, curves, predictions = tables(correct)
    runs = runs.iloc[::-1].sort_values("seed", kind="stable")  # a failed run of the first model comes first
    runs.loc[runs.index[0], "status"] = "FAILED"
    results = type(study(correct))(runs, curves, predictions, plan=Plan(), allow_missing=True)
    assert results.models == list(dict.fromkeys(runs["model"]))


def test_models_without_a_common_seed_are_undecided(tables, draw, study):
    correct = draw({"sincos": 0.9, "lete": 0.9}, seeds=2)
    runs, curves, predictions = tables(correct)
    runs.loc[[0, 3], "status"] = "FAILED"
    results = type(study(correct))(runs, curves, predictions, plan=Plan(), allow_missing=True)
    finding = significance(results)
    assert finding.tables["pairs"].loc[0, "verdict"] == "undecided"
    assert "no seed in common" in finding.summary


def test_one_model_has_nothing_to_compare_with(study, draw):
    assert "nothing to compare" in significance(study(draw({"lete": 0.9}))).summary


def test_more_seeds_decide_when_the_noise_is_of_seeds():
    # a - b is 0, .1, .2 over three seeds on the same images for all: sd .1, mean .1, no noise within an image.
    a = np.zeros((3, 1000), dtype=bool)
    a[1, :100] = a[2, :200] = True
    found = outlook(a, np.zeros_like(a), paired=True, alpha=0.05, margin=0.002)
    # A t-test with effect d_z = 1 has a power of 80 % at 10 or 11 pairs (statistics.json: d_z = .996 at 10).
    assert 10 <= found.seeds <= 12
    assert found.images == np.inf


def test_more_images_decide_when_the_noise_is_of_images():
    # Both seeds agree; a is right on 54 of 1000 images where b is wrong, b on 46 where a is wrong.
    a, b = np.zeros((2, 2, 1000), dtype=bool)
    a[:, :54], b[:, 54:100] = True, True
    found = outlook(a, b, paired=True, alpha=0.05, margin=0.002)
    # n = (1.96 + .84)^2 (.1 - .008^2) / .008^2 for the normal approximation.
    assert found.images == pytest.approx((1.96 + 0.8416) ** 2 * (0.1 - 0.008**2) / 0.008**2, rel=0.05)
    assert found.seeds == np.inf
