import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from analysis.temporal import bin_table, correlation_table, rate_interval, temporal


@pytest.fixture
def lengths():
    return np.random.default_rng(0).integers(10, 200, 600)


@pytest.fixture
def fading(lengths):
    """Return answers that are the rarer right the longer the sequence."""
    generator = np.random.default_rng(1)
    return {"lete": generator.random((3, 600)) < 1 - lengths / 250}


def test_one_seed_gets_wilsons_interval():
    right = np.arange(50) < 45
    assert rate_interval(right[None], 0.95) == pytest.approx((0.9, *proportion_confint(45, 50, method="wilson")))


def test_an_interval_has_a_width_when_every_answer_is_right():
    rate, low, high = rate_interval(np.ones((3, 40), dtype=bool), 0.95)
    assert (rate, high) == (1, 1)
    assert low == pytest.approx(proportion_confint(40, 40, method="wilson")[0])


def test_the_plain_correlation_is_scipys(study, fading, lengths):
    table = correlation_table(study(fading, lengths=lengths))
    for seed, right in enumerate(fading["lete"]):
        assert table.loc[seed, "correlation"] == pytest.approx(stats.pearsonr(lengths, right.astype(float))[0])


def test_the_controlled_correlation_forgets_what_the_class_explains(study):
    # Class 0 is short and always right, class 1 long and always wrong: within a class nothing varies together.
    lengths = np.array([10, 90] * 50) + np.repeat([0, 1], 50)
    right = np.array([[1, 0] * 50] * 2)
    table = correlation_table(study({"lete": right}, lengths=lengths, classes=2))
    assert table["correlation"].lt(-0.99).all()
    assert table["controlled"].isna().all()


def test_the_bins_hold_every_sequence_once_and_about_equally_many(study, fading, lengths):
    table = bin_table(study(fading, lengths=lengths))
    assert table["images"].sum() == 600
    assert table["images"].between(45, 75).all()
    first = table.iloc[0]
    inside = (lengths >= first["shortest"]) & (lengths <= first["longest"])
    assert first["images"] == inside.sum()
    assert first["accuracy"] == pytest.approx(fading["lete"][:, inside].mean())
    assert table["low"].lt(table["accuracy"]).all()
    assert table["accuracy"].lt(table["high"]).all()


def test_equal_lengths_make_one_bin_and_no_correlation(study, draw):
    finding = temporal(study(draw({"lete": 0.8}), lengths=np.full(400, 30)))
    assert len(finding.tables["bins"]) == 1
    assert "undefined" in finding.summary
