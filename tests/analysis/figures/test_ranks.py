import json

from analysis.figures import ranks_figure

RANKS = {"position": 3.1, "sincos": 2.0, "lete": 1.4, "kan_mammote": 3.5}


def drawn(groups):
    return ranks_figure(RANKS, groups, sets=8, alpha=0.05)


def test_each_group_is_a_bar_with_a_dot_for_each_member():
    figure = drawn([("lete", "sincos"), ("sincos", "kan_mammote")])
    bars = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert [list(bar.x) for bar in bars] == [[1.4, 2.0], [2.0, 3.5]]
    assert bars[0].y[0] != bars[1].y[0]
    assert "n = 8 data sets" in figure.layout.title.subtitle.text


def test_a_line_leads_from_each_mean_rank_to_its_name_and_no_two_names_share_a_place():
    figure = drawn([])
    ends = {trace.name: (trace.x[0], trace.x[-1], trace.y[-1]) for trace in figure.data}
    assert {name: end[0] for name, end in ends.items()} == RANKS
    assert ends["lete"][1] == 1  # the better half is named at the left
    assert ends["kan_mammote"][1] == 4
    assert len({end[1:] for end in ends.values()}) == 4
    assert {note.text for note in figure.layout.annotations} == {
        "lete  1.40", "sincos  2.00", "3.10  position", "3.50  kan_mammote",
    }  # fmt: skip
    assert "Every pair of models differs" in figure.layout.title.subtitle.text


def test_every_name_and_bar_lies_within_the_figure():
    figure = drawn([("lete", "sincos"), ("sincos", "position"), ("position", "kan_mammote")])
    low, high = figure.layout.yaxis.range
    assert all(low <= y <= high for trace in figure.data for y in trace.y)
    assert all(low + 10 <= note.y for note in figure.layout.annotations)
    bars = [trace.y[0] for trace in figure.data if trace.mode == "lines+markers"]
    assert min(bars) > max(note.y for note in figure.layout.annotations)
    assert json.loads(figure.to_json())["layout"]["width"] >= 860
