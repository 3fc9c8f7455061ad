import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from statsmodels.stats.contingency_tables import cochrans_q
from statsmodels.stats.contingency_tables import mcnemar as independent_mcnemar

from analysis.statistics.image_tests import cochran_q, discordant, mcnemar

answers = hnp.arrays(bool, st.tuples(st.just(3), st.just(20)))


def test_exact_and_mid_p_are_the_oracles(oracle):
    for known in oracle["mcnemar"].values():
        exact, mid = mcnemar(np.array([known["b"]]), np.array([known["c"]]))
        assert exact[0] == pytest.approx(known["exact_p"])
        assert mid[0] == pytest.approx(known["midp"])


@given(answers, answers)
@settings(deadline=None)
def test_the_exact_p_is_that_of_statsmodels_and_has_no_direction(a, b):
    only_a, only_b = discordant(a, b)
    exact, mid = mcnemar(only_a, only_b)
    for found, here, there in zip(exact, only_a, only_b, strict=True):
        assert found == pytest.approx(independent_mcnemar([[0, here], [there, 0]], exact=True).pvalue)
    assert (mid <= exact).all()
    back = mcnemar(only_b, only_a)
    assert (exact == back[0]).all()
    assert (mid == back[1]).all()


def test_identical_answers_give_p_one():
    exact, mid = mcnemar(np.array([0]), np.array([0]))
    assert (exact[0], mid[0]) == (1, 1)
    assert cochran_q(np.array([[1, 0, 1]] * 4, dtype=bool)) == (0, 1)


def kuncheva():
    """84, 92 and 92 of 100 right. Q needs no more than these and how many images 3, 2, 1, 0 models get right.

    From Q and the accuracies that is 80, 11, 6, 3; the table of the first two models leaves this arrangement.
    """
    rows = {(1, 1, 1): 80, (1, 1, 0): 2, (0, 1, 1): 9, (0, 1, 0): 1, (1, 0, 0): 2, (0, 0, 1): 3, (0, 0, 0): 3}
    return np.repeat(np.array(list(rows)), list(rows.values()), axis=0).T.astype(bool)


def test_cochrans_q_is_the_oracles(oracle):
    known = oracle["cochran_q_kuncheva"]
    table = kuncheva()
    assert table.mean(axis=1) == pytest.approx(known["acc"])
    assert cochran_q(table) == pytest.approx((known["Q"], known["p"]))


def test_for_two_models_q_is_mcnemars_chi_squared(oracle):
    known = oracle["cochran_q_2models_eq_mcnemar"]
    (both, only_a), (only_b, neither) = known["table"]
    a = np.repeat([1, 1, 0, 0], [both, only_a, only_b, neither]).astype(bool)
    b = np.repeat([1, 0, 1, 0], [both, only_a, only_b, neither]).astype(bool)
    assert cochran_q(np.stack([a, b]))[0] == pytest.approx(known["Q"])


@given(answers)
@settings(deadline=None)
def test_q_is_that_of_statsmodels(table):
    if len({row.tobytes() for row in table}) > 1:
        known = cochrans_q(table.T.astype(int))
        assert cochran_q(table) == pytest.approx((known.statistic, known.pvalue))
