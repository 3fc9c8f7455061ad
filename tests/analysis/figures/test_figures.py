import ast
import json
from pathlib import Path

import numpy as np
import pytest
from choreographer.browsers.chromium import Chromium

import analysis
from analysis import run_analyses
from analysis.figures import Figure, FigureError, to_html, to_png
from analysis.figures.parts.grid import squares
from analysis.figures.parts.labels import spread
from analysis.figures.parts.style import COLOURS, colours, cut_names

FEW = {"sincos": 0.6, "lete": 0.9}
MANY = {f"model_with_a_long_name_{i}": 0.5 + 0.05 * i for i in range(8)}
SHAPES = [(FEW, 1, 1), (FEW, 10, 30), (MANY, 3, 6), (MANY, 1, 200)]


@pytest.fixture(scope="module")
def figures(study, draw):
    results = study(draw({"sincos": 0.6, "lete": 0.9, "none": 0.9}))
    return {stem: figure for finding in run_analyses(results) for stem, figure in finding.figures.items()}


@pytest.mark.parametrize(("rates", "seeds", "epochs"), SHAPES)
def test_figures_render_to_json_for_all_sizes_of_study(rates, seeds, epochs, study, draw):
    for finding in run_analyses(study(draw(rates, seeds=seeds, images=200), epochs=epochs)):
        for figure in finding.figures.values():
            drawn = json.loads(figure.to_json())
            assert drawn["data"]
            assert drawn["layout"]["width"] >= 600


def test_training_curves_are_solid_for_train_and_dashed_for_test_in_the_models_colour(figures):
    means = [trace for trace in figures["training_curves"].data if trace.line.width > 3]
    assert len(means) == 3 * 2 * 2
    for trace in means:
        model, split = trace.name.split()
        assert trace.line.dash == {"train": "solid", "test": "dash"}[split]
        assert trace.line.color == colours(["sincos", "lete", "none"])[model]


def test_training_curves_show_every_seed_and_their_mean_in_percent(study, draw):
    results = study(draw(FEW), curve=lambda _model, seed, _split, epoch: 0.1 * epoch + 0.01 * seed)
    figure = run_analyses(results, ["training"])[0].figures["training_curves"]
    of_panel = [trace for trace in figure.data if trace.yaxis == "y2"]
    assert sum(trace.name.startswith("seed") for trace in of_panel) == 2 * 2 * 3
    mean = next(trace for trace in of_panel if trace.name == "lete test")
    assert list(mean.y) == pytest.approx([100 * (0.1 * epoch + 0.01) for epoch in range(1, 7)])


def test_the_mean_is_drawn_only_where_all_seeds_are(tables, draw, study):
    correct = draw(FEW)
    runs, curves, predictions = tables(correct)
    curves = curves[(curves["seed"] != 0) | (curves["epoch"] <= 3)]
    results = type(study(correct))(runs, curves, predictions, plan=study(correct).plan)
    figure = run_analyses(results, ["training"])[0].figures["training_curves"]
    assert all(max(trace.x) == 3 for trace in figure.data if trace.line.width > 3)


def test_significance_is_dark_below_alpha_light_elsewhere_and_never_on_the_diagonal(figures, study, draw):
    results = study(draw({"sincos": 0.6, "lete": 0.9, "none": 0.9}))
    pairs = run_analyses(results, ["significance"])[0].tables["pairs"]
    (heatmap,) = figures["statistical_significance"].data
    dark = np.array(heatmap.z, dtype=float)
    place = {model: i for i, model in enumerate(results.models)}
    assert np.isnan(np.diag(dark)).all()
    assert (np.nan_to_num(dark) == np.nan_to_num(dark.T)).all()
    for row in pairs.itertuples():
        assert dark[place[row.model_a], place[row.model_b]] == (row.p_adjusted < 0.05)
    assert {0.0, 1.0} <= set(dark[~np.isnan(dark)])


def test_significance_cells_mirror_their_signs_and_verdicts(figures):
    texts = {(note.y, note.x): note.text for note in figures["statistical_significance"].layout.annotations}
    below, above = texts[1, 0], texts[0, 1]  # lete against sincos, and back
    assert below.startswith("<b>+")
    assert "better" in below
    assert above.startswith("<b>-")
    assert "worse" in above


def test_confusion_colours_errors_only_and_writes_percent_of_the_true_class(figures, study, draw):
    results = study(draw({"sincos": 0.6, "lete": 0.9, "none": 0.9}))
    heatmap = figures["confusion_matrices"].data[0]
    assert np.isnan(np.diag(np.array(heatmap.z, dtype=float))).all()
    label, right = results.test_set.label, results.correct["sincos"]
    assert heatmap.text[0][0] == f"<b>{100 * right[:, label == 0].mean():.0f}</b>"
    assert heatmap.z[0][1] == pytest.approx(100 * (1 - right[:, label == 0].mean()))


