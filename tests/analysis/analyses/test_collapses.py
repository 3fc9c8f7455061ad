import numpy as np
import pytest

from analysis.analyses.banners import banners
from analysis.analyses.collapses import collapse_banner
from analysis.analyses.significance import pair_table


@pytest.fixture
def collapsed(draw):
    """Answers of three models; the best one guesses in its second seed."""
    correct = draw({"none": 0.7, "sincos": 0.5, "lete": 0.9}, seeds=5, images=1000)
    correct["lete"][1] = draw({"lete": 0.3}, seeds=1, images=1000, stream=1)["lete"][0]
    return correct


def test_a_collapsed_seed_is_named_with_the_verdicts_that_change_without_it(study, collapsed):
    results = study(collapsed)
    assert pair_table(results)["verdict"].tolist() == ["worse", "undecided", "undecided"]
    [banner] = collapse_banner(results)
    collapses, *others = sorted(100 * collapsed["lete"].mean(axis=1))
    assert f"lete seed 1 ({collapses:.2f} %; the others {others[0]:.2f} % to {others[-1]:.2f} %)" in banner
    assert banner.endswith(
        "Without them: lete against none is better, not undecided and lete against sincos is better, not undecided."
    )
    assert banner in banners(results)


def test_the_verdicts_count_the_seed_all_the_same(study, collapsed):
    row = pair_table(study(collapsed)).set_index(["model_a", "model_b"]).loc[("lete", "none")]
    assert row["seeds"] == 5
    assert row["difference"] == pytest.approx(collapsed["lete"].mean() - collapsed["none"].mean())


def test_a_collapse_that_changes_no_verdict_says_so(study, draw):
    correct = draw({"none": 0.9, "sincos": 0.5, "lete": 0.9}, seeds=5, images=1000)
    correct["lete"][0] = ~correct["lete"][0]
    correct["lete"][:, -1] = np.arange(5) % 2
    [banner] = collapse_banner(study({name: correct[name] for name in ("none", "lete")}))
    assert banner.endswith("Without them: every verdict is the same.")


def test_a_seed_that_is_missing_elsewhere_stays_missing(study, tables, collapsed):
    runs, curves, predictions = tables(collapsed)
    runs.loc[(runs["model"] == "none") & (runs["seed"] == 4), "status"] = "FAILED"
    results = type(study(collapsed))(runs, curves, predictions, plan=study(collapsed).plan, allow_missing=True)
    [banner] = collapse_banner(results)
    assert "lete seed 1" in banner
    assert "lete against none is better, not undecided" in banner


def test_studies_without_such_seeds_have_no_banner(study, draw):
    assert collapse_banner(study(draw({"none": 0.7, "lete": 0.9}, seeds=5))) == []
    assert collapse_banner(study(draw({"none": 0.7}))) == []
