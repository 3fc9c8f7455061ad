import json
import os
import shutil
import sys
from contextlib import nullcontext

import pytest
import torch

from analysis import run_analyses
from analysis.analyses.registry import ANALYSES
from models.classifier import LSTMConfig
from models.time_embeddings import TIME_EMBEDDINGS
from pipeline.bench import command, growth, processes, published, registry, rounds, store, studies, tracking, training
from pipeline.bench.command import bench
from pipeline.bench.lines import Line, at_least, at_most
from pipeline.bench.lstm import operations_of
from pipeline.bench.page import BEGIN, END, measured_part, read_page, write
from pipeline.bench.record import Measured, Origin, Record, read_record
from pipeline.bench.registry import SECTIONS, Section
from pipeline.errors import RunError, UsageError
from pipeline.identity import ROOT
from pipeline.settings import build_run
from pipeline.study import load_run
from pipeline.tracking import MemoryTracker
from pipeline.training.start import start


def same_answers(usual, ours, batch):
    mine, theirs = (model(batch.times, None, batch.lengths) for model in (ours, usual))
    torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-5)
    gradients = [torch.autograd.grad(logits.logsumexp(1).sum(), list(ours.parameters())) for logits in (mine, theirs)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_the_usual_recipe_computes_what_ours_computes():
    config = build_run({"data.name": "mnist_sample", "model.dropout": 0})
    splits = config.data.load()
    ours = start(config, splits, torch.device("cpu")).model
    same_answers(training.PackedClassifier(ours), ours, splits.test.batch(torch.arange(64)))


def test_the_recipe_of_the_lete_authors_computes_what_ours_computes_on_the_same_batches():
    sample = {"data.name": "mnist_sample", "data.validation_size": 0}
    config = load_run(ROOT / "config" / "lete_paper.json", sample, "lete")
    splits = config.data.load()
    ours = start(config, splits, torch.device("cpu")).model
    batch = splits.train.batch(torch.arange(16))
    same_answers(published.PublishedClassifier(ours), ours, batch)
    sequences = published.Sequences(splits.train)
    times, lengths, labels = published.collate([sequences[number] for number in range(16)])
    assert all(map(torch.equal, (times, lengths, labels), (batch.times, batch.lengths, batch.labels)))


def test_both_lete_recipes_learn_the_same_from_the_same_start(monkeypatch):
    sample = {"data.name": "mnist_sample", "data.validation_size": 0, "train.batch_size": 16, "train.epochs": 2}
    config = load_run(ROOT / "config" / "lete_paper.json", sample, "lete")
    splits, models = training.first_sequences(config, 32), []

    def kept(*arguments):
        models.append(start(*arguments))
        return models[-1]

    monkeypatch.setattr(published, "start", kept)
    taken = [list(epochs) for epochs in (published._ours(config, splits, "fp32"), published._authors(config, splits))]
    assert [len(seconds) for seconds in taken] == [2, 2]
    untrained = start(config, splits, torch.device("cpu")).model.head.weight
    ours, theirs = (one.model.head.weight for one in models)
    assert not torch.allclose(ours, untrained, atol=1e-4)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


def test_ratios_are_taken_within_rounds_and_every_model_has_its_target():
    seconds = {name: [2.0, 20.0, 2.0] for name in (training.BF16, *(f"{name}, fp32" for name in training.MODELS))}
    seconds |= {training.RECIPE: [8.0, 80.0, 8.0], training.OURS: [1.0, 10.0, 1.0]}
    lines = {line.name: line for line in training.lines_of_training(seconds, sequences=100)}
    assert lines["sincos, fp32"].values == (50, 5, 50)
    assert lines["speed against the usual recipe: sincos, fp32"].values == (4, 4, 4)
    assert lines["step against position: lete"].values == (2, 2, 2)
    assert {name: line.target for name, line in lines.items() if line.target} == {
        "speed against the usual recipe: position, fp32": at_least(10),
        "speed against the usual recipe: position, bf16": at_least(12),
        "step against position: sincos": at_most(1.1),
        "step against position: lete": at_most(1.1),
        "step against position: kan_mammote": at_most(1.5),
    }


def test_every_side_runs_in_every_round_and_the_first_round_is_thrown_away():
    called = []

    def turn(name):
        called.append(name)
        return float(len(called))

    seconds = rounds.alternate({name: lambda name=name: turn(name) for name in "ab"}, rounds=3)
    assert called == list("ababbaba")
    assert seconds == {"a": [3, 6, 8], "b": [4, 5, 7]}


def test_every_encoding_but_the_table_itself_has_a_line(monkeypatch):
    monkeypatch.setattr(training, "side", lambda name, *_: lambda: 1.0 + (name == "lete"))
    lines = {line.name: line for line in training.encoding_lines(quick=False)}
    assert set(lines) == set(TIME_EMBEDDINGS) - {"position"}
    assert set(lines["lete"].values) == {2.0}
    assert (lines["lete"].target, lines["kan_mammote"].target) == (at_most(1.1), at_most(1.5))


@pytest.mark.parametrize("compilable", [True, False])
def test_what_is_told_of_the_lstm_is_the_ratio_within_a_round(compilable, monkeypatch):
    sample = build_run({"data.name": "mnist_sample", "train.batch_size": 8})
    monkeypatch.setattr(training, "can_compile", lambda: compilable)
    monkeypatch.setattr(training, "training_data", lambda *_: (sample, sample.data.load()))
    monkeypatch.setattr(training, "has_bf16", lambda _: True)
    seconds = {training.IN_TORCH: [3.0, 40.0], training.OURS: [2.0, 20.0], training.BF16: [1.0, 10.0]}
    monkeypatch.setattr(
        training,
        "alternate",
        lambda sides, _: {name: seconds.get(name) or [run(), run()] for name, run in sides.items()},
    )
    monkeypatch.setattr(training, "operations_of", lambda *_: 10**9)
    monkeypatch.setattr(training, "rate_of_product", lambda *_: 10**9)
    lines = {line.name: line.values for line in training.lstm_lines(quick=True)}
    assert lines.pop("bf16 against torch's LSTM in fp32, whole update") == (3, 4)
    assert lines == (
        {
            "compiled LSTM against torch's, whole update": (1.5, 2),
            "share of the update that its products alone would take": (50, 5),
            "product of 128 rows, 128 x 512": (1, 1),
        }
        if compilable
        else {training.IN_TORCH: (3, 40)}
    )


def test_the_operations_of_an_update_are_those_of_the_closed_form():
    # Forward: 4 H x H products of 2 operations a number, one in the first layer and two in the second; backward twice that.
    assert operations_of(LSTMConfig(hidden_dim=3, num_layers=2), events=10) == 10 * 3 * (3 * 2 * 4 * 3 * 3)


def test_the_exponent_is_that_of_a_power_in_every_round():
    seconds = {count: [0.1 * count**1.5, 7.0 * count] for count in (1, 2, 4, 8)}
    assert growth.exponents_of(seconds) == pytest.approx((1.5, 1.0))


def test_growth_has_four_points_an_axis(monkeypatch):
    monkeypatch.setattr(growth, "build_run", lambda values: build_run({**values, "data.name": "mnist_sample"}))
    monkeypatch.setattr(growth, "QUICK_SEQUENCES", (8, 16, 24, 32))
    monkeypatch.setattr(growth, "LENGTHS", (1, 2, 3, 4))
    monkeypatch.setattr(growth, "QUICK_WIDTHS", (2, 3, 4, 5))
    monkeypatch.setattr(growth, "QUICK_FIXED", 8)
    lines = growth.growth_lines(quick=True)
    assert [line.name for line in lines[::5]] == ["sequences: exponent", "events of each: exponent", "width: exponent"]
    assert [line.name for line in lines[1:5]] == [f"sequences: {count}" for count in (8, 16, 24, 32)]
    assert [line.target for line in lines if line.unit == ""] == [at_most(1.05), at_most(1.05), None]
    assert all(value > 0 for line in lines if line.unit for value in line.values)


def test_tracking_is_what_mlflow_adds_to_the_same_cells(monkeypatch, workplace, empty_store):
    monkeypatch.setattr(rounds, "_ready_store", lambda: empty_store)
    monkeypatch.setattr(tracking, "ROUNDS", 1)
    monkeypatch.setitem(tracking.SETTINGS, "train.epochs", 1)
    monkeypatch.setattr(tracking, "side", lambda *_: lambda: 4 * 128 / (8000 + 0.35 * 3000))  # an epoch of a second
    lines = {line.name: line for line in tracking.tracking_lines(quick=False)}
    [tracked], [bare] = lines[tracking.MLFLOW].values, lines[tracking.MEMORY].values
    assert lines["with MLflow against in memory, this tiny training"].values == (tracked / bare,)
    [computed] = lines["with MLflow against in memory, 50 epochs of 8,000 images"].values
    assert computed == pytest.approx(1 + (tracked - bare) / 50)
    assert list(workplace.iterdir()) == []


def test_the_time_of_help_is_that_of_a_process(monkeypatch):
    began, started = iter([1.0, 1.25, 7.0, 7.5]), []
    monkeypatch.setattr(processes.time, "perf_counter", began.__next__)
    monkeypatch.setattr(
        processes.subprocess, "run", lambda command, **options: started.append((command, options["check"]))
    )
    assert processes.time_help(rounds=2) == [0.25, 0.5]
    assert started == [([sys.executable, "-m", "pipeline", "--help"], True)] * 2


def test_a_training_process_is_measured_over_one_that_imports_torch(monkeypatch, workplace):
    (workplace / "store").touch()
    monkeypatch.setattr(rounds, "_ready_store", lambda: workplace / "store")
    monkeypatch.setattr(processes.time, "monotonic", lambda: 10.0)
    said = {"import": "peak of 1000\n", "train": "first batch at 12.5\nepoch 1\npeak of 3000\n"}
    asked = []

    def run(_code, *arguments):
        asked.append(arguments)
        return said["train" if arguments else "import"]

    monkeypatch.setattr(processes, "_run", run)
    wait, cpu = processes.start_lines(quick=False)
    assert wait.values == (2.5,) * processes.STARTS
    assert len(cpu.values) == processes.STARTS
    assert len(set(asked)) == len(asked) == processes.STARTS + 1  # a cell that is trained already would not train
    over, training_process, torch_process = processes.memory_lines(quick=False)
    assert over.values == pytest.approx((2000 * 1024 / 1e6,) * processes.PEAKS)
    assert (training_process.median, torch_process.median) == pytest.approx((3.072, 1.024))


def test_a_store_is_asked_at_every_size_and_told_apart_from_a_server(monkeypatch, workplace):
    (workplace / "store").touch()
    trackers = {}

    def connect(uri=None):
        uri = uri or os.environ["MLFLOW_TRACKING_URI"]
        return trackers.setdefault(uri, MemoryTracker(workplace / f"artifacts{len(trackers)}"))

    monkeypatch.setattr(rounds, "_ready_store", lambda: workplace / "store")
    monkeypatch.setattr(store, "connect", connect)
    monkeypatch.setattr("pipeline.tracking.connect", connect)
    monkeypatch.setattr(store, "_server", lambda: nullcontext("http://there"))
    monkeypatch.setattr(store, "SIZES", (10, 20))
    monkeypatch.setattr(store, "HTTP_SIZES", (10,))
    monkeypatch.setattr(store, "CLAIMS", 2)
    lines = store.store_lines(quick=False)
    commands = ("compare, nothing to do", "ls studies", "analyze, reading the runs")
    sizes = [f"{size} runs, {kind}" for size, kind in ((10, "SQLite"), (20, "SQLite"), (10, "HTTP"))]
    claims = [f"claim of one of {size} trials, SQLite" for size in (10, 20)]
    assert [line.name for line in lines] == [f"{one}: {size}" for size in sizes for one in commands] + claims
    assert [line.name for line in lines if line.target] == ["compare, nothing to do: 20 runs, SQLite"]
    counts = [len(tracker.find(status="FINISHED", dataset="synthetic")) for tracker in trackers.values()]
    assert counts == [20, 10]  # what was made up for one size stays for the next


def test_a_process_that_fails_is_said_with_what_it_said():
    with pytest.raises(RunError, match=r"got code 3: so it is$"):
        processes._run("import sys; print('so it is', file=sys.stderr); sys.exit(3)")


def test_the_peak_of_a_process_is_its_own():
    small, large = (
        processes._told("peak of", processes._run(f"x = b'x' * {size}" + processes.PEAK)) for size in (1, 10**8)
    )
    assert 1024 * (large - small) == pytest.approx(1e8, rel=0.1)


def test_the_made_up_study_is_analysed_whole():
    findings = run_analyses(studies.made_up_study(runs=4, models=2, sequences=300))
    assert [finding.name for finding in findings] == [
        name for name in ANALYSES if name not in ("looks", "streams", "need", "advice")
    ]  # it has none, no control, and nobody was asked about it
    models = findings[0].tables["models"]
    assert models["seeds"].tolist() == [2, 2]
    assert models["test_accuracy_mean"].between(0.9, 1).all()


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        (Line(name="a", unit="x", values=(1, 2, 4), target=at_least(3)), ("2x", "1.5 - 3", "3", "at least 3x", "missed")),
        (Line(name="a", unit="s", values=(1234.5,), target=at_most(2000)), ("1,234 s", "-", "1", "at most 2,000 s", "met")),
        (Line(name="a", unit="x", values=(1,), target=at_least(2, "on X")), ("1x", "-", "1", "at least 2x on X", "")),
        (Line(name="a", unit="", values=(1.0,)), ("1", "-", "1", "", "")),
    ],
)  # fmt: skip
def test_a_line_stands_beside_its_target(line, cells):
    assert line.cells() == ("a", *cells, "")


