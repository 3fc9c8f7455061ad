"""The pages that `main` names, in a real browser: what a person must see of a study.

The pictures of docs/mlflow.md are of this test, with runs that learn something:
`SCREENSHOTS=docs/figures .venv/bin/pytest tests/pipeline/test_mlflow_ui.py`
"""

import asyncio
import base64
import json
import os
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import pytest
from choreographer import Browser
from choreographer.browsers.chromium import Chromium
from PIL import Image

from analysis.figures.parts.style import colours
from pipeline import analyze
from pipeline.comparison import compare
from pipeline.stored_study import find_study
from pipeline.study import load_study
from pipeline.tracking.mlflow_tracker import MODE, MlflowTracker

BROWSER = Chromium.find_browser(skip_local=False)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not BROWSER, reason="no Chromium: scripts/browser.sh gets one")]
SCREENSHOTS = os.environ.get("SCREENSHOTS")
MODELS = ("none", "kan_mammote", *(("sincos", "lete") if SCREENSHOTS else ()))
LEARNING = {
    "data.name": "mnist_sample", "model.hidden_dim": 32, "model.num_layers": 1, "train.batch_size": 16,
    "train.learning_rate": 0.01, "train.scheduler.name": "cosine", "train.epochs": 12,
}  # fmt: skip
"""Settings of the pictures, those of `make demo`."""
WIDTH, COLOURS = 960, 128
"""Pixels and colours of a picture."""
ERRORS = """window.errors = []; addEventListener('error', one => one.message.startsWith('ResizeObserver loop') || errors.push(one.message));
addEventListener('unhandledrejection', one => errors.push(String(one.reason)));
// At the first visit MLflow opens its assistant over a fourth of the page.
try { localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true') } catch {}"""
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


def keep(name, png):
    """Keep a picture of a page, small: with colours that are far apart, as those of the models are few pixels each."""
    picture = Image.open(BytesIO(png)).convert("RGB")
    small = picture.resize((WIDTH, WIDTH * picture.height // picture.width), Image.Resampling.LANCZOS)
    few = small.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(Path(SCREENSHOTS, f"mlflow_{name}.png"), optimize=True)


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
            if SCREENSHOTS:
                await asyncio.sleep(3)  # until what moves in has come to rest
                keep(name, base64.b64decode((await send("Page.captureScreenshot"))["data"]))
    return seen


def further(server, runs, model):
    """Return the addresses that a person reaches by clicks: two runs compared, and the page of a model."""
    ids = json.dumps([run.id for run in runs])
    [experiment] = {model.experiment_id}
    compared = f"#/compare-runs?runs={quote(ids)}&experiments={quote(json.dumps([experiment]))}&{MODE}"
    return {
        "compare": f"{server}/{compared}",
        "model": f"{server}/#/experiments/{experiment}/models/{model.model_id}?{MODE}",
    }


def test_a_person_sees_the_answer_the_report_the_runs_and_a_model(mlflow_tracker, server, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(analyze, "_drawn", lambda _: ({"png": {}, "svg": {}}, None))
    seeds, settings = ([0, 1, 2], LEARNING) if SCREENSHOTS else ([0], tiny)
    compare(load_study(None, models=MODELS, seeds=seeds, overrides=settings), mlflow_tracker, workers=1, device="cpu")
    study = find_study(mlflow_tracker)
    analyze.analyze_study(study, mlflow_tracker, output=tmp_path / "out", allow_missing=False)
    named = dict(line.split(" in MLflow: ") for line in analyze.links(study, MlflowTracker(server)))
    assert all(address.startswith(f"{server}/#/experiments/") for address in named.values())
    runs = [run for model in MODELS[:2] for run in mlflow_tracker.find(model=model, seed="0")]
    [model] = mlflow_tracker._client.search_logged_models(
        [mlflow_tracker._experiment], f"source_run_id = '{runs[1].id}'"
    )
    named |= further(server, runs, model)
    wanted = {"answer": ["has the highest mean test accuracy", "table"], "report": ["iframe"], "runs": [".ag-row a"]}
    wanted |= {"charts": ["validation", ".js-plotly-plot"], "compare": ["none s0", "kan_…mote s0", "balanced_accuracy"]}
    wanted["model"] = ["kan_mammote", "test_accuracy", settings["data.name"], "Encoding of time"]
    seen = asyncio.run(asyncio.wait_for(visit({name: (named[name], wanted[name]) for name in named}), 400))
    assert {name: (page["missing"], page["errors"]) for name, page in seen.items()} == dict.fromkeys(wanted, ([], []))
    assert seen["answer"]["text"].index("has the highest mean") < seen["answer"]["text"].index("Test accuracy (95 %")
    assert {"test_accuracy", "validation_accuracy", "negative_log_likelihood"} < set(seen["runs"]["heads"])
    assert f"lstm_comparison {study.id}\n" in seen["runs"]["text"]  # the view's name, in place of "Views"
    assert "Metrics:\nvalidation/accuracy\n" in seen["compare"]["text"]
    names = {"none s0", "kan_…mote s0"}
    assert {name: whole for name, whole in seen["runs"]["names"] if name in names} == dict.fromkeys(names, True)
    drawn = {
        f"rgb({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))})" for colour in colours(MODELS).values()
    }
    assert drawn <= set(seen["runs"]["colours"])
    # A model has the numbers of its run.
    assert f"{runs[1].metrics['test_accuracy']:.3f}"[:4] in seen["model"]["text"]
