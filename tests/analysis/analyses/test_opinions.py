import numpy as np
import pytest

from analysis.analyses.opinions import omnibus_table, opinion_table, opinions
from analysis.analyses.significance import pair_table
from analysis.plan import Plan

RATES = {"none": 0.6, "sincos": 0.8, "lete": 0.85}


@pytest.fixture(scope="module")
def five(draw):
    return draw(RATES, seeds=5)


def test_the_headline_columns_are_those_of_the_verdict(study, five):
    table, verdicts = opinion_table(study(five)), pair_table(study(five))
    for name in ("difference", "ci_low", "ci_high", "p", "hedges_g"):
        assert table[name].tolist() == verdicts[name].tolist()


def test_swapping_the_models_mirrors_every_column(study, five):
    there = opinion_table(study({"none": five["none"], "lete": five["lete"]})).iloc[0]
    back = opinion_table(study({"lete": five["lete"], "none": five["none"]})).iloc[0]
    for name in there.index[there.index.str.startswith("p_")]:
        if name not in ("p_better", "p_worse"):
            assert there[name] == pytest.approx(back[name], nan_ok=True), name
    for low, high in (("ci_low", "ci_high"), ("welch_low", "welch_high"), ("paired_t_low", "paired_t_high")):
        assert (there[low], there[high]) == pytest.approx((-back[high], -back[low]))
    assert there["bootstrap_low"] == pytest.approx(-back["bootstrap_high"], abs=0.004)
    for name in ("difference", "hedges_g", "d_z"):
        assert there[name] == pytest.approx(-back[name])
    assert there["improvement"] == 1 - back["improvement"]
    assert there["p_better"] == pytest.approx(back["p_worse"])
    assert there["mcnemar_significant"] == back["mcnemar_significant"]


def test_the_order_of_the_seeds_never_matters(study, five):
    order = [3, 0, 4, 1, 2]
    there = opinion_table(study(five)).iloc[0]
    again = opinion_table(study({model: right[order] for model, right in five.items()})).iloc[0]
    for name in there.index.drop(["model_a", "model_b", "bootstrap_low", "bootstrap_high"]):
        assert there[name] == pytest.approx(again[name], nan_ok=True), name
    assert there["bootstrap_low"] == pytest.approx(again["bootstrap_low"], abs=0.005)


@pytest.mark.parametrize("pairing", ["paired", "unpaired"])
def test_identical_models_give_p_one_everywhere_and_never_nan(study, draw, pairing):
    right = draw({"a": 0.9}, seeds=6, images=5000)["a"]
    row = opinion_table(study({"a": right, "b": right}, Plan(pairing=pairing))).iloc[0]
    names = ["p_welch", "p_paired_t", "p_permutation", "p_mann_whitney", "wilcoxon_floor"]
    assert row[names].tolist() == [1] * len(names)
    assert not row.drop(["model_a", "model_b", "p_wilcoxon"]).isna().any()
    assert (row["improvement"], row["d_z"], row["mcnemar_significant"]) == (0.5, 0, 0)
    if pairing == "paired":
        assert row["p"] == 1
        assert row["p_within"] == pytest.approx(1)
        assert pair_table(study({"a": right, "b": right}))["verdict"].tolist() == ["equivalent"]


@pytest.mark.parametrize("test", ["welch", "paired_t"])
def test_an_interval_excludes_zero_exactly_when_its_p_is_below_alpha(study, draw, test):
    for stream in range(12):
        row = opinion_table(study(draw({"a": 0.8, "b": 0.83}, seeds=4, images=300, stream=stream))).iloc[0]
        outside = row[f"{test}_low"] > 0 or row[f"{test}_high"] < 0
        assert outside == (row[f"p_{test}"] < 0.05)


def test_wilcoxon_with_five_seeds_is_refused_and_its_floor_explained(study, five, draw):
    finding = opinions(study(five))
    assert finding.tables["opinions"]["p_wilcoxon"].isna().all()
    assert "refused (0.0625)" in finding.summary
    assert "With 5 seeds its smallest two-sided p is 0.0625, above alpha = 0.05" in finding.summary
    assert "The two-way test can" in finding.summary
    six = opinions(study(draw({"none": 0.5, "sincos": 0.7, "lete": 0.9}, seeds=6)))  # no seed ties
    assert "refused" not in six.summary.lower()
    assert six.tables["opinions"]["p_wilcoxon"].notna().all()


def test_seeds_on_which_both_models_tie_do_not_lower_the_floor(study):
    # Right answers in 20: 1 of the one model, and of the other 0, 0, 5, 6, 7 and 8 more.
    more = np.array([0, 0, 5, 6, 7, 8])[:, None]
    right = {"none": np.arange(20) < np.ones_like(more), "lete": np.arange(20) < 1 + more}
    finding = opinions(study(right))
    row = finding.tables["opinions"].iloc[0]
    assert (row["wilcoxon_floor"], row["permutation_floor"], row["p_permutation"]) == (0.125, 0.125, 0.125)
    assert np.isnan(row["p_wilcoxon"])
    assert (
        "With 6 seeds (a seed on which both models tie does not count) its smallest two-sided p is 0.125"
        in finding.summary
    )


def test_the_bootstrap_says_how_short_its_interval_is(study, five):
    assert "holds the truth in 50 % with 2, 73 % with 3, 83 % with 5, 90 % with 10 and 92 % with 20 seeds" in (
        opinions(study(five)).summary
    )


def test_the_sign_flip_test_never_decides_below_six_seeds(study, draw):
    results = study(draw({"none": 0.5, "lete": 0.9}, seeds=5))
    row = opinion_table(results).iloc[0]
    assert row["p_permutation"] == row["permutation_floor"] == 0.0625
    assert pair_table(results)["verdict"].tolist() == ["better"]


def test_exploratory_pairs_have_a_table_of_their_own(study, five):
    summary = opinions(study(five, Plan(family="reference"))).summary
    assert summary.index("Declared pairs:") < summary.index("Exploratory pairs")
    assert "Mann-Whitney (floor)" in opinions(study(five, Plan(pairing="unpaired"))).summary


def test_the_omnibus_tests_are_shown_with_the_span_of_the_means(study, five):
    table = omnibus_table(study(five))
    assert table["test"].tolist() == ["permutation F over seeds", *["Cochran's Q"] * 5]
    means = [right.mean() for right in five.values()]
    assert table["range"].iloc[0] == pytest.approx(max(means) - min(means))
    summary = opinions(study(five)).summary
    assert "Cochran's Q is significant in 5 of 5 seeds" in summary
    assert "gates nothing" in summary


@pytest.mark.parametrize("correct", [{"a": [[1, 0, 1]]}, {"a": [[1, 0, 1]], "b": [[1, 1, 0]]}])
def test_one_model_or_one_seed_is_no_error(study, correct):
    assert opinions(study({model: np.array(rows) for model, rows in correct.items()})).summary


def test_models_without_a_common_seed_are_said(study, tables, five):
    runs, curves, predictions = tables({"none": five["none"][:2], "lete": five["lete"][:2]})
    runs.loc[[0, 3], "status"] = "FAILED"
    results = type(study(five))(runs, curves, predictions, plan=Plan(), allow_missing=True)
    assert "No two models" in opinions(results).summary
