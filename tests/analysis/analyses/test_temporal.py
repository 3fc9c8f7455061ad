import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from scipy.special import expit

from analysis.analyses.temporal import bin_table, correlation_table, temporal
from analysis.statistics.length_slope import length_slope


@pytest.fixture
def lengths():
    return np.random.default_rng(0).integers(10, 200, 600)


@pytest.fixture
def fading(lengths):
    """Return answers that are the rarer right the longer the sequence."""
    generator = np.random.default_rng(1)
    return {"lete": generator.random((3, 600)) < 1 - lengths / 250}


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


def test_the_slope_is_that_of_a_binomial_model_and_finds_what_was_planted(lengths):
    generator = np.random.default_rng(2)
    right = generator.random((4, 600)) < expit(5 - 1.0 * np.log(lengths))
    found = length_slope(right, lengths)
    design = np.column_stack([np.ones(2400), np.tile(np.log(lengths), 4)])
    pooled = sm.GLM(right.ravel().astype(float), design, family=sm.families.Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": np.tile(np.arange(600), 4)}
    )
    own = [sm.GLM(row.astype(float), design[:600], family=sm.families.Binomial()).fit().params[1] for row in right]
    assert found.value == pytest.approx(pooled.params[1], rel=1e-5)
    assert found.se == pytest.approx(np.sqrt(np.var(own, ddof=1) / 4 + pooled.bse[1] ** 2), rel=1e-4)
    low, high = found.interval(0.95)
    assert low < -1 < high < 0


def test_the_slope_of_two_lengths_is_the_log_odds_ratio_over_the_log_ratio():
    # At 10 events 30 of 40 are right, at 20 events 10 of 40: odds 3 and 1/3, so a doubling divides them by 9.
    right = np.concatenate([np.arange(40) < 30, np.arange(40) < 10])[None]
    found = length_slope(right, np.repeat([10, 20], 40))
    assert 2**found.value == pytest.approx(1 / 9)
    assert np.isnan(found.se)  # one seed says nothing about seeds


@pytest.mark.parametrize("right", [[1, 1, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 1, 1]])
def test_there_is_no_slope_where_a_length_parts_right_from_wrong(right, study):
    lengths = np.array([10, 20, 30, 40])
    assert np.isnan(length_slope(np.array([right, right], dtype=bool), lengths).value)
    assert "undefined" in temporal(study({"lete": [right] * 2}, lengths=lengths)).summary
