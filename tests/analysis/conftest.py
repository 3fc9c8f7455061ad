"""Made-up studies: small, and with every number known."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.plan import Plan
from analysis.results import Results

GOLDEN = Path(__file__).parents[1] / "golden" / "statistics.json"


@pytest.fixture(scope="session")
def oracle():
    return json.loads(GOLDEN.read_text())


@pytest.fixture(scope="session")
def tables():
    return make_tables


@pytest.fixture(scope="session")
def study():
    return make_study


def make_study(correct, plan=None, **more):
    """Return Results in which `correct` {model: (S, n) of 0 and 1} says which predictions are right."""
    options = {name: more.pop(name) for name in ("allow_missing", "declaration") if name in more}
    return Results(*make_tables(correct, **more), plan=plan or Plan(), **options)


def make_tables(correct, *, epochs=6, classes=3, lengths=None, curve=None):
    """Return runs, curves and predictions; `curve` (model, seed, split, epoch) -> accuracy."""
    runs, curves, predictions = [], [], []
    curve = curve or (lambda _model, _seed, split, epoch: 0.9 - 0.4 / epoch + 0.01 * (split == "train"))
    for index, (model, rows) in enumerate(correct.items()):
        for seed, right in enumerate(np.asarray(rows, dtype=bool)):
            cell = {"run_id": f"{model}-{seed}", "model": model, "seed": seed}
            label = np.arange(len(right)) % classes
            confidence = 0.6 + 0.01 * seed + 0.001 * index  # no two runs agree bit for bit
            predictions.append(
                pd.DataFrame(
                    {
                        **cell,
                        "sample_id": np.arange(len(right)),
                        "length": lengths if lengths is not None else 10 + np.arange(len(right)) % 50,
                        "label": label,
                        "predicted": np.where(right, label, (label + 1) % classes),
                        "confidence": confidence,
                        "log_likelihood": np.where(right, np.log(confidence), np.log(0.1)),
                    }
                )
            )
            for epoch in range(1, epochs + 1):
                for split in ("train", "validation", "test"):
                    accuracy = curve(model, seed, split, epoch)
                    row = {**cell, "epoch": epoch, "split": split}
                    curves += [
                        {**row, "metric": "accuracy", "value": accuracy},
                        {**row, "metric": "loss", "value": 1.5 * (1 - accuracy)},
                    ]
                curves.append({**cell, "epoch": epoch, "split": "", "metric": "seconds", "value": 2.0})
            tests = [curve(model, seed, "test", epoch) for epoch in range(1, epochs + 1)]
            runs.append(
                {
                    **cell,
                    "dataset": "event_mnist",
                    "status": "FINISHED",
                    "config_hash": f"config-{model}",
                    "parameters": 1000 + index,
                    "best_accuracy": max(tests),
                    "final_accuracy": tests[-1],
                    "test_accuracy": right.mean(),
                    "best_epoch": epochs,
                    "epochs": epochs,
                    "epoch_seconds": 2.0,
                    "total_seconds": 2.0 * epochs,
                    "flops": 1e6 + index,
                    "peak_memory_bytes": 2.0**20,
                    "data_digest": "data",
                    "code_digest": f"code-{model}",
                    "shared_code_digest": "shared",
                    "torch_version": "2.13.0",
                    "precision": "fp32",
                    "device": "cpu",
                }
            )
    return pd.DataFrame(runs), pd.DataFrame(curves), pd.concat(predictions, ignore_index=True)


@pytest.fixture(scope="session")
def draw():
    return draw_correct


def draw_correct(accuracies, *, seeds=3, images=400, stream=0):
    """Return independent coin flips, {model: (seeds, images)}."""
    generator = np.random.default_rng(stream)
    return {model: generator.random((seeds, images)) < rate for model, rate in accuracies.items()}
