import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import AnovaRM
from statsmodels.stats.multitest import multipletests

from analysis.ablation import Bounds
from analysis.ablation.design import design
from analysis.ablation.effects import effects
from analysis.ablation.factors import contrast_table, interaction_table, level_table

NAME, DIM, RATE = "model.embedding.name", "model.embedding.dim", "train.learning_rate"
SPACES = {NAME: ["none", "lete"], DIM: [16, 32]}
CORNERS = [{NAME: name, DIM: dim} for name, dim in itertools.product(*SPACES.values())]
SCORES = [[0.90, 0.92, 0.91], [0.91, 0.92, 0.93], [0.93, 0.93, 0.95], [0.97, 0.96, 0.99]]


def contrasts_of(trials):
    return contrast_table(trials, design(trials))


def test_a_two_by_two_factorial_gives_the_effects_computed_by_hand(trials_of):
    # Per seed: lete - none = (.93 + .97 - .90 - .91) / 2 = .045, (.93 + .96 - .92 - .92) / 2 = .025, .05;
    # 32 - 16 = .025, .015, .03; interaction of (none, 16) = (.90 - .91 - .93 + .97) / 4 = .0075, .0075, .005.
    table = contrasts_of(trials_of())
    assert table["difference"].tolist() == pytest.approx([0.04, 0.07 / 3])
    t = [stats.ttest_1samp([0.045, 0.025, 0.05], 0), stats.ttest_1samp([0.025, 0.015, 0.03], 0)]
    assert table["p"].tolist() == pytest.approx([found.pvalue for found in t])
    low, high = t[0].confidence_interval()
    assert table.loc[0, ["low", "high"]].tolist() == pytest.approx([low, high])
    cells = interaction_table(trials_of())
    assert cells["interaction"].tolist() == pytest.approx([0.02 / 3, -0.02 / 3, -0.02 / 3, 0.02 / 3])
    low, high = stats.ttest_1samp([0.0075, 0.0075, 0.005], 0).confidence_interval()
    assert cells.loc[0, ["low", "high"]].tolist() == pytest.approx([low, high])


def test_effects_of_a_balanced_factorial_are_those_of_least_squares_and_repeated_measures_anova(trials_of):
    spaces = {"a": ["x", "y"], "b": [1, 2], "c": [True, False]}
    points = [dict(zip(spaces, corner, strict=True)) for corner in itertools.product(*spaces.values())]
    trials = trials_of(points, np.random.default_rng(0).normal(size=(8, 5)), spaces, objective="loss")
    table = trials.table.assign(c=trials.table["c"].astype(str))
    contrasts, cells = contrasts_of(trials), interaction_table(trials)
    anova = AnovaRM(table, "value", "seed", within=["a", "b", "c"]).fit().anova_table
    p = [anova.loc[factor, "Pr > F"] for factor in "abc"]
    assert contrasts["p"].tolist() == pytest.approx(p)
    assert contrasts["p_holm"].tolist() == pytest.approx(multipletests(p, method="holm")[1].tolist())
    fitted = ols("value ~ (C(a, Sum) + C(b, Sum) + C(c, Sum)) ** 2", table).fit().params
    assert contrasts["difference"].iloc[0] == pytest.approx(-2 * fitted["C(a, Sum)[S.x]"])
    assert cells["interaction"].iloc[0] == pytest.approx(fitted["C(a, Sum)[S.x]:C(b, Sum)[S.1]"])
    # One contrast of a two by two interaction: its t is the root of ANOVA's F.
    per_seed = table.assign(sign=np.where(table["a"] == "x", 1, -1) * np.where(table["b"] == 1, 1, -1))
    found = stats.ttest_1samp(per_seed.groupby("seed").apply(lambda rows: (rows["sign"] * rows["value"]).mean()), 0)
    assert found.statistic**2 == pytest.approx(anova.loc["a:b", "F Value"])
    assert cells.loc[0, ["low", "high"]].tolist() == pytest.approx(list(found.confidence_interval()))


def test_a_planted_interaction_is_found_and_an_additive_study_has_none(trials_of):
    additive = np.add.outer([0.1, 0.2, 0.4, 0.5], [0.0, 0.02, 0.05])
    cells = interaction_table(trials_of(scores=additive))
    assert cells[["interaction", "low", "high"]].abs().to_numpy().max() == 0
    planted = additive + np.array([0, 0, 0, 0.08])[:, None]
    assert interaction_table(trials_of(scores=planted))["interaction"].abs().tolist() == pytest.approx([0.02] * 4)


def test_the_interaction_of_two_by_two_is_one_contrast_and_that_of_three_by_two_has_three(trials_of):
    # Per seed .0075, .0075, .005: their interval holds no zero, and the other cells only turn its sign.
    said = "1 of 1 cell, counting once what a factor of two levels mirrors, has an interval without zero, unadjusted, where "
    assert f"{said}chance alone gives about 0.05." in effects(trials_of()).summary
    spaces = {NAME: ["none", "lete", "rope"], DIM: [16, 32]}
    points = [dict(zip(spaces, corner, strict=True)) for corner in itertools.product(*spaces.values())]
    summary = effects(trials_of(points, np.random.default_rng(0).random((6, 4)), spaces)).summary
    assert " of 3 cells, counting once" in summary
    assert "gives about 0.15." in summary


