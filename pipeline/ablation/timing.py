"""What it costs to take a trial out of a queue, for the benchmarks."""

import contextlib
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.ablation.queue import DEFAULT_STORAGE, Queue
from pipeline.ablation.reading import load_ablation

CLAIMS = 9
"""Claims that are timed."""


def time_claims(trials: int) -> list[float]:
    """Return the seconds of each of the first claims from a queue of so many waiting trials on SQLite."""
    tree = {"design": "random", "trials": trials, "train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}
    with TemporaryDirectory() as folder, contextlib.chdir(folder):
        file = Path("search.json")
        file.write_text(json.dumps(tree), encoding="utf-8")
        queue = Queue(load_ablation(file), DEFAULT_STORAGE)
        queue.fill()
        seconds = []
        for _ in range(CLAIMS):
            began = time.perf_counter()
            queue.claim()
            seconds.append(time.perf_counter() - began)
        queue.close()
    return seconds
