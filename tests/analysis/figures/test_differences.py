import numpy as np

from analysis import run_analyses
from analysis.figures import described
from analysis.plan import Plan
from analysis.report.markdown import report, verdict_markdown
from analysis.results import Results
from analysis.wording import interval


def found(results):
    finding = run_analyses(results, ["significance"])[0]
    return finding.figures["differences"], finding.tables["pairs"]


def test_a_row_a_pair_has_both_intervals_and_the_margin_is_a_band(study, draw):
    figure, pairs = found(study(draw({"none": 0.6, "sincos": 0.9, "lete": 0.91}), Plan(margin=0.01)))
    lines = {trace.line.width: [] for trace in figure.data if trace.line.width}
    for trace in figure.data:
        if trace.line.width:
            lines[trace.line.width].append((trace.x[0], trace.x[-1], trace.y[0]))
    for width, low, high in ((8, "ci_low", "ci_high"), (2, "adjusted_low", "adjusted_high")):
        expected = [(100 * row[low], 100 * row[high], place) for place, (_, row) in enumerate(pairs.iterrows())]
        assert np.allclose(lines[width], expected)
    [band] = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert (band.x0, band.x1) == (-1, 1)
    assert list(figure.layout.yaxis.ticktext) == ["sincos - none", "lete - none", "lete - sincos"]
    assert described(figure).startswith("Differences of test accuracy. sincos minus none +")


def test_pairs_that_were_not_declared_are_marked_and_left_out_where_there_are_too_many(study, draw):
    few, _ = found(study(draw({"none": 0.6, "sincos": 0.9, "lete": 0.91}), Plan(family="reference")))
    assert [note.text for note in few.layout.annotations if note.xref == "paper"][-1] == "undecided *"
    many, pairs = found(study(draw({f"m{number}": 0.8 for number in range(9)}), Plan(family="reference")))
    assert len(pairs) == 36
    assert len(many.layout.yaxis.ticktext) == 8


def test_where_no_declared_pair_has_runs_the_others_are_drawn_and_it_is_said(tables, draw):
    models = [f"m{number}" for number in range(10)]
    runs, curves, predictions = tables(draw(dict.fromkeys(models, 0.8)))
    runs.loc[runs["model"] == "m9", "status"] = "FAILED"
    curves, predictions = (table[table["model"] != "m9"] for table in (curves, predictions))
    plan = Plan(family="pairs", pairs=[["m9", model] for model in models[:9]], looks=(3,), levels=(0.05,))
    results = Results(runs, curves, predictions, plan=plan, allow_missing=True)
    figure, pairs = found(results)
    assert len(figure.layout.yaxis.ticktext) == len(pairs) == 36
    assert not pairs["declared"].any()
    findings = run_analyses(results, ["overview", "significance", "calibration"])
    for text in (report(findings), verdict_markdown(findings)):
        assert "No verdict: no declared pair has runs of both of its models." in text
        assert (
            "The verdicts were not calibrated: that needs two models with 3 seeds in common, and a declared pair."
            in text
        )


def test_a_row_far_outside_the_others_is_an_arrow_with_its_numbers(study, draw):
    rates = {"lete": 0.9, "sincos": 0.88, "position": 0.91, "time2vec": 0.87, "none": 0.1}
    figure, pairs = found(study(draw(rates, seeds=6), Plan(family="reference")))
    low, high = figure.layout.xaxis.range
    arrows = [trace for trace in figure.data if (trace.marker.symbol or "").startswith("triangle")]
    assert [trace.name for trace in arrows] == [
        f"{row['model_a']} - {row['model_b']}"
        for _, row in pairs.iterrows()
        if "none" in (row["model_a"], row["model_b"])
    ]
    assert all(low < trace.x[0] < high and trace.marker.symbol == "triangle-left" for trace in arrows)
    assert low > -30
    row = pairs.set_index(["model_a", "model_b"]).loc[("none", "lete")]
    written = f"<b>{100 * row['difference']:+.2f}</b> {interval(row['adjusted_low'], row['adjusted_high'])}"
    assert written in [note.text for note in figure.layout.annotations]
    assert "arrow: beyond the axis" in figure.layout.title.subtitle.text
    assert "none minus lete -8" in described(figure)
    figure, _ = found(study(draw({"none": 0.1, **rates}, seeds=6)))
    low, high = figure.layout.xaxis.range
    arrows = [trace for trace in figure.data if (trace.marker.symbol or "").startswith("triangle")]
    assert [trace.name for trace in arrows] == [f"{model} - none" for model in rates if model != "none"]
    assert all(low < trace.x[0] < high < 30 and trace.marker.symbol == "triangle-right" for trace in arrows)


def test_one_seed_has_a_point_and_no_interval(study, draw):
    figure, _ = found(study(draw({"a": 0.5, "b": 0.9}, seeds=1)))
    assert not [trace for trace in figure.data if trace.line.width]
    assert "no interval, undecided" in described(figure)