def test_differences_that_agree_to_the_last_digit_have_no_invented_variance(trials_of):
    # 0.3 - 0.1 and 0.8 - 0.6 differ by 5e-17 as floats.
    table = contrasts_of(trials_of(CORNERS[::2], [[0.1, 0.6], [0.3, 0.8]], {NAME: SPACES[NAME]}))
    assert table.loc[0, ["low", "high"]].tolist() == pytest.approx([0.2, 0.2], abs=1e-15)


def test_rows_of_a_one_at_a_time_study_are_held_against_its_base_point(one_at_a_time):
    trials = one_at_a_time()
    assert (design(trials).kind, design(trials).base) == ("one_at_a_time", 0)
    table = contrasts_of(trials)
    assert table[["factor", "level", "reference", "trial"]].to_numpy().tolist() == [
        [NAME, "none", "lete", 1],
        [DIM, "16", "32", 2],
        [DIM, "64", "32", 3],
    ]
    p = [stats.ttest_rel(SCORES[trial], SCORES[0]).pvalue for trial in (1, 2, 3)]
    assert table["p"].tolist() == pytest.approx(p)
    assert table["p_holm"].tolist() == pytest.approx(multipletests(p, method="holm")[1].tolist())


def obvious_base(trials):
    """The base point by comparing every two trials, setting by setting."""
    points = trials.per_trial.loc[trials.scores.index, trials.factors].to_dict("index")
    found = []
    for base, ours in points.items():
        changes = [
            {path for path in ours if not (pd.isna(ours[path]) or pd.isna(theirs[path])) and ours[path] != theirs[path]}
            for trial, theirs in points.items()
            if trial != base
        ]
        if all(len(change) == 1 for change in changes) and len(set().union(*changes)) > 1:
            unlike = sum(pd.isna(ours[path]) != pd.isna(theirs[path]) for theirs in points.values() for path in ours)
            found.append((unlike, base))
    return min(found)[1] if found else None


@pytest.mark.parametrize("seed", range(20))
def test_the_base_point_is_that_of_the_obvious_comparison(trials_of, seed):
    draw = np.random.default_rng(seed)
    base = {"a": "x", "b": 2.0, "c": True, "d": 0.1}
    changes = [
        {"a": "y", "b": np.nan},
        {"a": "y"},
        {"b": 4.0},
        {"c": False},
        {"d": 0.2},
        {"d": 0.3},
        {"c": False, "d": 0.2},
    ]
    points = [base | change for change in draw.permutation(changes)[:4]]
    points.insert(int(draw.integers(5)), base)
    spaces = {"a": ["x", "y"], "b": [2, 4], "c": [True, False], "d": [0.1, 0.2]}
    trials = trials_of(points, draw.uniform(size=(5, 1)), spaces)
    assert design(trials).base == obvious_base(trials)


def test_a_failed_row_of_a_one_at_a_time_study_is_said_and_a_failed_base_leaves_no_claim(trials_of, one_at_a_time):
    assert "1 trial not complete" in effects(one_at_a_time({2: "FAILED"})).summary
    points, spaces = CORNERS[:3], {NAME: ["none", "lete"], DIM: [16, 32]}
    assert design(trials_of(points, SCORES[:3], spaces)).base == 0
    assert design(trials_of(points, SCORES[:3], spaces, {0: "FAILED"})).kind == "other"


def test_trials_that_differ_in_one_factor_only_have_no_base_point(trials_of):
    points = [{RATE: rate} for rate in (1e-4, 1e-3, 1e-2)]
    assert design(trials_of(points, SCORES[:3], {RATE: Bounds(1e-4, 1e-2, log=True)})).kind == "other"


NO_FACTORIAL = {
    "3 of 12 trials are not complete": lambda random_search, _: random_search(
        states=dict.fromkeys((0, 3, 5), "PRUNED")
    ),
    f"{RATE} is drawn from a range": lambda random_search, _: random_search(),
    f"{DIM} does not apply to every trial": lambda random_search, _: random_search(),
    "2 of 4 points were tried": lambda _, trials_of: trials_of([CORNERS[0], CORNERS[3]], SCORES[:2]),
    "1 trial repeat a point": lambda _, trials_of: trials_of([*CORNERS, CORNERS[0]], [*SCORES, SCORES[0]]),
    "a trial lies outside the choices": lambda _, trials_of: trials_of([*CORNERS[:3], {NAME: "rope", DIM: 8}]),
}


@pytest.mark.parametrize("reason", NO_FACTORIAL)
def test_what_is_no_factorial_says_why_and_claims_nothing(reason, trials_of, random_search):
    finding = effects(NO_FACTORIAL[reason](random_search, trials_of))
    assert reason in finding.summary
    assert "no effect is claimed" in finding.summary
    assert set(finding.tables) == {"levels"}


def test_ranges_are_shown_in_thirds_of_their_scale(trials_of):
    scores = [[0.1], [0.2], [0.4], [0.9]]
    points = [{RATE: rate} for rate in (1e-4, 2e-4, 5e-3, 1e-1)]
    table = level_table(trials_of(points, scores, {RATE: Bounds(1e-4, 1e-1, log=True)}))
    assert table["level"].tolist() == ["0.0001 to 0.001", "0.001 to 0.01", "0.01 to 0.1"]
    assert table["mean"].tolist() == pytest.approx([0.15, 0.4, 0.9])


def test_one_seed_gives_differences_and_no_p(studies):
    finding = effects(studies["one seed"])
    assert "needs 2 seeds" in finding.summary
    assert finding.tables["contrasts"][["low", "high", "p", "p_holm"]].isna().all(axis=None)
