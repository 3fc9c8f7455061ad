import numpy as np
import pytest

from analysis.metrics.curves import convergence_epoch, epochs_to, epochs_to_best, training_stability
from analysis.metrics.registry import metric_table


def test_convergence_is_the_end_of_the_first_steady_window_of_validation_accuracy(results, rising):
    windows = [np.std(rising[i - 5 : i], ddof=1) for i in range(5, 13)]
    assert [w < 0.005 for w in windows] == [False] * 3 + [True] + [False] * 3 + [windows[-1] < 0.005]
    assert convergence_epoch(results).tolist() == [8, 8]


def test_epochs_to_a_level_are_the_first_at_or_above_it(results):
    assert epochs_to(0.9, results).tolist() == [4, 4]
    assert epochs_to(0.96, results).tolist() == [9, 9]
    assert epochs_to(0.97, results).isna().all()
    assert epochs_to_best(results).tolist() == [9, 9]  # .99 * .963 = .953


def test_stability_is_the_standard_deviation_of_the_last_ten_epochs(results, rising):
    assert training_stability(results).tolist() == pytest.approx([np.std(rising[-10:], ddof=1)] * 2)


def test_stability_takes_all_epochs_when_there_are_fewer_than_ten_and_none_of_one(study, right, rising, curve):
    short = study(right, epochs=3, curve=curve)
    assert training_stability(short).tolist() == pytest.approx([np.std(rising[:3], ddof=1)] * 2)
    assert training_stability(study(right, epochs=1)).isna().all()


def test_runs_that_stopped_early_are_measured_at_their_own_end(tables, study, right, rising, curve):
    runs, curves, predictions = tables(right, epochs=12, curve=curve)
    curves = curves[(curves["seed"] == 0) | (curves["epoch"] <= 6)]
    runs.loc[1, ["epochs", "best_epoch"]] = 6
    results = type(study(right))(runs, curves, predictions, plan=study(right).plan)
    assert convergence_epoch(results).isna().tolist() == [False, True]
    assert training_stability(results)[1] == pytest.approx(np.std(rising[:6], ddof=1))
    assert metric_table(results)["overfitting_gap"].tolist() == pytest.approx([0.03, 0.03])
