import numpy as np
import pytest

from analysis import run_analyses


def test_every_seed_is_a_point_and_each_mean_has_its_interval(study, draw):
    correct = draw({"none": 0.6, "lete": 0.9}, seeds=4)
    finding = run_analyses(study(correct), ["overview"])[0]
    figure, models = finding.figures["accuracy"], finding.tables["models"].set_index("model")
    for model, right in correct.items():
        [points] = [trace for trace in figure.data if trace.name == model]
        assert sorted(points.x) == pytest.approx(sorted(100 * np.mean(right, axis=1)))
    drawn = [tuple(trace.x) for trace in figure.data if trace.mode == "lines"]
    ends = [tuple(100 * models.loc[model, ["test_accuracy_low", "test_accuracy_high"]]) for model in correct]
    assert drawn == [pytest.approx(pair) for pair in ends]
    assert "4 seeds x 400 test sequences" in figure.layout.title.subtitle.text


def test_one_seed_has_no_interval(study, draw):
    figure = run_analyses(study(draw({"none": 0.6, "lete": 0.9}, seeds=1)), ["overview"])[0].figures["accuracy"]
    assert not [trace for trace in figure.data if trace.mode == "lines"]
