from dataclasses import replace

import pandas as pd
import pytest

from pipeline.comparison import compare
from pipeline.errors import UsageError
from pipeline.probes import tables as module
from pipeline.probes.registry import PROBES
from pipeline.settings import build_run
from pipeline.stored_study import find_study, load_results
from pipeline.study import Cell, load_study
from pipeline.tracking import MemoryTracker
from pipeline.train import run_cell

SMALL = {
    "data.name": "mnist_sample",
    "data.max_events": 12,
    "model.hidden_dim": 8,
    "model.embedding.dim": 4,
    "train.batch_size": 64,
    "train.epochs": 1,
}


@pytest.fixture
def cell(memory):
    """A finished run in memory: its id, model and seed."""
    outcome = run_cell(Cell("position", build_run(SMALL)), memory, device="cpu", report=lambda *_: None)
    return outcome.run_id, "position", 0


def test_every_probe_measures_every_run_of_a_study_once(memory, monkeypatch):
    study = load_study(None, models=("position", "kan_mammote"), seeds=[0], overrides=SMALL)
    compare(study, memory, workers=1, device="cpu")
    tables = load_results(find_study(memory), memory, allow_missing=False).probes
    tables.pop("events", None)  # only where the models part
    assert set(tables) == set(PROBES)
    for name, table in tables.items():
        assert set(table["model"]) == (
            {"kan_mammote"} if name in ("gates", "frequencies") else {"position", "kan_mammote"}
        )
    assert set(tables["encoding"]["trained"]) == {True, False}
    true = tables["time_use"].query("alteration == 'true times'")
    assert (true["unchanged"] == 1).all()
    assert (tables["anytime"].query("events == 0")["accuracy"].to_numpy() == true["accuracy"].to_numpy()).all()

    monkeypatch.setattr(module, "predict", None)  # nothing is computed again
    again = load_results(find_study(memory), memory, allow_missing=False).probes
    assert all(again[name].equals(table) for name, table in tables.items())


def test_the_events_of_chosen_test_sequences_are_those_of_the_data(cell, memory):
    test = build_run(SMALL).data.load().test
    table = module.event_table(cell[0], [2, 7], memory)
    assert {sample: of.tolist() for sample, of in table.groupby("sample_id")["time"]} == {
        sample: test.times[test.offsets[sample] : test.offsets[sample + 1]].tolist() for sample in (2, 7)
    }
    assert set(table["horizon"]) == {784}


def test_nothing_is_told_of_a_run_whose_data_have_changed(cell, memory):
    digest = memory.get(cell[0]).tags["data_digest"]
    memory.set_tags(cell[0], {"data_digest": "other"})
    assert module.event_table(cell[0], [2], memory).empty
    assert module.probe_tables([cell], memory) == {}
    memory.set_tags(cell[0], {"data_digest": digest})
    assert set(module.probe_tables([cell], memory)) == set(PROBES)


def test_a_model_that_no_longer_predicts_what_it_stored_is_not_measured(cell, memory, monkeypatch):
    original = module.predict
    monkeypatch.setattr(module, "predict", lambda model, dataset: -original(model, dataset))
    assert module.probe_tables([cell], memory) == {}
    monkeypatch.setattr(module, "predict", original)
    assert set(module.probe_tables([cell], memory)) == set(PROBES)


def test_a_run_without_its_weights_is_not_measured_where_it_never_had_any_and_named_where_it_lost_them(
    cell, memory, monkeypatch
):
    fetch_all = MemoryTracker.fetch_all

    def without(self, run_id, paths):
        return fetch_all(self, run_id, [path for path in paths if path != "checkpoints/best.pt"])

    with monkeypatch.context() as patched:
        patched.setattr(MemoryTracker, "fetch_all", without)
        with pytest.raises(UsageError, match=r"checkpoints/best\.pt must be there, got none"):
            module.probe_tables([cell], memory)
        patched.delitem(memory.get(cell[0]).tags, "sha256/checkpoints/best.pt")
        assert module.probe_tables([cell], memory) == {}
    assert set(module.probe_tables([cell], memory)) == set(PROBES)


def test_the_tables_of_a_run_are_fetched_in_one_call(cell, memory, monkeypatch):
    first = module.probe_tables([cell], memory)
    fetch_all, calls = MemoryTracker.fetch_all, []

    def counted(self, run_id, paths):
        calls.append(run_id)
        return fetch_all(self, run_id, paths)

    monkeypatch.setattr(MemoryTracker, "fetch_all", counted)
    for other in ("get", "log_file"):
        monkeypatch.setattr(MemoryTracker, other, None)
    again = module.probe_tables([cell, cell], memory)
    assert calls == [cell[0], cell[0]]
    for name, table in first.items():
        pd.testing.assert_frame_equal(again[name], pd.concat([table, table], ignore_index=True))


def test_a_probe_that_is_new_is_measured_beside_the_tables_that_are_there(cell, memory, monkeypatch):
    known = {name: PROBES[name] for name in ("anytime", "kernel")}
    monkeypatch.setattr(module, "PROBES", known)
    module.probe_tables([cell], memory)
    monkeypatch.setattr(module, "PROBES", {**known, "encoding": PROBES["encoding"]})
    stored = []
    monkeypatch.setattr(module, "_store", lambda _table, path, *_: stored.append(path.split("-")[0]))
    assert set(module.probe_tables([cell], memory)) == {"anytime", "kernel", "encoding"}
    assert stored == ["probes/encoding"]


