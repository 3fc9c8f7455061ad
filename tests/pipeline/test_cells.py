"""Which cells are offered to workers, and what becomes of those that other processes have."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from math import inf
from types import SimpleNamespace

import pytest
import torch

from pipeline import cells as module
from pipeline.__main__ import main
from pipeline.cells import CellTask, Estimate, Offers
from pipeline.comparison import compare
from pipeline.errors import RunError, TimeUpError
from pipeline.place import ROOT
from pipeline.stored_study import STUDY_KIND, find_study
from pipeline.study import Cell, load_study
from pipeline.tracking import Connection, MemoryTracker, connect
from pipeline.train import run_cell


@pytest.fixture
def study(tiny):
    return load_study(None, models=["none", "sincos"], seeds=[0, 1], overrides=tiny)


def offers(study, *, seconds=0.0, ends=inf):
    tasks = [CellTask(cell, "cpu", None, "", probed=False) for cell in study.cells()]
    return Offers(tasks, lambda _: seconds, ends)


def test_a_cell_that_another_process_has_is_offered_again_after_all_others(study):
    given = offers(study)
    first = next(given)
    given.postpone(first)
    again = list(given)
    assert [task.cell.name for task in again] == ["sincos/seed-0", "none/seed-1", "sincos/seed-1", "none/seed-0"]
    assert [task.patience for task in again] == [0, 0, 0, module.BUSY_SECONDS]
    given.postpone(again[-1])  # it may have another one when a result has come
    assert next(given).cell.name == "none/seed-0"


def test_what_does_not_fit_into_the_time_is_not_offered(study):
    given = offers(study, seconds=100.0, ends=time.monotonic() + 120)
    assert list(given) == []
    assert len(given.left) == 4


def test_a_command_whose_time_is_over_says_what_is_left_and_goes_on_later(workplace, tiny, capsys, monkeypatch):
    (workplace / "own.json").write_text(json.dumps({**tiny, "seeds": [0, 1]}))
    command = ["compare", "--config", "own.json", "--models", "none", "--workers", "1"]
    assert main([*command, "--time-left", "5"]) == os.EX_TEMPFAIL
    said = capsys.readouterr().err
    assert re.fullmatch(
        r"stopped: --time-left: must suffice for all runs, got 2 of 2 that would last longer\. Run the same command again, "
        r"it goes on with them\.\n",
        said,
    )
    tracker = connect()
    [parent] = tracker.find(kind=STUDY_KIND)
    assert (parent.status, len(tracker.find())) == ("KILLED", 1)
    monkeypatch.setattr("pipeline.placement.EXTRA_SECONDS", 0.0)
    assert main([*command, "--time-left", "600"]) == 0
    assert [run.status for run in tracker.find()] == ["FINISHED"] * 3


def test_what_comes_before_the_first_epoch_of_a_cell_is_not_taken_for_an_epoch(memory, study, monkeypatch):
    clock, fit = SimpleNamespace(now=0.0), module.run_cell

    def waits(cell, *arguments, report, **named):
        def epoch(*told):
            clock.now += 1.0
            report(*told)

        clock.now += 1000.0
        return fit(cell, *arguments, report=epoch, **named)

    monkeypatch.setattr(module, "run_cell", waits)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    told = []
    cell = study.cells()[0]
    module._work(CellTask(cell, "cpu", Connection(memory), "", probed=False), told.append)
    assert [(name, took) for name, took, _ in told] == [(cell.name, None), (cell.name, 1.0)]


def test_a_time_that_an_epoch_took_decides_what_still_fits(memory, study, monkeypatch):
    """Of the first, of which nobody knows what it took, nothing is learned."""
    monkeypatch.setattr(
        module, "estimated", lambda cells, *_: Estimate({c.name: 2 for c in cells}, {c.name: 5.0 for c in cells})
    )
    tasks = [
        CellTask(cell, "cpu", Connection(memory), "", probed=False) for cell in study.cells() if cell.model == "none"
    ]
    identities = module.identities_of([task.cell for task in tasks], "cpu")

    def left(took):
        def launch(offers, _work, *, workers, notify):  # noqa: ARG001 - of every launcher
            for task in offers:
                notify((task.cell.name, took, "an epoch"))
                yield task, module.Outcome("run", reused=False)

        left = []
        list(module.train_cells(tasks, identities, module.Workers(1, launch, time.monotonic() + 600), left))
        return len(left)

    assert (left(None), left(1000.0)) == (0, 1)


def test_a_second_process_helps_and_each_cell_is_trained_once(memory, study):
    """Two threads stand for two processes: the store in memory keeps their runs apart in the same way."""
    barrier = threading.Barrier(2, timeout=60)
    fit, met = module.run_cell, []

    def meeting(cell, *arguments, **named):
        if cell.name not in met and len(met) < 2:  # the first cell of each waits for that of the other
            met.append(cell.name)
            barrier.wait()
        return fit(cell, *arguments, **named)

    ended = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "run_cell", meeting)
        threads = [
            threading.Thread(target=lambda: ended.append(compare(study, memory, workers=1, device="cpu")))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert ended == [find_study(memory).parent.id] * 2
    assert len(set(met)) == 2
    cells = [run for run in memory.find() if "cell" in run.tags]
    assert [run.status for run in cells] == ["FINISHED"] * 4
    assert len({run.tags["cell"] for run in cells}) == 4


def test_a_study_that_another_process_conducts_is_waited_for_until_the_time_is_over(memory, study, monkeypatch, capsys):
    monkeypatch.setattr("pipeline.comparison.HELP_SECONDS", 0.01)
    parent = memory.create(study.name, tags={"kind": STUDY_KIND, "study": study.id})
    with (
        memory.hold(parent),
        pytest.raises(TimeUpError, match=r"^--time-left: must suffice for the end of the study, "),
    ):
        compare(study, memory, workers=1, device="cpu", ends=time.monotonic() + 1)
    assert capsys.readouterr().out.count(" conducts this study; this process helps, and ends with it\n") == 1


def test_a_cell_that_another_process_failed_to_train_meanwhile_is_not_tried_again(memory, study, monkeypatch):
    tried = []

    def failing(cell, *arguments, **named):
        tried.append(cell.name)
        if cell.name == "sincos/seed-0":
            # Another process fails to train the last cell just now.
            other = study.cells()[3]
            with pytest.raises(ValueError, match="unlucky"):
                run_cell(other, memory, device="cpu", report=unlucky)
            return module.Outcome(run_cell(cell, memory, device="cpu", report=lambda *_: None).run_id, reused=True)
        return run_cell(cell, *arguments, **named)

    def unlucky(*_):
        raise ValueError("unlucky")

    monkeypatch.setattr(module, "run_cell", failing)
    said = (
        r"sincos/seed-1: RunError: run: must be trained to its end, got one that process \d+ on \S+ failed to train "
        r"\(ValueError: unlucky\)\. Correct that, and run the same command again\. \(3 of 4 runs are finished"
    )
    with pytest.raises(RunError, match=said):
        compare(study, memory, workers=1, device="cpu")
    assert "sincos/seed-1" not in tried


def test_the_plan_says_what_is_left_and_starts_nothing(workplace, tiny, capsys):
    (workplace / "own.json").write_text(json.dumps({**tiny, "seeds": [0, 1, 2]}))
    command = ["compare", "--config", "own.json", "--models", "none,sincos", "--workers", "2"]
    assert main([*command, "--plan", "--time-left", "0.001"]) == 0
    said = capsys.readouterr().out
    assert not (workplace / "mlflow.db").exists()
    assert "0 of 6 runs are finished" in said
    assert re.search(r"none +3 +6 ", said)
    assert re.search(r"worker 1: \w+ s0, .*\nworker 2: \w+ s0, ", said)
    assert re.search(r"6 runs in about .*, 2 workers busy for \d+% of it; nothing was started", said)
    assert "0 of them end within 0 s" in said
    assert main(["compare", "--config", "own.json", "--models", "none", "--seeds", "0", "--workers", "1"]) == 0
    capsys.readouterr()
    assert main([*command, "--plan"]) == 0
    assert "1 of 6 runs are finished" in capsys.readouterr().out
    assert len(connect().find()) == 2
    assert main([*command[:-4], "--models", "none", "--seeds", "0", "--plan"]) == 0
    assert "nothing to train" in capsys.readouterr().out


def test_a_database_whose_files_lie_on_another_machine_is_refused(workplace, postgres, tiny, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres)
    (workplace / "own.json").write_text(json.dumps({**tiny, "train.epochs": 1}))
    command = ["train", "--config", "own.json", "--models", "none"]
    assert main(command) == 0
    capsys.readouterr()
    (workplace / "mlruns").rename(workplace / "elsewhere")
    assert main([*command, "--seeds", "1"]) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(
        r"error: .*/mlruns/\d+: must be a folder that all who share postgresql://.* see, because .*\.\n", said
    )
    assert len(connect(postgres).find()) == 1


SLOW = {
    "data.name": "mnist_sample", "data.max_events": 12, "model.hidden_dim": 8, "model.embedding.dim": 4,
    "train.batch_size": 4, "train.epochs": 8,
}  # fmt: skip


@pytest.mark.slow
def test_two_checkouts_share_a_study_and_one_that_is_killed_is_replaced(workplace, postgres):
    (workplace / "own.json").write_text(json.dumps({**SLOW, "seeds": [0, 1]}))
    processes = []
    for name in ("one", "other"):
        folder = workplace / name
        folder.mkdir()
        (folder / "checkout").symlink_to(ROOT)
        environment = {**os.environ, "PYTHONPATH": str(folder / "checkout"), "MLFLOW_TRACKING_URI": postgres}
        command = [sys.executable, "-m", "pipeline", "compare", "--config", workplace / "own.json"]
        command += ["--models", "none,sincos", "--workers", "1", "--train.precision", "fp32", "--device", "cpu"]
        log = (workplace / f"{name}.log").open("w")
        processes.append(
            subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
        )
        log.close()
    try:
        tracker = wait_for_both(postgres, processes)
        os.killpg(processes[0].pid, signal.SIGKILL)
        assert processes[1].wait(300) == 0, (workplace / "other.log").read_text()
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    study = find_study(tracker)
    runs = [run for run in tracker.find() if "cell" in run.tags]
    assert {run.status for run in [study.parent, *runs]} == {"FINISHED"}
    assert sorted(run.tags["cell"] for run in runs) == sorted(cell.cell for cell in study.manifest.cells)
    twin = MemoryTracker(workplace / "twin")
    for run in runs:
        assert [row.step for row in tracker.read_rows(run.id) if "train/loss" in row.metrics] == list(range(1, 9))
        config = load_study(
            workplace / "own.json", models=["none", "sincos"], overrides={"train.precision": "fp32"}
        ).variants[run.tags["model"]]
        cell = Cell(run.tags["model"], config.model_copy(update={"seed": int(run.tags["seed"])}))
        straight = run_cell(cell, twin, device="cpu", report=lambda *_: None).run_id
        one, other = (
            torch.load(each.fetch(number, "checkpoints/best.pt"), weights_only=True)["model"]
            for each, number in ((tracker, run.id), (twin, straight))
        )
        assert all(torch.equal(one[key], other[key]) for key in one)


def wait_for_both(store, processes):
    """Wait until two cells are being trained, and return a tracker of the store."""
    deadline = time.monotonic() + 240
    tracker = None
    while True:
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in processes)
        time.sleep(0.2)
        tracker = tracker or connect(store)
        running = [run for run in tracker.find(status="RUNNING") if run.epochs]
        if len({run.tags["owner"] for run in running}) == 2:
            return tracker
