"""The pages that `main` names, in a real browser: what a person must see of a study."""

import asyncio

import pytest
from choreographer import Browser
from choreographer.browsers.chromium import Chromium

from analysis.figures.parts.style import colours
from pipeline import analyze
from pipeline.comparison import compare
from pipeline.stored_study import find_study
from pipeline.study import load_study
from pipeline.tracking.mlflow_tracker import MlflowTracker

BROWSER = Chromium.find_browser(skip_local=False)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not BROWSER, reason="no Chromium: scripts/browser.sh gets one")]
MODELS = ("none", "kan_mammote")
ERRORS = """window.errors = []; addEventListener('error', one => one.message.startsWith('ResizeObserver loop') || errors.push(one.message));
addEventListener('unhandledrejection', one => errors.push(String(one.reason)))"""
LOOK = """(async () => {
  const all = query => [...document.querySelectorAll(query)], end = performance.now() + 60000, wanted = %s;
  const missing = () => wanted.filter(one => !document.body?.innerText.includes(one) && !document.querySelector(one));
  while (missing().length && performance.now() < end) await new Promise(requestAnimationFrame);
  return {
    missing: missing(), errors: window.errors, text: document.body.innerText,
    heads: all('.ag-header-cell-text, .ag-header-cell').map(one => one.innerText.trim()),
    names: all('.ag-pinned-left-cols-container a').map(one => [one.innerText, one.scrollWidth <= one.clientWidth]),
    colours: all('[data-testid="experiment-view-table-run-color"]').map(one => getComputedStyle(one).backgroundColor),
  };
})()"""


async def visit(pages):
    """Return what a browser sees on each page, once it shows the texts or elements that are wanted there."""
    seen = {}
    async with Browser(path=BROWSER) as browser:
        tab = await browser.create_tab("about:blank")

        async def send(command, **params):
            answer = await tab.send_command(command, params=params)
            assert "error" not in answer, answer
            assert "exceptionDetails" not in answer["result"], answer
            return answer["result"]

        await send("Page.enable")
        await send("Page.addScriptToEvaluateOnNewDocument", source=ERRORS)
        screen = {"width": 1440, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        await send("Emulation.setDeviceMetricsOverride", **screen)
        for name, (address, wanted) in pages.items():
            await send("Page.navigate", url="about:blank")  # an address that differs after # alone loads no page
            await send("Page.navigate", url=address)
            told = await send("Runtime.evaluate", expression=LOOK % wanted, awaitPromise=True, returnByValue=True)
            seen[name] = told["result"]["value"]
    return seen


def test_a_person_sees_the_answer_the_report_and_the_runs(mlflow_tracker, server, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(analyze, "_drawn", lambda _: ({"png": {}, "svg": {}}, None))
    compare(load_study(None, models=MODELS, seeds=[0], overrides=tiny), mlflow_tracker, workers=1, device="cpu")
    study = find_study(mlflow_tracker)
    analyze.analyze_study(study, mlflow_tracker, output=tmp_path / "out", allow_missing=False)
    named = dict(line.split(" in MLflow: ") for line in analyze.links(study, MlflowTracker(server)))
    assert all(address.startswith(f"{server}/#/experiments/") for address in named.values())
    wanted = {"answer": ["has the highest mean test accuracy", "table"], "report": ["iframe"], "runs": [".ag-row a"]}
    wanted["charts"] = ["validation", ".js-plotly-plot"]
    seen = asyncio.run(asyncio.wait_for(visit({name: (named[name], wanted[name]) for name in named}), 250))
    assert [(page["missing"], page["errors"]) for page in seen.values()] == [([], [])] * 4
    assert seen["answer"]["text"].index("has the highest mean") < seen["answer"]["text"].index("Test accuracy (95 %")
    assert {"test_accuracy", "validation_accuracy", "negative_log_likelihood"} < set(seen["runs"]["heads"])
    names = {"none s0", "kan_…mote s0"}
    assert {name: whole for name, whole in seen["runs"]["names"] if name in names} == dict.fromkeys(names, True)
    drawn = {
        f"rgb({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))})" for colour in colours(MODELS).values()
    }
    assert drawn <= set(seen["runs"]["colours"])
