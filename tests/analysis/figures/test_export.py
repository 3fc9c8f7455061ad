import asyncio
import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from choreographer.browsers.chromium import Chromium
from choreographer.errors import BrowserClosedError

from analysis.figures import SCRIPT_FILE, Figure, FigureError, export, plot_script, to_html, to_png

BROWSER = Chromium.find_browser(skip_local=False)
needs_browser = pytest.mark.skipif(not BROWSER, reason="no Chromium: scripts/browser.sh gets one")


@needs_browser
def test_a_page_is_interactive_beside_the_script_and_a_drawing_without_it(figures, tmp_path):
    page = tmp_path / "figure.html"
    page.write_text(to_html("a < b", figures["statistical_significance"], "<svg id='drawing'></svg>"))

    def shown():
        command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
        return subprocess.run([*command, page.as_uri()], capture_output=True, text=True, check=True, timeout=120).stdout

    alone = shown()
    assert 'id="drawing"' in alone
    assert "js-plotly-plot" not in alone
    (tmp_path / SCRIPT_FILE).write_text(plot_script())
    whole = shown()
    assert 'id="drawing"' not in whole
    assert "js-plotly-plot" in whole
    assert "<title>a &lt; b</title>" in whole


def test_a_page_is_small_and_asks_for_no_network(figures):
    page = to_html("figure", figures["statistical_significance"], "")
    assert page.count("src=") == 1
    assert f'src="{SCRIPT_FILE}"' in page
    assert len(page) < 100_000


def test_drawing_is_tried_twice(monkeypatch):
    tries = []

    async def draw(figures, scales, _browser):
        tries.append(1)
        if len(tries) == 1:
            raise BrowserClosedError
        return {kind: dict.fromkeys(figures, b"drawn") for kind in scales}

    monkeypatch.setattr(export, "_draw", draw)
    assert to_png({"figure": Figure()}) == {"figure": b"drawn"}
    assert len(tries) == 2


@needs_browser
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


def test_figures_are_drawn_where_a_loop_is_running_as_in_a_notebook(monkeypatch):
    async def draw(figures, scales, _browser):
        return {kind: dict.fromkeys(figures, b"drawn") for kind in scales}

    async def cell():
        return to_png({"figure": Figure()})

    monkeypatch.setattr(export, "_draw", draw)
    assert asyncio.run(cell()) == {"figure": b"drawn"}


@pytest.fixture
def hanging(tmp_path, monkeypatch):
    """A browser that says nothing. Return the file that it writes its process to, and a line that it runs first."""
    process, browser = tmp_path / "process", tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\necho $$ > '{process}'\n. '{tmp_path}/first'\nexec sleep 1000\n")
    browser.chmod(0o755)
    (tmp_path / "first").write_text("")
    monkeypatch.setenv("BROWSER_PATH", str(browser))
    return process, tmp_path / "first"


def has_ended(process):
    """Say whether a process is gone, or only waits for its parent to hear of it."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_a_browser_that_hangs_is_given_up_and_killed(hanging, monkeypatch):
    monkeypatch.setattr(export, "FIGURE_SECONDS", 2)
    with pytest.raises(FigureError, match="none that starts and answers"):
        to_png({"figure": Figure()})
    assert has_ended(hanging[0].read_text().strip())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_a_browser_that_hangs_without_another_word(hanging, capfd, number):
    def interrupt(*_):
        raise KeyboardInterrupt

    handler = signal.default_int_handler if number == signal.SIGINT else interrupt
    process, first = hanging
    first.write_text(f"kill -{number.value} {os.getpid()}")
    before, began = signal.signal(number, handler), time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            to_png({"figure": Figure()})
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)
    assert time.monotonic() - began < export.FIGURE_SECONDS / 2
    assert has_ended(process.read_text().strip())
    assert "Traceback" not in capfd.readouterr().err
