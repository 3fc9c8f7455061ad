"""Looks at made-up studies: which verdict is final, who stops, and what the stored ledger must say."""

import numpy as np
import pytest

from analysis import run_analyses
from analysis.analyses.banners import banners
from analysis.analyses.looking import ledger, take_looks
from analysis.analyses.looks import looks
from analysis.analyses.significance import judge_differences, one_look, pair_table, significance
from analysis.figures import described
from analysis.plan import Declaration, Plan
from analysis.report.answer import answer
from analysis.report.markdown import description, report
from analysis.results import Results, ResultsError
from analysis.statistics.two_way import TwoWay, holm

PLAN = Plan(looks=(3, 5), levels=(0.02, 0.03))
RATES = {"none": 0.5, "lete": 0.9, "sincos": 0.905}


@pytest.fixture
def looked(tables, draw):
    """Build a study with looks at 3 and 5 seeds; `seeds` says of which models there are fewer than five."""

    def build(seeds=None, plan=PLAN, spoil=None, **more):
        parts = tables(draw(RATES, seeds=5))
        for model, count in (seeds or {}).items():
            parts = [table[~((table["model"] == model) & (table["seed"] >= count))] for table in parts]
        if spoil:
            spoil(parts[0])
        return Results(*parts, plan=plan, **more)

    return build


@pytest.mark.parametrize("metric", ["test_accuracy", "balanced_accuracy"])
def test_a_pair_keeps_the_verdict_of_the_look_that_decided_it(study, draw, metric):
    correct = draw({"b": 0.5, "a": 0.9}, seeds=5)
    plan = PLAN.model_copy(update={"primary_metric": metric})
    correct["a"][3:] = False  # all later seeds say the opposite
    table = pair_table(study(correct, plan))
    assert table.loc[0, ["verdict", "look", "level", "seeds"]].tolist() == ["better", 3, 0.02, 3]
    assert len(take_looks(study(correct, plan), one_look)) == 1
    first = {model: rows[:3] for model, rows in correct.items()}
    row = pair_table(study(first, Plan(primary_metric=metric, alpha=0.02))).loc[0]
    same = ["difference", "ci_low", "ci_high", "adjusted_low", "adjusted_high", "p", "p_adjusted", "p_tost_adjusted"]
    assert table.loc[0, same].tolist() == row[same].tolist()


def test_a_model_without_an_open_pair_stops_and_is_not_missing(looked):
    results = looked({"none": 3})
    assert results.missing == ()
    table = pair_table(results).set_index(["model_a", "model_b"])
    assert table["look"].to_dict() == {("lete", "none"): 3, ("sincos", "none"): 3, ("sincos", "lete"): 5}
    assert table["verdict"].tolist() == ["better", "better", "undecided"]
    finding = significance(results)
    said = "Decided by the looks: at 3 seeds (level 0.02) lete against none and sincos against none. Undecided after the last"
    assert said in finding.data["counted"]
    assert "decided at the look at 3 seeds, level 0.02 (n = 3 seeds" in finding.data["verdicts"][0]
    assert "the look at 5 seeds was the last (n = 5 seeds" in finding.data["verdicts"][2]
    assert banners(results) == []
    with pytest.raises(ResultsError, match="got no finished run of none seed 3, none seed 4"):
        looked({"none": 3}, Plan())


def test_with_named_pairs_only_their_models_go_on(looked):
    plan = Plan(family="pairs", pairs=[["none", "lete"]], looks=(3, 5), levels=(0.02, 0.03))
    results = looked(dict.fromkeys(RATES, 3), plan)
    [look] = take_looks(results, one_look)
    assert ledger([look])[["model_a", "model_b", "verdict"]].to_numpy().tolist() == [["lete", "none", "better"]]
    assert look.undecided.empty
    assert results.missing == ()


def test_the_report_has_a_section_and_its_first_lines_name_the_look(looked):
    findings = run_analyses(looked({"none": 3}))
    text = report(findings)
    box = text[: text.index("## Verdict")]
    assert box.count(", decided at 3 seeds)") == 2
    assert "decided at 5 seeds" not in box
    assert text.index("Decided by the looks") < text.index("## Results") < text.index("## Looks")
    assert "Decided by the looks" in description(findings)
    section = text[text.index("## Looks") :]
    assert "3 seeds at level 0.02 and 5 seeds at level 0.03" in section
    assert "| 3 seeds | 0.02 | not noted | lete against none |" in section
    assert section.count("| 3 seeds |") == 3
    assert section.count("| 5 seeds |") == 1
    rows = [line for line in looks(looked({"none": 3})).summary.splitlines() if "sincos against lete" in line]
    assert [row.split("|")[-2].strip() for row in rows] == ["undecided, goes on", "undecided"]