# ------------------------------------------------------------------------------------------ what is measured again

KEEPS = {
    "a comment in what it uses": ("time_use", "pipeline/probes/alterations.py", r"\n    ends = ", "\n    # Ends.\\g<0>"),
    "its docstring": ("time_use", "pipeline/probes/time_use.py", "Return the accuracy under", "Give the accuracy under"),
    "a message": ("time_use", "pipeline/data/events.py", "batch.times: must be", "batch.times: has to be"),
    "another probe of its file": ("time_use", "pipeline/probes/time_use.py", r"PREFIXES = \(5, ", "PREFIXES = (4, "),
    "a probe of another file": ("time_use", "pipeline/probes/microscope.py", "WINDOWS = 28", "WINDOWS = 27"),
    "an alteration": ("encoding", "pipeline/probes/alterations.py", "horizon // 2", "horizon // 3"),
    "a new probe": ("time_use", "pipeline/probes/registry.py", r'"anytime": Probe', '"other": Probe(anytime), \\g<0>'),
    "the code of the model, which its run is known by": ("time_use", "models/classifier.py", "COST_EVENTS = 100", "COST_EVENTS = 9"),
    "the frequencies of an embedding": ("gates", "models/time_embeddings/lete.py", r"self\.time_factor \*", "2 * \\g<0>"),
    "how data are cut for training": ("encoding", "pipeline/data/events.py", r"clamp\(max=max_events\)", "clamp(max=max_events + 1)"),
    "how closely a model must repeat itself": ("time_use", "pipeline/probes/tables.py", "LEAST_AGREEMENT = 0.98", "LEAST_AGREEMENT = 0.9"),
}  # fmt: skip

CHANGES = {
    "the probe": ("anytime", "pipeline/probes/time_use.py", r"dataset\.lengths > events\)", "dataset.lengths >= events)"),
    "a function that it calls": ("time_use", "pipeline/probes/time_use.py", r"\(answers == truth\)", "(answers != truth)"),
    "an alteration": ("time_use", "pipeline/probes/alterations.py", "horizon // 2", "horizon // 3"),
    "a value of an alteration": ("time_use", "pipeline/probes/alterations.py", r"_shift\(28\)", "_shift(27)"),
    "how the altered is made legal": ("time_use", "pipeline/probes/alterations.py", r"np\.rint\(changed\)", "np.floor(changed)"),
    "the stream of chance": ("time_use", "pipeline/seeding.py", r'"/"\.join', '"-".join'),
    "how answers are asked for": ("anytime", "pipeline/training/evaluation.py", r"model\.eval\(\)", "model.train()"),
    "a method of the data": ("anytime", "pipeline/data/events.py", r"clamp\(max=max_events\)", "clamp(max=max_events + 1)"),
    "what a card computes": ("encoding", "models/cards.py", "CONSTANT = 1e-6", "CONSTANT = 1e-5"),
    "a constant of its file": ("encoding", "pipeline/probes/microscope.py", '"dt_10": 0.1', '"dt_10": 0.2'),
    "the frequencies of an embedding": ("frequencies", "models/time_embeddings/lete.py", r"self\.time_factor \*", "2 * \\g<0>"),
    "what those are computed with": ("frequencies", "models/kmote.py", "else 2 / horizon", "else 1 / horizon"),
    "how many sequences it sees": ("kernel", "pipeline/probes/tables.py", "SEQUENCES = 300", "SEQUENCES = 301"),
    "which sequences it sees": ("time_use", "pipeline/data/split.py", r"rank \+ 0\.5", "rank + 0.25"),
    "how the model before training starts": ("encoding", "pipeline/probes/tables.py", r'"init"\):', '"start"):'),
}  # fmt: skip


def name_of(probe):
    return module._digest(PROBES[probe])


@pytest.mark.parametrize("what", KEEPS)
def test_an_edit_that_a_probe_does_not_execute_keeps_its_table(source, what):
    probe, *edit = KEEPS[what]
    before = name_of(probe)
    source(*edit)
    assert name_of(probe) == before


@pytest.mark.parametrize("what", CHANGES)
def test_an_edit_of_what_a_probe_executes_has_it_measured_again(source, what):
    probe, *edit = CHANGES[what]
    before = name_of(probe)
    source(*edit)
    assert name_of(probe) != before


def test_every_entry_of_a_registry_that_a_probe_uses_counts(source):
    listed = "def one():\n    return 1\n\n\nFUNCTIONS = {'one': one}\n\n\ndef anytime("
    source("pipeline/probes/time_use.py", r"def anytime\(", listed)
    source("pipeline/probes/time_use.py", r"in \(\*\(k for k in PREFIXES", "in (*FUNCTIONS, *(k for k in PREFIXES")
    before = name_of("anytime"), name_of("time_use")
    source("pipeline/probes/time_use.py", "return 1", "return 2")
    assert (name_of("anytime") != before[0], name_of("time_use") == before[1]) == (True, True)


def test_a_probe_that_is_also_measured_before_training_has_another_table():
    probe = PROBES["encoding"]
    assert module._digest(probe) != module._digest(replace(probe, before_training=False))