@pytest.fixture
def measured(monkeypatch):
    """Sections that measure nothing, and the names of those that were asked, with whether they were to be quick."""
    asked = []

    def section(name, number, quick_seconds):
        def measure(*, quick):
            asked.append((name, quick))
            return [Line(name=f"line of {name}", unit="s", values=(number, len(asked)))]

        return Section(name.title(), f"How {name} is measured.", measure, 1, quick_seconds)

    sections = {name: section(name, number, name != "slow") for number, name in enumerate(("one", "slow", "two"))}
    for module in (command, registry, sys.modules["pipeline.bench.page"]):
        monkeypatch.setattr(module, "SECTIONS", sections)
    return asked


def test_every_section_is_asked_once_and_only_selects(measured, workplace, capsys):
    bench(output=workplace)
    bench(only=["two", "one"], output=workplace)
    bench(quick=True)
    assert measured == [
        ("one", False), ("slow", False), ("two", False), ("one", False), ("two", False), ("one", True), ("two", True),
    ]  # fmt: skip
    said = capsys.readouterr().out
    assert "left out by --quick, because they take minutes: slow." in said


@pytest.mark.parametrize(
    ("only", "quick", "said"), [(["tvo"], False, "Did you mean two?"), (["slow"], True, "got slow")]
)
def test_what_cannot_be_measured_is_refused_before_anything_is(measured, workplace, only, quick, said):
    with pytest.raises(UsageError, match=said):
        bench(only=["one", *only], quick=quick, output=workplace)
    assert measured == []
    assert list(workplace.iterdir()) == []


