import pytest

from analysis import run_analyses
from analysis.figures.parts.style import colours


def test_training_curves_are_solid_for_train_and_dashed_for_test_in_the_models_colour(figures):
    means = [trace for trace in figures["training_curves"].data if trace.line.width > 3]
    assert len(means) == 3 * 2 * 2
    for trace in means:
        model, split = trace.name.split()
        assert trace.line.dash == {"train": "solid", "test": "dash"}[split]
        assert trace.line.color == colours(["sincos", "lete", "none"])[model]


def test_training_curves_show_every_seed_and_their_mean_in_percent(study, draw):
    results = study(
        draw({"sincos": 0.6, "lete": 0.9}), curve=lambda _model, seed, _split, epoch: 0.1 * epoch + 0.01 * seed
    )
    figure = run_analyses(results, ["training"])[0].figures["training_curves"]
    of_panel = [trace for trace in figure.data if trace.yaxis == "y2"]
    assert sum(trace.name.startswith("seed") for trace in of_panel) == 2 * 2 * 3
    mean = next(trace for trace in of_panel if trace.name == "lete test")
    assert list(mean.y) == pytest.approx([100 * (0.1 * epoch + 0.01) for epoch in range(1, 7)])


def test_the_mean_is_drawn_only_where_all_seeds_are(tables, draw, study):
    correct = draw({"sincos": 0.6, "lete": 0.9})
    runs, curves, predictions = tables(correct)
    curves = curves[(curves["seed"] != 0) | (curves["epoch"] <= 3)]
    results = type(study(correct))(runs, curves, predictions, plan=study(correct).plan)
    figure = run_analyses(results, ["training"])[0].figures["training_curves"]
    assert all(max(trace.x) == 3 for trace in figure.data if trace.line.width > 3)
