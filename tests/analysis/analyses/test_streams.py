from dataclasses import replace

import numpy as np
import pytest

from analysis.analyses.registry import run_analyses
from analysis.analyses.significance import significance
from analysis.analyses.streams import streams
from analysis.report.markdown import report
from analysis.schema import STREAM_COLUMNS

CHEAP = ["overview", "significance", "streams"]
LEVELS = np.array([(i, j, (i + j) % 3) for i in range(3) for j in range(3)])


@pytest.fixture
def apart(study):
    """Return a study of 9 runs of each model, of which b has no dropout; the first stream decides most."""

    def make(levels_SF=LEVELS, names=tuple(STREAM_COLUMNS), without=("b",), models=("a", "b"), **more):
        generator = np.random.default_rng(5)
        rates_S = 0.7 + 0.1 * levels_SF[:, 0]
        results = study({model: generator.random((len(rates_S), 400)) < rates_S[:, None] for model in models}, **more)
        columns = {
            STREAM_COLUMNS[name]: np.tile(levels_SF[:, place].astype(float), len(models))
            for place, name in enumerate(names)
        }
        runs = results.runs.assign(**columns)
        if "dropout_seed" in runs:
            runs.loc[runs["model"].isin(without), "dropout_seed"] = np.nan
        return replace(results, runs=runs)

    return make


def test_shares_are_given_of_each_stream_that_a_model_has(apart):
    finding = streams(apart())
    shares = finding.tables["shares"].set_index(["model", "stream"])
    assert shares.loc["a"].index.tolist() == ["init", "order", "dropout", "rest"]
    assert shares.loc["b"].index.tolist() == ["init", "order", "rest"]
    assert shares.groupby("model")["share"].sum().tolist() == pytest.approx([1, 1])
    assert shares.loc[("a", "init"), "share"] > 0.8
    assert (shares["low"] <= shares["share"]).all()
    assert (shares["share"] <= shares["high"]).all()
    assert "b: initial values" in finding.summary
    assert "It has no dropout: that stream is left out." in finding.summary
    assert "3 values leave 2 degrees of freedom to each" in finding.summary
    assert list(finding.figures) == ["streams"]


def test_what_pairing_saves_is_given_of_each_declared_pair(apart):
    finding = streams(apart())
    [pair] = finding.tables["pairing"].to_dict("records")
    assert (pair["model_a"], pair["model_b"]) == ("b", "a")
    assert pair["correlation"] > 0.8
    assert pair["worth_low"] < pair["worth"] < pair["worth_high"]
    assert f"10 pairs tell as much as about {round(10 * pair['worth'])} runs of each model" in finding.summary


def test_pairs_that_all_differ_alike_are_not_said_to_have_seeds_that_do_not_differ(study):
    right_Sn = np.arange(100) < np.array([60, 61, 63])[:, None]
    results = study({"a": right_Sn, "b": right_Sn & (np.arange(100) >= 2)})
    runs = results.runs.assign(**{STREAM_COLUMNS["init"]: results.runs["seed"].astype(float)})
    summary = streams(replace(results, runs=runs)).summary
    assert "correlation over seeds 1.00 [1.00, 1.00]. The difference is the same in every pair" in summary
    assert "the seeds do not differ" not in summary


def test_runs_that_share_levels_give_no_verdict_and_no_analysis_of_independent_seeds(apart):
    results = apart()
    [pair] = significance(results).tables["pairs"].to_dict("records")
    assert pair["verdict"] == "undecided"
    assert np.isnan([pair[name] for name in ("p", "p_adjusted", "p_tost", "ci_low", "adjusted_high", "se")]).all()
    findings = run_analyses(results, [*CHEAP, "opinions", "variance", "calibration"])
    assert [finding.name for finding in findings] == CHEAP
    text = report(findings)
    assert "runs share their levels, so they are not independent: no pair gets a verdict" in text
    assert "a study whose streams vary together decides" in text


def test_one_stream_alone_has_a_spread_a_pairing_and_verdicts(apart):
    levels_SF = np.stack([np.arange(5) % 4 + (np.arange(5) > 3) * 4, np.zeros(5, int), np.zeros(5, int)], axis=1) / 8
    results = apart(levels_SF)
    finding = streams(results)
    assert (
        "only initial values varied over the seeds of this study; order of the data and dropout stayed"
        in finding.summary
    )
    assert finding.tables["shares"]["stream"].tolist() == ["init", "init"]
    assert len(finding.tables["pairing"]) == 1
    assert "over these runs: seeds that draw every stream anew may have another" in finding.summary
    assert not finding.figures
    overview, *_, last = run_analyses(results, [*CHEAP, "variance"])
    assert last.name == "variance"
    assert any("Only one random stream varies (init" in said for said in overview.data["banners"])


def test_a_design_that_lacks_a_run_is_not_split(apart):
    whole = apart()
    runs = whole.runs.copy()
    runs.loc[3, "status"] = "FAILED"
    finding = streams(replace(whole, runs=runs, allow_missing=True))
    assert "Without every run of the design, nothing is said of a." in finding.summary
    assert finding.tables["shares"]["model"].unique().tolist() == ["b"]
    assert finding.tables["pairing"].empty


def test_a_study_whose_seeds_decide_everything_has_no_such_section(draw, study):
    findings = run_analyses(study(draw({"a": 0.8, "b": 0.7})), CHEAP)
    assert [finding.name for finding in findings] == ["overview", "significance"]
