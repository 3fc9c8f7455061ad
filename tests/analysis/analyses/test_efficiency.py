import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.analyses.efficiency import COSTS, efficiency
from analysis.plan import Plan
from analysis.results import Results

RATES = {"sincos": 0.7, "lete": 0.9}


def without(study, tables, draw, *columns):
    correct = draw(RATES)
    runs, curves, predictions = tables(correct)
    made = study(correct)
    return type(made)(runs.drop(columns=list(columns)), curves, predictions, plan=made.plan)


def test_a_model_that_no_other_beats_on_every_count_is_not_dominated(study, draw):
    # lete has the higher accuracy and one parameter more, at the same time per epoch: neither dominates.
    table = efficiency(study(draw(RATES))).tables["models"].set_index("model")
    assert table["dominated_by"].to_dict() == {"sincos": "", "lete": ""}


def test_domination_names_the_better_model_and_is_hollow_in_the_figure(study, draw):
    found = efficiency(study(draw({"lete": 0.9, "sincos": 0.7})))
    table = found.tables["models"].set_index("model")
    assert table["dominated_by"].to_dict() == {"lete": "", "sincos": "lete"}
    assert "sincos (by lete)" in found.summary
    symbols = {trace.name: trace.marker.symbol for trace in found.figures["efficiency"].data if trace.name in RATES}
    assert symbols == {"lete": "circle", "sincos": "circle-open"}


@pytest.mark.parametrize(
    ("seconds", "dominated"),
    [
        ([2, 3, 4, 1, 2, 3], ""),  # they overlap
        ([1, 1.1, 1.2, 5, 5.1, 5.2], ""),
        ([5, 5.1, 5.2, 1, 1.1, 1.2], "sincos"),
        ([2, 2, 2, 2, 2, 2], "sincos"),
    ],
)
def test_time_counts_where_its_intervals_do_not_overlap(tables, draw, seconds, dominated):
    runs, curves, predictions = tables(draw({"lete": 0.7, "sincos": 0.9}))
    runs["epoch_seconds"] = [float(value) for value in seconds]
    runs[["parameters", "flops", "peak_memory_bytes"]] = [1000, 1e6, 1e6]
    table = efficiency(Results(runs, curves, predictions, plan=Plan())).tables["models"].set_index("model")
    assert table["dominated_by"]["lete"] == dominated


@pytest.mark.parametrize(("seeds", "seconds"), [(2, [2, 2, 200, 300]), (1, [2, 200])])
def test_a_fast_model_is_not_dominated_where_too_few_seeds_leave_the_time_open(tables, draw, seeds, seconds):
    # With two seeds the interval of 200 and 300 s is 250 +- 12.7 * 50 s; with one there is none.
    runs, curves, predictions = tables(draw({"a": 0.8, "b": 0.95}, seeds=seeds))
    runs["epoch_seconds"] = [float(value) for value in seconds]
    runs[["parameters", "flops", "peak_memory_bytes"]] = [1000, 1e6, 1e6]
    found = efficiency(Results(runs, curves, predictions, plan=Plan()))
    assert found.tables["models"]["dominated_by"].tolist() == ["", ""]
    assert "and worse on one: none." in found.summary


def test_costs_have_intervals_over_seeds(study, tables, draw):
    correct = draw(RATES)
    runs, curves, predictions = tables(correct)
    runs["epoch_seconds"] = [1.0, 2.0, 3.0, 5.0, 5.0, 8.0]
    made = study(correct)
    row = efficiency(type(made)(runs, curves, predictions, plan=made.plan)).tables["models"].iloc[0]
    low, high = stats.t.interval(0.95, 2, loc=2, scale=stats.sem([1, 2, 3]))
    assert (row["epoch_seconds_low"], row["epoch_seconds_high"]) == pytest.approx((low, high))


def test_a_cost_that_was_not_recorded_is_a_dash_and_decides_nothing(study, tables, draw):
    found = efficiency(without(study, tables, draw, "flops", "peak_memory_bytes"))
    assert "| - |" in found.summary
    assert "operations" not in found.summary.splitlines()[0]
    notes = [note.text for note in found.figures["efficiency"].layout.annotations]
    assert notes.count("not recorded") == 2


def test_a_cost_that_some_runs_lack_is_the_mean_of_the_others(study, tables, draw):
    correct = draw(RATES)
    runs, curves, predictions = tables(correct)
    runs.loc[0, "flops"] = np.nan
    made = study(correct)
    table = efficiency(type(made)(runs, curves, predictions, plan=made.plan)).tables["models"]
    assert table["flops"].tolist() == [1e6, 1e6 + 1]


@pytest.mark.parametrize("cost", COSTS)
def test_every_seed_is_a_point_in_the_panel_of_every_cost(cost, study, draw):
    figure = efficiency(study(draw(RATES))).figures["efficiency"]
    panel = list(COSTS).index(cost) + 1
    axis = "x" if panel == 1 else f"x{panel}"
    seeds = [trace for trace in figure.data if trace.xaxis == axis and trace.name.endswith("seeds")]
    assert [pd.notna(trace.x).sum() for trace in seeds] == [3, 3]