def test_the_figures_and_the_answer_say_that_intervals_are_at_the_level_of_the_look(looked):
    findings = run_analyses(looked({"none": 3}), ["overview", "significance"])
    figures = findings[1].figures
    assert described(figures["statistical_significance"]).startswith(
        "Differences of test accuracy. 2 of 3 pairs are dark"
    )
    for figure in figures.values():
        assert "at the level of its look" in figure.layout.title.subtitle.text
    assert "those of differences at the level of the look and adjusted" in "\n".join(answer(findings))


def test_a_study_without_looks_has_no_section_and_no_setting_of_them(study, draw):
    text = report(run_analyses(study(draw(RATES))))
    assert "Looks" not in text
    assert "levels" not in text


def test_a_look_that_is_not_complete_is_not_taken(looked):
    results = looked({"none": 3, "lete": 4})
    assert [look.seeds for look in take_looks(results, one_look)] == [3]
    said = significance(results).data
    assert "the looks are not over: sincos against lete" in said["counted"]
    assert "the next look is at 5 seeds" in said["verdicts"][2]
    early = looked({"none": 2, "lete": 2, "sincos": 2})
    assert pair_table(early)[["verdict", "look"]].drop_duplicates().to_numpy().tolist() == [["undecided", 0]]
    assert "no look yet, the first is at 3 seeds" in significance(early).data["verdicts"][0]
    assert "No look was taken yet." in looks(early).summary


def test_a_run_that_failed_is_missing_all_the_same(looked):
    def spoil(runs):
        runs.loc[(runs["model"] == "lete") & (runs["seed"] == 1), "status"] = "FAILED"

    with pytest.raises(ResultsError, match="got no finished run of lete seed 1"):
        looked({"none": 3}, spoil=spoil)
    results = looked({"none": 3}, spoil=spoil, allow_missing=True)
    assert results.missing == (("lete", 1),)
    assert take_looks(results, one_look) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.assign(verdict=["better", "better", "better", "undecided"]), "verdict is better in the ledger and"),
        (lambda table: table.assign(p=table["p"] + 1e-6), "the look at 3 seeds, lete against none: p is "),
        (lambda table: table.iloc[:3], "the ledger has 3 rows, and 4 follow"),
        (lambda table: table.assign(seeds=4), "seeds is 4 in the ledger and 3 from the predictions"),
    ],
)  # fmt: skip
def test_a_ledger_that_does_not_follow_from_the_predictions_is_named_first(looked, change, said):
    found = ledger(take_looks(looked({"none": 3}), one_look)).assign(at="2026-01-01T12:00:00+00:00")
    good = looked({"none": 3}, ledger=found)
    assert banners(good) == []
    assert "| 2026-01-01 12:00 |" in looks(good).summary
    bad = looked({"none": 3}, ledger=change(found))
    [banner] = banners(bad)
    assert said in banner
    assert said in looks(bad).summary


def test_a_pair_that_was_decided_keeps_its_place_in_holms_order():
    gaps = [TwoWay(value, 1.0, 9, (1.0,), (9,), 0.0) for value in (0.1, 3.0, 3.2, 0.2)]
    declared, plan = np.ones(4, dtype=bool), Plan(family="reference")
    earlier = ["better", "undecided", "undecided", "equivalent"]
    found = judge_differences(gaps, declared, 5, plan, earlier=earlier)
    expected = holm(np.array([0, gaps[1].p, gaps[2].p, 1]))
    assert found["p_adjusted"] == pytest.approx(expected)
    assert found["p_adjusted"][2] == pytest.approx(3 * gaps[2].p)  # one of four is rejected
    tost = [gap.p_equivalent(plan.margin) for gap in gaps]
    assert found["p_tost_adjusted"] == pytest.approx(holm(np.array([1, tost[1], tost[2], 0])))


def test_the_looks_follow_the_order_in_which_seeds_were_declared(looked):
    declaration = Declaration(plan=PLAN, seeds=(4, 2, 0, 1, 3), identity={})
    first = looked(declaration=declaration).first_seeds(3, 0.02)
    assert first.seeds("lete") == [0, 2, 4]
    assert (first.plan.alpha, first.plan.looks) == (0.02, ())


def test_far_seeds_are_left_out_of_each_look_for_the_verdicts_without_them(study, draw):
    correct = draw({"b": 0.6, "a": 0.9}, seeds=5)
    correct["a"][1] = np.random.default_rng(0).random(400) < 0.1
    [banner, *_] = banners(study(correct, PLAN))
    assert banner.startswith("Far from the other seeds of their model in test accuracy: a seed 1")
    assert "a against b is better, not undecided" in banner