@pytest.mark.usefixtures("measured")
def test_all_but_a_quick_bench_writes_the_docs(workplace, monkeypatch):
    monkeypatch.setattr(command, "ROOT", workplace)
    bench(quick=True)
    assert list(workplace.iterdir()) == []
    bench(only=["two"])
    assert sorted(file.name for file in (workplace / "docs").iterdir()) == ["benchmarks.json", "benchmarks.md"]


@pytest.mark.usefixtures("measured")
def test_a_partial_bench_keeps_the_other_lines_and_what_people_wrote(workplace):
    bench(output=workplace)
    file = workplace / "benchmarks.md"
    file.write_text("By hand.\n" + file.read_text() + "\n## What was tried\n\nMuch.\n")
    before = read_record(workplace)
    bench(only=["two"], quick=True, output=workplace)
    after = read_record(workplace)
    assert [after.sections[name] == before.sections[name] for name in ("one", "slow", "two")] == [True, True, False]
    assert (before.sections["two"].origin.quick, after.sections["two"].origin.quick) == (False, True)
    text = file.read_text()
    assert text.startswith("By hand.\n# Benchmarks")
    assert text.endswith("\n## What was tried\n\nMuch.\n")
    assert [text.count(f"| line of {name} |") for name in ("one", "slow", "two")] == [1, 1, 1]
    assert "--only two --quick`" in text
    assert "--only one`" in text


