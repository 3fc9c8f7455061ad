"""The report in a real browser: by day and by night, on a telephone, to a screen reader and on paper."""

import asyncio
import base64
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from choreographer import Browser
from choreographer.browsers.chromium import Chromium

from analysis import run_analyses
from analysis.figures.parts.style import NIGHT, PAPER, TEXT_CONTRAST, contrast
from analysis.report.html import page
from analysis.report.look import PAPER_WIDTH
from analysis.report.markdown import report

BROWSER = Chromium.find_browser(skip_local=False)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BROWSER, reason="no Chromium: scripts/browser.sh gets one"),
]
HEIGHT = 900
SCREENS = {"day": (1280, False), "night": (1280, True), "telephone": (400, False)}
ERRORS = """window.errors = []; addEventListener('error', one => errors.push(one.message));
addEventListener('unhandledrejection', one => errors.push(String(one.reason)))"""
DRAWN = """(async () => {
  while (document.readyState != 'complete' || !window.plotly) await new Promise(requestAnimationFrame);
  await plotly;
  const folds = [...document.querySelectorAll('details')], open = folds.map(one => one.open);
  folds.forEach(one => one.open = true);
  for (const box of document.querySelectorAll('[data-figure]')) {
    box.scrollIntoView();
    while (!box.dataset.drawn) await new Promise(requestAnimationFrame);
  }
  await new Promise(requestAnimationFrame);
  return open;
})()"""
AXE = Path(__file__).parents[2] / "axe/axe.min.js"
VIOLATIONS = """axe.run(document, { resultTypes: ['violations'] }).then(told => told.violations.map(rule =>
  `${rule.id}: ${rule.help} (${rule.nodes.length}) ${rule.nodes[0].html.slice(0, 200)}`))"""
MEASURES = """(() => {
  const all = (query, of = document) => [...of.querySelectorAll(query)], box = one => one.getBoundingClientRect();
  const fill = one => getComputedStyle(one).fill;
  return {
    errors: window.errors, answer: box(document.querySelector('.answer')).bottom + scrollY,
    scrolls: document.documentElement.scrollWidth - innerWidth,
    ground: getComputedStyle(document.body).backgroundColor,
    figures: all('[data-figure]').map(one => { const [frame, button] = one.children, plot = frame.firstElementChild;
      return { name: one.dataset.figure, drawn: one.dataset.drawn, marks: all('svg path, svg rect', plot).length,
        cut: Math.max(box(plot).right - box(frame).right, box(plot).bottom - box(frame).bottom),
        size: [box(plot).width, box(plot).height], button: !button.hidden, kept: getComputedStyle(one).breakInside,
        texts: all('.gtitle, .gtitle-subtitle, .xtitle, .ytitle, .xtick text, .ytick text', plot).map(fill) } }),
    tables: all('.wide').map(one => ({ cut: box(one.firstElementChild).right - innerWidth, focus: one.tabIndex })),
  }
})()"""


@pytest.fixture(scope="module")
def report_page(study, draw, tmp_path_factory):
    """A report of five models with long names, in which every figure of a study is."""
    rates = {"position": 0.8, "sincos_with_gaps": 0.82, "lete": 0.9, "kan_mammote_without_mamba": 0.9, "none": 0.5}
    results = study(draw(rates), epochs=12)
    generator, rows = np.random.default_rng(0), []
    for model in rates:
        for seed in range(3):
            cell = {"run_id": f"{model}-{seed}", "model": model, "seed": seed, "leaves": "", "sequences": 100}
            alterations = ("true times", "rank only", "jitter of sd 2", "10 % dropped")
            shares = generator.random((len(alterations), 1))
            rows += [
                {**cell, "alteration": name, "accuracy": float(share), "unchanged": 1.0}
                for name, [share] in zip(alterations, shares, strict=True)
            ]
    findings = run_analyses(results.with_probe("time_use", pd.DataFrame(rows)))
    figures = {stem: figure for finding in findings for stem, figure in finding.figures.items()}
    path = tmp_path_factory.mktemp("report") / "report.html"
    shutil.copy(AXE, path.parent)
    whole = page(report(findings, title="Study of five"), figures)
    path.write_text(whole.replace("</body>", '<script src="axe.min.js"></script></body>'), encoding="utf-8")
    return path


