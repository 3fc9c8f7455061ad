"""Costs of studies besides training: the analysis of a large study, and the overhead of a trial of a search."""

import json
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

from analysis import run_analyses
from analysis.plan import Plan
from analysis.report.html import page
from analysis.report.markdown import report
from analysis.results import Results
from analysis.statistics.randomness import stream
from pipeline.ablation.conduct import conduct
from pipeline.ablation.reading import load_ablation
from pipeline.bench.lines import Line, at_most
from pipeline.bench.rounds import TINY, workplace
from pipeline.costs import peak_resident
from pipeline.tracking import connect

EPOCHS = 50
RUNS, MODELS, SEQUENCES = 100, 10, 10_000
QUICK_RUNS, QUICK_MODELS, QUICK_SEQUENCES = 8, 4, 1000
"""Size of the made-up study whose analysis is measured."""
TRIALS, TRIALS_SHOWN = 100, 10
"""Number of trials of the measured search, and how many of them a line averages."""


def analysis_lines(*, quick: bool) -> list[Line]:
    """Return the seconds of analysing a made-up study, and the peak memory of the new process that did it."""
    runs, models, sequences = (QUICK_RUNS, QUICK_MODELS, QUICK_SEQUENCES) if quick else (RUNS, MODELS, SEQUENCES)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        seconds, peak = pool.submit(_analyse, runs, models, sequences).result()
    name = f"analysis and report of {models} models, {runs} runs x {sequences:,} predictions"
    lines = [Line(name=name, unit="s", values=(seconds,), target=None if quick else at_most(20))]
    if peak is not None:
        target = None if quick else at_most(2)
        lines.append(Line(name="peak of its process", unit="GB", values=(peak / 1e9,), target=target))
    return lines


def _analyse(runs: int, models: int, sequences: int) -> tuple[float, int | None]:
    results = made_up_study(runs, models, sequences)
    began = time.perf_counter()
    findings = run_analyses(results)
    markdown = report(findings)
    page(markdown, {stem: figure for finding in findings for stem, figure in finding.figures.items()})
    return time.perf_counter() - began, peak_resident()


def made_up_study(runs: int, models: int, sequences: int) -> Results:
    """Return a study of random answers, 95 to 99 % right, with `runs` runs over `models` models."""
    generator = stream("bench", "analysis")
    label_n, length_n = generator.integers(10, size=sequences), generator.integers(20, 250, size=sequences)
    rows, curves, predictions = [], [], []
    for number in range(runs):
        model, seed = f"model_{number % models}", number // models
        cell = {"run_id": f"run-{number}", "model": model, "seed": seed}
        right_n = generator.random(sequences) < 0.95 + 0.04 * (number % models) / models
        sure_n = generator.beta(20, 1, size=sequences)
        predicted_n = np.where(right_n, label_n, (label_n + generator.integers(1, 10, size=sequences)) % 10)
        answers = {"label": label_n, "predicted": predicted_n, "confidence": sure_n}
        answers["log_likelihood"] = np.log(np.where(right_n, sure_n, (1 - sure_n) / 9))
        predictions.append(pd.DataFrame({**cell, "sample_id": np.arange(sequences), "length": length_n, **answers}))
        names = [(split, metric) for split in ("train", "validation", "test") for metric in ("accuracy", "loss")]
        for split, metric in names:
            values = 1 - 1 / (1 + np.arange(1, EPOCHS + 1) + generator.random(EPOCHS))
            line = {**cell, "epoch": range(1, EPOCHS + 1), "split": split, "metric": metric}
            curves.append(pd.DataFrame({**line, "value": values}))
        accuracy = float(right_n.mean())
        identity = dict.fromkeys(("config_hash", "code_digest"), model)
        identity |= dict.fromkeys(
            ("dataset", "data_digest", "shared_code_digest", "torch_version", "precision", "device"), "-"
        )
        accuracies = dict.fromkeys(("best_accuracy", "final_accuracy", "test_accuracy"), accuracy)
        numbers = {
            "parameters": 1000,
            "best_epoch": 1,
            "epochs": EPOCHS,
            "epoch_seconds": 1.0,
            "total_seconds": 1.0,
        }
        rows.append({**cell, "status": "FINISHED", **identity, **accuracies, **numbers})
    return Results(
        pd.DataFrame(rows),
        pd.concat(curves, ignore_index=True),
        pd.concat(predictions, ignore_index=True),
        plan=Plan(),
    )


def trial_lines(*, quick: bool) -> list[Line]:
    """Return the seconds of the first and of the last trials of a search, including the training on 32 sequences."""
    del quick  # only late trials are informative: the section is left out of the quick benchmark
    seconds = time_trials()
    parts = {"first": seconds[:TRIALS_SHOWN], "last": seconds[-TRIALS_SHOWN:]}
    return [
        Line(name=f"a trial on SQLite, {which} {TRIALS_SHOWN} of {TRIALS}", unit="s", values=tuple(values))
        for which, values in parts.items()
    ]


def time_trials() -> list[float]:
    """Return the seconds from each trial to the next in a search with a minimal training."""
    tree = {
        **TINY, "seeds": [0], "design": "random", "trials": TRIALS,
        "train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    }  # fmt: skip
    with workplace(warm=True):
        file = Path("search.json")
        file.write_text(json.dumps(tree), encoding="utf-8")
        study, tracker = load_ablation(file), connect("sqlite:///mlflow.db")
        with conduct(study, tracker, storage="sqlite:///optuna.db", workers=1, device="cpu") as (_, queue):
            trials = queue.trials()
    times = [*(trial.datetime_start for trial in trials), trials[-1].datetime_complete]
    return [(after - before).total_seconds() for before, after in pairwise(times)]  # type: ignore[operator]
