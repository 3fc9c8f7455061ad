"""What holds for all figures."""

import ast
import json
from pathlib import Path

import pytest

import analysis
from analysis import run_analyses

FEW = {"sincos": 0.6, "lete": 0.9}
MANY = {f"model_with_a_long_name_{i}": 0.5 + 0.05 * i for i in range(8)}
SHAPES = [(FEW, 1, 1), (FEW, 10, 30), (MANY, 3, 6), (MANY, 1, 200)]


@pytest.mark.parametrize(("rates", "seeds", "epochs"), SHAPES)
def test_figures_render_to_json_for_all_sizes_of_study(rates, seeds, epochs, study, draw):
    for finding in run_analyses(study(draw(rates, seeds=seeds, images=200), epochs=epochs)):
        for figure in finding.figures.values():
            drawn = json.loads(figure.to_json())
            assert drawn["data"]
            assert drawn["layout"]["width"] >= 600


def test_plotly_and_kaleido_are_imported_by_the_figures_alone():
    folder = Path(analysis.__file__).parent
    for path in folder.rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
        names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        outside = {name.split(".")[0] for name in names} & {"plotly", "kaleido", "choreographer"}
        assert not outside or "figures" in path.parts, path


def test_a_study_without_curves_is_analysed_all_the_same(tables, draw, study):
    correct = draw({"sincos": 0.6, "lete": 0.9})
    runs, curves, predictions = tables(correct)
    bare = type(study(correct))(runs, curves[curves["metric"] == "seconds"], predictions, plan=study(correct).plan)
    for finding in run_analyses(bare):
        assert all(json.loads(figure.to_json()) for figure in finding.figures.values())
        assert finding.summary