async def _visit(path):
    """Return what a browser measures of the page on each screen and on paper, and the page as a PDF."""
    seen = {}
    async with Browser(path=BROWSER) as browser:
        tab = await browser.create_tab("about:blank")

        async def send(command, **params):
            answer = await tab.send_command(command, params=params)
            assert "error" not in answer, answer
            assert "exceptionDetails" not in answer["result"], answer
            return answer["result"]

        async def ask(script):
            told = await send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
            return told["result"].get("value")

        async def size(width):
            screen = {"height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
            await send("Emulation.setDeviceMetricsOverride", width=width, **screen)

        await send("Page.enable")
        await send("Page.addScriptToEvaluateOnNewDocument", source=ERRORS)
        for name, (width, dark) in SCREENS.items():
            await size(width)
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            await send("Emulation.setEmulatedMedia", media="", features=[scheme])
            await send("Page.navigate", url=f"{path.as_uri()}?{name}")
            folded = await ask(DRAWN)
            seen[name] = await ask(MEASURES) | {"folded": folded, "violations": await ask(VIOLATIONS)}
            if name == "night":
                seen["pdf"] = base64.b64decode((await send("Page.printToPDF"))["data"])
                seen["printed"] = await ask(MEASURES)
        await size(PAPER_WIDTH)
        await send("Emulation.setScrollbarsHidden", hidden=True)  # paper has none
        await send("Emulation.setEmulatedMedia", media="print")
        await ask("document.querySelectorAll('details').forEach(one => one.open = false)")
        seen["paper"] = await ask(MEASURES)
    return seen


@pytest.fixture(scope="module")
def seen(report_page):
    return asyncio.run(asyncio.wait_for(_visit(report_page), 120))


def channels(colour):
    return "#" + "".join(f"{int(value):02X}" for value in re.findall(r"\d+", colour)[:3])


@pytest.mark.parametrize("screen", SCREENS)
def test_every_figure_is_drawn_whole_and_no_script_fails(seen, screen):
    told = seen[screen]
    assert told["errors"] == []
    assert len(told["figures"]) > 9
    for figure in told["figures"]:
        assert figure["marks"] > 5, figure["name"]
        assert figure["cut"] < 1, figure["name"]
        assert figure["drawn"] == ("night" if screen == "night" else "day")


@pytest.mark.parametrize("screen", SCREENS)
def test_axe_finds_nothing_that_would_keep_somebody_out(seen, screen):
    assert seen[screen]["violations"] == []


@pytest.mark.parametrize("screen", SCREENS)
def test_the_page_does_not_scroll_sideways_and_tables_scroll_in_boxes_that_keys_reach(seen, screen):
    assert seen[screen]["scrolls"] <= 0
    assert {table["focus"] for table in seen[screen]["tables"]} == {0}


def test_small_figures_can_be_shown_in_full(seen):
    assert all(figure["button"] for figure in seen["telephone"]["figures"])
    buttons = {figure["name"]: figure["button"] for figure in seen["day"]["figures"]}
    assert not buttons["differences"]
    assert not buttons["accuracy"]


def test_the_answer_is_seen_without_scrolling(seen):
    assert 100 < seen["day"]["answer"] < HEIGHT
    assert seen["night"]["answer"] < HEIGHT


def test_the_verdict_and_the_results_are_open_and_the_rest_is_folded(seen):
    assert seen["day"]["folded"][:2] == [True, True]
    assert not any(seen["day"]["folded"][2:])


@pytest.mark.parametrize(("screen", "ground"), [("day", PAPER), ("night", NIGHT)])
def test_texts_of_figures_can_be_read(seen, screen, ground):
    assert channels(seen[screen]["ground"]) == ground
    for figure in seen[screen]["figures"]:
        assert figure["texts"], figure["name"]
        for colour in set(figure["texts"]):
            assert contrast(channels(colour), ground) >= TEXT_CONTRAST, (figure["name"], colour)


def test_on_paper_everything_is_unfolded_and_no_figure_or_table_is_cut(seen):
    paper = seen["paper"]
    for figure in paper["figures"]:
        assert figure["cut"] < 1, figure["name"]
        assert figure["kept"] == "avoid"
        width, height = figure["size"]
        assert 100 < width <= PAPER_WIDTH + 1, figure["name"]
        assert 60 < height < 1000
    assert max(table["cut"] for table in paper["tables"]) < 1


def test_it_prints_by_day_from_a_dark_page_and_goes_back(seen):
    assert seen["pdf"].startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page\b", seen["pdf"]))
    assert 5 < pages < 60
    assert {figure["drawn"] for figure in seen["printed"]["figures"]} == {"night"}


def test_measures_are_of_this_page(seen, report_page):
    """The names that the browser found are those of the page's own list: nothing is measured twice or left out."""
    placed = re.findall(r'data-figure="(\w+)"', report_page.read_text(encoding="utf-8"))
    assert [figure["name"] for figure in seen["paper"]["figures"]] == placed
    assert json.dumps(placed).count("time_use") == 1
