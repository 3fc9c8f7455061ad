import sys

import pytest
import torch

from analysis import run_analyses
from analysis.analyses.registry import ANALYSES
from models.classifier import LSTMConfig
from pipeline import bench
from pipeline.bench.lstm import operations_of
from pipeline.settings import build_run
from pipeline.training.start import start


def test_the_usual_recipe_computes_what_ours_computes():
    config = build_run({"data.name": "mnist_sample", "model.dropout": 0})
    splits = config.data.load()
    ours = start(config, splits, torch.device("cpu")).model
    batch = splits.test.batch(torch.arange(64))
    usual = bench.PackedClassifier(ours)
    mine, theirs = (model(batch.times, None, batch.lengths) for model in (ours, usual))
    torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-5)
    gradients = [torch.autograd.grad(logits.logsumexp(1).sum(), list(ours.parameters())) for logits in (mine, theirs)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_ratios_are_taken_within_rounds():
    seconds = {bench.RECIPE: [8.0, 80.0, 8.0], bench.OURS: [1.0, 10.0, 1.0], "other": [2.0, 20.0, 2.0]}
    name, rate, _, faster, slower = bench._row("other", seconds)
    assert (name, faster, slower) == ("other", "4.0x", "2.00x")
    assert rate == f"{bench.BATCHES * 128 / 2:.0f}"


def test_the_time_of_help_is_that_of_a_process(monkeypatch):
    began, started = iter([1.0, 1.25, 7.0, 7.5]), []
    monkeypatch.setattr(bench.time, "perf_counter", began.__next__)
    monkeypatch.setattr(bench.subprocess, "run", lambda command, **options: started.append((command, options["check"])))
    assert bench.time_help(rounds=2) == [0.25, 0.5]
    assert started == [([sys.executable, "-m", "pipeline", "--help"], True)] * 2


def test_the_made_up_study_is_analysed_whole():
    findings = run_analyses(bench.made_up_study(runs=4, models=2, sequences=300))
    assert [finding.name for finding in findings] == list(ANALYSES)
    models = findings[0].tables["models"]
    assert models["seeds"].tolist() == [2, 2]
    assert models["test_accuracy_mean"].between(0.9, 1).all()


def test_the_operations_of_an_update_are_those_of_the_closed_form():
    # Forward: 4 H x H products of 2 operations a number, one in the first layer and two in the second; backward twice that.
    assert operations_of(LSTMConfig(hidden_dim=3, num_layers=2), events=10) == 10 * 3 * (3 * 2 * 4 * 3 * 3)


@pytest.mark.parametrize("compilable", [True, False])
def test_what_is_told_of_the_lstm_is_the_ratio_within_a_round(compilable, monkeypatch, capsys):
    monkeypatch.setattr(bench, "can_compile", lambda: compilable)
    sample = build_run({"data.name": "mnist_sample", "train.batch_size": 8})
    monkeypatch.setattr(bench, "_training_data", lambda _: (sample, sample.data.load()))
    bench._tell_of_lstm({bench.IN_TORCH: [3.0, 40.0, 5.0], bench.OURS: [2.0, 20.0, 2.0]})
    said = "".join(capsys.readouterr())
    assert ("2.00x" in said) == compilable
    assert ("GFLOP/s" in said) == compilable
    assert ("not compiled" in said) != compilable
