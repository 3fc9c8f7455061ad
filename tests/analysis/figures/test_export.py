import pytest
from choreographer.browsers.chromium import Chromium

from analysis.figures import Figure, FigureError, to_html, to_png


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
