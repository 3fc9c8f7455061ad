from analysis.figures import Figure
from analysis.figures.parts.grid import squares


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
