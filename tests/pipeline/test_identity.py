"""A run keeps its identity where nothing that decides its numbers has changed, and loses it where something has."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from pipeline import identity as identity_module
from pipeline.identity import ROOT, code_digest, identity
from pipeline.machine import resolve_precision
from pipeline.settings import build_run
from pipeline.training.evaluation import predict
from pipeline.training.loop import fit
from pipeline.training.start import start

SMALL = {
    "data.name": "mnist_sample",
    "data.max_events": 12,
    "model.hidden_dim": 8,
    "model.embedding.dim": 4,
    "train.batch_size": 64,
    "train.epochs": 2,
}


def config(**settings):
    return build_run({**SMALL, **{key.replace("__", "."): value for key, value in settings.items()}})


def cell_of(settings):
    built = config(**settings)
    return identity(built, built.data.load(), "cpu")["cell"]


KEEPS = {
    "a message": ("pipeline/training/loop.py", "Lower train.learning_rate", "Try a lower train.learning_rate"),
    "a message of a model": ("models/time_embeddings/position.py", r'ModelError\(\n\s+f"', r"\g<0>Please note: "),
    "a comment": ("pipeline/training/loop.py", r"(\n +)optimizer\.step\(\)", r"\1# The update.\1optimizer.step()"),
    "a docstring": ("pipeline/training/evaluation.py", "Return the log-probabilities", "Give the log-probabilities"),
    "an annotation": ("pipeline/training/batches.py", r"number: int\) -> list\[Tensor\]", "number: object) -> object"),
    "the layout": ("pipeline/training/choice.py", r"bool\(patience and history\)", "bool(\n        patience\n        and history\n    )"),
    "a reader": ("pipeline/data/events_file.py", r"def _listed\(columns", "def read_excel():\n    return 1\n\n\n\\g<0>"),
    "a check of the data": ("pipeline/data/events.py", r"LARGEST_SHORT = 32767", "LARGEST_SHORT = 32766"),
    "another embedding": ("models/time_embeddings/lete.py", r"HARMONICS = 5", "HARMONICS = 6"),
    "an expert of another embedding": ("models/basis.py", r"FREQUENCY_JITTER = ", "FREQUENCY_JITTER = 2 * "),
    "an optimiser that is not used": ("pipeline/training/optimizers.py", "momentum=0.9", "momentum=0.8"),
    "a new optimiser": ("pipeline/training/optimizers.py", r'"sgd": sgd', '"sgd": sgd, "momentum": sgd'),
    "a schedule that is not used": ("pipeline/training/schedules.py", r"\* epoch / epochs", "* epoch / epochs / 2"),
    "the choice of a device": ("pipeline/machine.py", 'device == "auto"', 'device in ("auto", "")'),
    "what is logged": ("pipeline/run_record.py", 'splits = \\[split for split in \\("train"', 'splits = [split for split in ("test"'),
    "a diagnostic": ("models/time_embeddings/base.py", "return {}", 'return {"one": 1.0}'),
    "the frequencies that it tells": ("models/time_embeddings/base.py", r"new_zeros\(0\)", "new_zeros(1)"),
    "a new setting": ("models/classifier.py", r"num_layers: int = Field\(2, ge=1, le=1000\)", r"\g<0>\n    bidirectional: bool = False"),
    "the streams that vary together": ("pipeline/seeding.py", 'if vary == "all"', 'if vary == "every"'),
    "what they are drawn from": ("pipeline/training/loop.py", r'seed_of\(config\.seed, config\.train\.vary, "dropout"\)', "config.seed"),
    "what patience counts": ("pipeline/training/choice.py", '"validation/loss": 0.0', '"validation/loss": 1.0'),
    "a validator of a config": ("models/classifier.py", "if self.shuffle_times and not", "if self.shuffle_times or not"),
}  # fmt: skip

CHANGES = {
    "an operator in the loop": ("pipeline/training/loop.py", r"len\(part\) / len\(indices_B\)", "len(part) * len(indices_B)"),
    "the order of the data": ("pipeline/training/batches.py", r"split\(size\)\)\n\n\ndef bucketed", "split(size + 1))\n\n\ndef bucketed"),
    "the cutting of the LSTM": ("models/classifier.py", "CALL_COST_EVENTS = 100", "CALL_COST_EVENTS = 101"),
    "the compiled recurrence": ("models/lstm/recurrence.py", "if waiting.filled", "if 2 * waiting.filled"),
    "a kernel that it calls": ("models/lstm/cell.py", r"f\[j\] \* cell_before\[j\] \+", "f[j] * cell_before[j] -"),
    "the compiled product": ("models/lstm/product.py", "ROWS_AT_ONCE = 16", "ROWS_AT_ONCE = 8"),
    "an elementary function": ("models/compilation.py", "TANH_SMALL = np.float32\\(0.625\\)", "TANH_SMALL = np.float32(0.5)"),
    "the recurrence": ("models/classifier.py", r"outputs, states\[depth\] = layer", "outputs, states[0] = layer"),
    "this embedding": ("models/time_embeddings/position.py", r"nn\.functional\.embedding|nn\.Embedding", r"1 * \g<0>"),
    "the base of this embedding": ("models/time_embeddings/base.py", r"times_U \* self\.time_factor", "times_U / self.time_factor"),
    "the seeding": ("pipeline/seeding.py", r'"/"\.join', '"-".join'),
    "the batch": ("pipeline/data/events.py", r"max\(int\(lengths_B\.max\(\)\), 1\)", "max(int(lengths_B.max()), 2)"),
    "the choice of the epoch": ("pipeline/training/choice.py", r"-row\[\"epoch\"\]", 'row["epoch"]'),
    "the evaluation": ("pipeline/training/evaluation.py", r"model\.eval\(\)", "model.train()"),
    "the optimiser": ("pipeline/training/optimizers.py", r"AdamW\)\(weights, lr=config", "AdamW)(weights, lr=2 * config"),
    "the groups of weights": ("pipeline/training/optimizers.py", r"frequency_rate < 1 else set", "frequency_rate < 2 else set"),
}  # fmt: skip


@pytest.mark.parametrize("what", KEEPS)
def test_an_edit_that_decides_no_number_keeps_the_identity(source, what):
    before = code_digest(config())
    source(*KEEPS[what])
    assert code_digest(config()) == before


@pytest.mark.parametrize("what", CHANGES)
def test_an_edit_that_decides_numbers_changes_the_identity(source, what):
    before = code_digest(config())
    source(*CHANGES[what])
    assert code_digest(config()) != before


@pytest.mark.parametrize("what", ["the streams that vary together", "what they are drawn from"])
def test_a_run_whose_streams_vary_apart_is_identified_by_how_they_do(source, what):
    apart = config(train__vary="init")
    before = code_digest(apart)
    source(*KEEPS[what])
    assert code_digest(apart) != before


def test_a_run_that_patience_may_end_is_identified_by_what_patience_counts(source):
    patient = config(train__patience=1)
    before = code_digest(patient)
    source(*KEEPS["what patience counts"])
    assert code_digest(patient) != before


def test_an_embedding_is_identified_by_the_experts_that_it_builds_with(source):
    mixture = config(model__embedding__name="kan_mammote")
    before = code_digest(mixture)
    source("models/basis.py", "FREQUENCY_JITTER = ", "FREQUENCY_JITTER = 2 * ")
    assert code_digest(mixture) != before


def test_where_a_file_lies_is_no_part_of_the_identity(tmp_path):
    for package in ("models", "pipeline", "analysis"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "models/bases").mkdir()
    shutil.move(tmp_path / "models/basis.py", tmp_path / "models/bases/functions.py")
    (tmp_path / "models/bases/__init__.py").write_text("")
    for path in tmp_path.rglob("*.py"):
        path.write_text(path.read_text().replace("models.basis", "models.bases.functions"))
    script = (
        "from pipeline.identity import code_digest; from pipeline.settings import build_run;"
        "print(*[code_digest(build_run({'model.embedding.name': name})) for name in ('lete', 'kmote')])"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1"}
    moved = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    here = [code_digest(build_run({"model.embedding.name": name})) for name in ("lete", "kmote")]
    assert moved.stdout.split() == here


@pytest.mark.parametrize(
    "settings",
    [
        {"train__epochs": 3},
        {"seed": 1},
        {"train__vary": "order"},
        {"train__precision": "bf16"},
        {"data__threshold": 0.5},
    ],
)
def test_whatever_decides_the_numbers_is_in_the_identity(monkeypatch, settings):
    monkeypatch.setattr("pipeline.machine.has_bf16", lambda _: True)
    assert cell_of({}) != cell_of(settings)


def test_what_an_lstm_runs_in_is_in_its_identity_and_in_no_other(monkeypatch):
    models = [{}, {"model__name": "gru"}]
    cells = {}
    for found in (True, False):
        monkeypatch.setattr("models.lstm.choice.can_compile", lambda found=found, **_: found)
        cells[found] = [cell_of(settings) for settings in models]
        built = config()
        assert identity(built, built.data.load(), "cpu")["lstm_kernel"] == ("compiled" if found else "torch")
    assert cells[True][0] != cells[False][0]
    assert cells[True][1] == cells[False][1]


KMOTE = {"model__embedding__name": "kmote"}
MAMMOTE = {"model__embedding__name": "kan_mammote", "model__embedding__hidden_dim_mamba": 4}
IDLE = {
    "precision as it is resolved": ({}, {"train__precision": resolve_precision("auto", torch.device("cpu"))}),
    "patience that never ends a run": ({}, {"train__patience": 2}),
    "a step after the last epoch": ({}, {"train__scheduler__step_size": 2}),
    "a constant schedule and a step after the last epoch": ({}, {"train__scheduler__name": "constant"}),
    "streams that vary together": ({}, {"train__vary": "together"}),
    "a reduction by the factor 1": ({"train__scheduler__decay": 1.0}, {"train__scheduler__decay": 1.0, "train__scheduler__step_size": 1}),
    "a rate of frequencies without frequencies": ({}, {"train__frequency_rate": 1.0}),
    "the size of a uniform router": (
        {**KMOTE, "model__embedding__router": "uniform"},
        {**KMOTE, "model__embedding__router": "uniform", "model__embedding__k_top": 3, "model__embedding__load_balance": 1.0},
    ),
    "the router of one expert": (
        {**KMOTE, "model__embedding__num_experts": 1, "model__embedding__k_top": 1},
        {**KMOTE, "model__embedding__num_experts": 1, "model__embedding__k_top": 1, "model__embedding__router": "uniform"},
    ),
    "kinds of experts that are not built": (
        {**KMOTE, "model__embedding__num_experts": 2, "model__embedding__experts": "fourier+gaussian"},
        {**KMOTE, "model__embedding__num_experts": 2, "model__embedding__experts": "fourier+gaussian+wavelet",
         "model__embedding__wavelet": "morlet", "model__embedding__kan_grid_size": 7},
    ),
    "the weight of no drive": (
        {**MAMMOTE, "model__embedding__delta_mode": "none"},
        {**MAMMOTE, "model__embedding__delta_mode": "kan_diff", "model__embedding__gamma": 0.0, "model__embedding__kan_grid_max": 3.0},
    ),
    "the width of no Mamba block": (
        {**MAMMOTE, "model__embedding__num_mamba_layers": 0},
        {**MAMMOTE, "model__embedding__num_mamba_layers": 0, "model__embedding__hidden_dim_mamba": 8},
    ),
}  # fmt: skip


def answers(settings):
    """Return what a model of these settings answers after its training."""
    built = config(**settings)
    splits = built.data.load()
    training = start(built, splits, torch.device("cpu"))
    list(fit(training, splits, built, "fp32"))
    return predict(training.model, splits.test)


@pytest.mark.parametrize("what", IDLE)
def test_settings_that_do_nothing_together_do_not_make_another_run(what):
    one, other = IDLE[what]
    assert cell_of(one) == cell_of(other)
    assert torch.equal(answers(one), answers(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"model__embedding__name": "lete"}, {"model__embedding__name": "lete", "train__frequency_rate": 1.0}),
        ({}, {"train__scheduler__step_size": 1}),
        ({}, {"train__patience": 1}),
        (KMOTE, {**KMOTE, "model__embedding__k_top": 3}),
        (MAMMOTE, {**MAMMOTE, "model__embedding__kan_grid_size": 6}),
    ],
)
def test_the_same_settings_make_another_run_where_they_do_something(one, other):
    assert cell_of(one) != cell_of(other)


def test_the_code_of_a_model_is_looked_up_once_a_process(monkeypatch):
    from models.classifier import LSTMConfig  # noqa: PLC0415

    build, built = LSTMConfig.build, []
    monkeypatch.setattr(LSTMConfig, "build", lambda self, **shape: built.append(self) or build(self, **shape))
    for looked_up in (identity_module._code, identity_module._built):
        looked_up.cache_clear()  # another test may have had the same model
    one, other = (code_digest(config(seed=seed, model__hidden_dim=9)) for seed in (0, 1))
    assert one == other
    assert len(built) == 1
