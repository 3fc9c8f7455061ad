import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.ablation import ablation_findings, expected_best, pareto_front
from analysis.ablation.budget import best_quantile, certificate
from analysis.ablation.importance import importance
from analysis.schema import ResultsError

NAME, RATE = "model.embedding.name", "train.learning_rate"


@pytest.mark.parametrize("values", [[0.4], [0.1, 0.7], [0.3, 0.3, 0.9], [0.5, 0.2, 0.8, 0.8, 0.1]])
def test_the_expected_best_is_the_mean_over_all_choices(values):
    for n, found in enumerate(expected_best(np.array(values)), start=1):
        assert found == pytest.approx(np.mean([max(chosen) for chosen in itertools.combinations(values, n)]))


def test_the_expected_best_of_twenty_random_trials_has_no_bias():
    # The highest of 20 standard normal values is 1.867 on average, with an sd of .525: standard error .012 of 2,000.
    draws = np.random.default_rng(0).standard_normal((2_000, 20))
    assert np.mean([expected_best(values)[-1] for values in draws]) == pytest.approx(1.867, abs=0.036)


def test_the_expected_best_of_thousands_of_trials_is_a_number():
    values = np.arange(2_000.0)
    found = expected_best(values)
    assert (found[0], found[-1]) == pytest.approx((values.mean(), 1_999))
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("quantile", [0.025, 0.5, 0.975])
def test_its_quantiles_are_those_of_all_draws_with_replacement(quantile):
    values = np.array([0.5, 0.2, 0.8, 0.1])
    for n, found in enumerate(best_quantile(values, quantile), start=1):
        bests = [max(draw) for draw in itertools.product(values, repeat=n)]
        assert found == np.quantile(bests, quantile, method="inverted_cdf")


def test_the_expected_best_is_drawn_by_model_with_its_caveats(studies):
    finding = next(one for one in ablation_findings(studies["pruned"]) if one.name == "expected_best")
    counts = finding.tables["expected_best"].groupby("model", sort=False)["n"].max()
    assert counts.to_dict() == {"none": 5, "lete": 5}
    for said in ("too narrow", "without bias for random search", "only indicative for TPE", "2 trials without a value"):
        assert said in finding.summary


def test_equal_budgets_are_certified_and_the_volume_is_that_computed_by_hand(random_search):
    finding = certificate(random_search())
    assert finding.data["verdict"] == "Equal budget: yes"
    table = finding.tables["budget"].set_index("model")
    assert table["epochs"].tolist() == [6 * 3 * 4] * 2
    assert table["dimension"].to_dict() == {"none": 1, "lete": 2}
    # Two decades; and three choices times two decades.
    assert table["log10_volume"].tolist() == pytest.approx([np.log10(2), np.log10(3 * 2)])
    assert "spaces differ in dimension (none 1, lete 2)" in finding.summary


def test_an_unequal_budget_says_what_differs(random_search):
    finding = certificate(random_search(count=13, states={1: "PRUNED"}))
    assert finding.data["verdict"] == "Equal budget: no"
    for said in (
        "trials (none 7, lete 6)",
        "complete (none 7, lete 5)",
        "pruned (none 0, lete 1)",
        "epochs (none 84, lete 72)",
    ):
        assert said in finding.summary


def test_importance_carries_n_and_its_caveats_and_names_what_was_not_measured(random_search):
    table = pd.DataFrame({"factor": [RATE, NAME], "fANOVA": [0.2, 0.8], "PED-ANOVA": [0.6, np.nan]})
    finding = importance(random_search(), table)
    assert finding.tables["importance"]["factor"].tolist() == [NAME, RATE]
    for said in (
        "n = 12 complete trials",
        "fANOVA: name first (80.00 %)",
        "depends on the ranges",
        "noise",
        "no causal",
    ):
        assert said in finding.summary
    assert "Not measured: dim." in finding.summary


def test_equal_shares_put_no_factor_first(random_search):
    table = pd.DataFrame({"factor": [RATE, NAME], "fANOVA": [0.5, 0.5], "PED-ANOVA": [np.nan, np.nan]})
    assert (
        "fANOVA: no factor before another (50.00 % each); PED-ANOVA: n/a." in importance(random_search(), table).summary
    )


WRONG_SHARES = {
    "no factor": (pd.DataFrame({"fANOVA": [0.2]}), "must have a column 'factor'"),
    "stray": (
        pd.DataFrame({"factor": ["data.name"], "fANOVA": [0.2]}),
        "must be factors of the study, got 'data.name'",
    ),
    "percent": (pd.DataFrame({"factor": [NAME], "fANOVA": [20.0]}), r"must hold shares in \[0, 1\]"),
}


@pytest.mark.parametrize("case", WRONG_SHARES)
def test_importances_of_something_else_are_refused(case, random_search):
    table, message = WRONG_SHARES[case]
    with pytest.raises(ResultsError, match=message):
        importance(random_search(), table)


VALUES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20)
DIRECTION = st.sampled_from(["maximize", "minimize"])


@settings(deadline=None)
@given(VALUES, DIRECTION, DIRECTION)
def test_the_front_holds_what_nothing_beats(values, first, second):
    def beats(a, b):
        gains = [
            (x - y) if direction == "maximize" else (y - x)
            for x, y, direction in zip(a, b, (first, second), strict=True)
        ]
        return min(gains) >= 0 and max(gains) > 0

    expected = [not any(beats(other, one) for other in values) for one in values]
    assert pareto_front(np.array(values, dtype=float), (first, second)).tolist() == expected
    mirrored = {"maximize": "minimize", "minimize": "maximize"}
    turned = -np.array(values, dtype=float)
    assert pareto_front(turned, (mirrored[first], mirrored[second])).tolist() == expected


def test_a_gap_is_never_on_the_front_and_beats_nothing():
    assert pareto_front(np.array([[np.nan, 0], [1, 1]]), ("maximize", "minimize")).tolist() == [False, True]
    with pytest.raises(ResultsError, match="two values a row"):
        pareto_front(np.zeros((3, 3)), ("maximize", "minimize"))