def test_the_histogram_counts_every_sequence(figures):
    bars = [trace for trace in figures["temporal_patterns"].data if trace.type == "bar"]
    assert sum(bars[0].y) == 400


def test_convergence_says_what_was_not_reached(study, draw):
    results = study(
        draw(FEW), curve=lambda model, seed, _split, epoch: 0.5 if (model, seed) == ("lete", 0) else epoch / 9
    )
    figure = run_analyses(results, ["convergence"])[0].figures["convergence_analysis"]
    texts = [note.text for note in figure.layout.annotations]
    assert "not reached" in texts
    assert "<b>5</b> (1 of 3 seeds)" in texts


def test_panels_lie_in_rows_from_the_top_left():
    grid = squares(5, side=100, gap=50)
    assert (grid.columns, grid.width, grid.height) == (3, 400, 250)
    figure = Figure()
    for panel in range(1, 6):
        grid.place(figure, panel, {"title": "x"}, {})
    assert figure.layout.xaxis5.domain == (150 / 400, 250 / 400)
    assert figure.layout.yaxis5.domain == (0, 100 / 250)
    assert figure.layout.yaxis2.domain == (150 / 250, 1)
    assert figure.layout.xaxis5.anchor == "y5"
    assert [panel for panel in range(1, 6) if grid.at_bottom(panel)] == [3, 4, 5]
    assert [panel for panel in range(1, 6) if grid.at_left(panel)] == [1, 4]
    assert [squares(count, side=1, gap=0).columns for count in (1, 2, 3, 4)] == [1, 2, 2, 2]


def test_labels_keep_their_order_and_their_distance_and_stay_inside():
    places = spread(np.array([100.0, 101.0, 99.0, 5.0]), gap=20, height=110)
    assert np.argsort(places).tolist() == [3, 2, 0, 1]
    assert np.diff(np.sort(places)).min() >= 20 - 1e-9
    assert places.min() >= 0
    assert places.max() <= 110 + 1e-9


def test_each_model_keeps_its_colour_and_eight_models_differ():
    assert len(set(COLOURS)) == 8
    assert colours(["a", "b", "c"])["b"] == colours(["x", "b"])["b"]


def test_a_page_needs_no_network(figures):
    page = to_html(figures["statistical_significance"])
    assert "<script src=" not in page
    assert len(page) < 8_000_000


@pytest.mark.skipif(not Chromium.find_browser(skip_local=False), reason="no Chromium: scripts/browser.sh gets one")
def test_pngs_have_the_size_of_the_layout(figures):
    drawn = to_png({"figure": figures["convergence_analysis"]}, scale=1)
    signature, header = drawn["figure"][:8], drawn["figure"][16:24]
    assert signature == b"\x89PNG\r\n\x1a\n"
    layout = figures["convergence_analysis"].layout
    assert (int.from_bytes(header[:4]), int.from_bytes(header[4:])) == (layout.width, layout.height)


def test_png_export_without_a_browser_says_what_is_needed(monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", "/nonexistent/chromium")
    with pytest.raises(FigureError, match="figures: PNG export needs a Chromium browser"):
        to_png({"figure": Figure()})
    assert to_png({}) == {}


def test_plotly_and_kaleido_are_imported_by_the_figures_alone():
    folder = Path(analysis.__file__).parent
    for path in folder.rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
        names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        outside = {name.split(".")[0] for name in names} & {"plotly", "kaleido", "choreographer"}
        assert not outside or "figures" in path.parts, path


def test_a_study_without_curves_is_analysed_all_the_same(tables, draw, study):
    correct = draw(FEW)
    runs, curves, predictions = tables(correct)
    bare = type(study(correct))(runs, curves[curves["metric"] == "seconds"], predictions, plan=study(correct).plan)
    for finding in run_analyses(bare):
        assert all(json.loads(figure.to_json()) for figure in finding.figures.values())
        assert finding.summary


def test_names_that_would_look_alike_when_cut_are_numbered_and_markup_is_text():
    assert cut_names(["owl", "R&D <b>"], 8) == ["owl", "R&amp;D &lt;b>"]
    assert cut_names(["rhythm type one", "rhythm type two"], 12) == ["rhyth\u2026pe one", "rhyth\u2026pe two"]
    alike = [f"rhythm {middle} of the heart" for middle in ("fast", "slow")]
    assert cut_names([*alike, "none"], 12) == ["0 rhythm fas", "1 rhythm slo", "2 none"]
    assert all(len(name) <= 12 for name in cut_names([*alike, *alike], 12))
