import numpy as np
import pytest

from analysis.metrics.curves import convergence_epoch, epochs_to, epochs_to_best, training_stability
from analysis.metrics.registry import metric_table

RIGHT = {"lete": [[1, 1, 1, 0], [1, 1, 0, 0]]}
# Its first window of five with a standard deviation under .005 is epochs 4 to 8.
RISING = [0.10, 0.50, 0.80, 0.900, 0.901, 0.902, 0.903, 0.904, 0.960, 0.961, 0.962, 0.963]


def rising(_model, _seed, split, epoch):
    return RISING[epoch - 1] + {"train": 0.02, "validation": 0.0, "test": -0.01}[split]


@pytest.fixture
def results(study):
    return study(RIGHT, epochs=12, curve=rising)


def test_convergence_is_the_end_of_the_first_steady_window_of_validation_accuracy(results):
    windows = [np.std(RISING[i - 5 : i], ddof=1) for i in range(5, 13)]
    assert [w < 0.005 for w in windows] == [False] * 3 + [True] + [False] * 3 + [windows[-1] < 0.005]
    assert convergence_epoch(results).tolist() == [8, 8]


def test_epochs_to_a_level_are_the_first_at_or_above_it(results):
    assert epochs_to(0.9, results).tolist() == [4, 4]
    assert epochs_to(0.96, results).tolist() == [9, 9]
    assert epochs_to(0.97, results).isna().all()
    assert epochs_to_best(results).tolist() == [9, 9]  # .99 * .963 = .953


def test_stability_is_the_standard_deviation_of_the_last_ten_epochs(results):
    assert training_stability(results).tolist() == pytest.approx([np.std(RISING[-10:], ddof=1)] * 2)


def test_stability_takes_all_epochs_when_there_are_fewer_than_ten_and_none_of_one(study):
    short = study(RIGHT, epochs=3, curve=rising)
    assert training_stability(short).tolist() == pytest.approx([np.std(RISING[:3], ddof=1)] * 2)
    assert training_stability(study(RIGHT, epochs=1)).isna().all()


def test_runs_that_stopped_early_are_measured_at_their_own_end(tables, study):
    runs, curves, predictions = tables(RIGHT, epochs=12, curve=rising)
    curves = curves[(curves["seed"] == 0) | (curves["epoch"] <= 6)]
    runs.loc[1, ["epochs", "best_epoch"]] = 6
    results = type(study(RIGHT))(runs, curves, predictions, plan=study(RIGHT).plan)
    assert convergence_epoch(results).isna().tolist() == [False, True]
    assert training_stability(results)[1] == pytest.approx(np.std(RISING[:6], ddof=1))
    assert metric_table(results)["overfitting_gap"].tolist() == pytest.approx([0.03, 0.03])
