"""What a study says before it trains of how long that takes, beside how long it takes."""

import re
import time

import pytest

from pipeline import cells
from pipeline.comparison import compare
from pipeline.study import load_study

FACTOR = 3
"""How far they may be apart: a machine that does other things while one of the two is measured, too."""


@pytest.mark.exhaustive
def test_a_study_takes_about_as_long_as_it_says(memory, monkeypatch):
    said = []
    monkeypatch.setattr(cells, "phase", lambda text: said.append((time.monotonic(), text)))
    settings = {"data.name": "mnist_sample", "train.batch_size": 16, "train.epochs": 8}
    compare(
        load_study(None, models=["sincos", "lete"], seeds=[0, 1], overrides=settings), memory, workers=1, device="cpu"
    )
    [(began, text)] = [(began, text) for began, text in said if text.startswith("training ")]
    told = float(re.search(r"about (\d+) s with 1 worker", text)[1])
    took = time.monotonic() - began
    assert told > 4
    assert 1 / FACTOR < told / took < FACTOR, f"{told:.0f} s said, {took:.1f} s taken"
