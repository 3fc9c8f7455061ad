import re

import pandas as pd
from plotly.graph_objects import Figure

from analysis.ablation import ablation_findings, ablation_report
from analysis.ablation.effects import effects
from analysis.figures import plot_script

NAME = "model.embedding.name"


def test_the_page_holds_our_figures_then_the_callers_and_needs_no_network(random_search):
    extra = [("Optimization history", Figure(layout={"width": 700})), ("Slices <all>", Figure())]
    trials = random_search()
    shares = pd.DataFrame({"factor": [NAME], "fANOVA": [1.0]})
    document = ablation_report(trials, ablation_findings(trials, shares), extra, title="Study x")
    page = document.html()
    placed = re.findall(r'data-figure="(\w+)" data-width="(\d+)" style="--width: \d+; --height: (\d+)"', page)
    assert [stem for stem, _, _ in placed] == list(document.figures)
    assert placed[-2:] == [("search_1_optimization_history", "700", "640"), ("search_2_slices_all", "1100", "640")]
    assert page.count(plot_script()) == 1
    assert len(page.encode()) < 8_000_000
    own = page.replace(plot_script(), "")
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"(?!data:)", own)
    assert "Slices &lt;all&gt;" in own
    assert extra[1][1].layout.width is None  # the caller's figure is left as it was


def test_no_p_is_written_without_an_effect_and_an_interval(studies):
    for study in ("factorial", "one at a time"):
        summary = effects(studies[study]).summary
        found = re.findall(r"[+-][\d.]+ points \[[+-][\d.]+, [+-][\d.]+\] \(Holm: p [=<] [\d.]+\)", summary)
        assert len(found) == summary.count("Holm: p") > 0