@pytest.mark.usefixtures("measured")
def test_what_was_measured_before_one_failed_is_kept(workplace, monkeypatch):
    def fail(**_):
        raise RunError("bench: must end well, got none")

    monkeypatch.setitem(command.SECTIONS, "two", Section("Two", "", fail, 1))
    with pytest.raises(RunError):
        bench(output=workplace)
    assert list(read_record(workplace).sections) == ["one", "slow"]


def test_a_record_is_what_was_written(workplace):
    lines = (Line(name="a | b", unit="s", values=(1 / 3, 2e-9), target=at_most(1, "there"), note="a note"),)
    record = Record().with_section("help", Measured(origin=Origin.here(0.0, quick=False), lines=lines))
    write(record, workplace)
    assert read_record(workplace) == record
    assert measured_part(record) in (workplace / "benchmarks.md").read_text()
    assert r"| a \| b |" in measured_part(record)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("benchmarks.json", "{", "must be valid JSON"),
        ("benchmarks.json", '{"sections": {"one": {"lines": []}}}', "must be given"),
        ("benchmarks.md", "A page of somebody's own.", "must hold the lines <!-- benchmarks: begin -->"),
    ],
)
def test_files_that_are_no_benchmarks_are_left_alone(measured, workplace, name, text, said):
    (workplace / name).write_text(text)
    with pytest.raises(UsageError, match=said):
        bench(output=workplace)
    assert measured == []
    assert (workplace / name).read_text() == text


def test_the_page_of_the_docs_is_what_its_record_says(tmp_path):
    docs = ROOT / "docs"
    text = read_page(docs)
    assert text.split(BEGIN)[1].split(END)[0] == measured_part(read_record(docs))
    assert "## What was tried and did not help" in text.split(END)[1]
    for file in ("benchmarks.json", "benchmarks.md"):
        shutil.copy(docs / file, tmp_path)
    write(read_record(tmp_path), tmp_path)
    assert (tmp_path / "benchmarks.md").read_text() == text
    assert json.loads((tmp_path / "benchmarks.json").read_text())["sections"].keys() == SECTIONS.keys()
