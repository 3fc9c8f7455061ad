"""Runs over HTTP while the server is away, slow or failing, or its answers are lost."""

import errno
import importlib
import json
import os
import stat
import sys
import threading
from pathlib import Path

import pytest
import torch

from pipeline.__main__ import main
from pipeline.errors import DiskError, UsageError
from pipeline.evidence import Evidence, read
from pipeline.settings import build_run
from pipeline.study import Cell
from pipeline.tracking import SEALED, LostError, MemoryTracker, UnsentError, connect, deliver_all, link, ownership
from pipeline.tracking.delivery import send
from pipeline.tracking.run import EPOCH
from pipeline.tracking.spool import Spool
from pipeline.train import run_cell
from pipeline.unfinished import clear

EPOCHS = 4
FILES = ["history.json", "predictions.parquet", "checkpoints/best.pt", "confusion_matrix.json"]
ROWS, PUT = "POST /api/2.0/mlflow/runs/log-batch", "PUT "


@pytest.fixture(scope="module")
def serving():
    sys.path.insert(0, str(Path(__file__).parent))
    import server  # noqa: PLC0415

    yield server.serving
    sys.path.remove(str(Path(__file__).parent))


@pytest.fixture
def server(serving, mlflow_store, monkeypatch):
    """A server whose clients repeat nothing within a call, and themselves repeat a call soon."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for name, seconds in {"PATIENCE": 300.0, "RETRY": 0.02, "TOLD": 0.0}.items():
        monkeypatch.setattr(link, f"{name}_SECONDS", seconds)
    for name, seconds in {"SETTLE": 0.1, "WATCH": 1.0, "DEAD": 30.0, "HOLD": 0.3, "BEAT": 0.2}.items():
        monkeypatch.setattr(ownership, f"{name}_SECONDS", seconds)
    with serving(mlflow_store) as server:
        yield server


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    """The weights of the undisturbed run of each seed."""
    known = {}

    def weights(seed):
        if seed not in known:
            tracker = MemoryTracker(tmp_path_factory.mktemp("twin"))
            run = run_cell(cell(seed), tracker, device="cpu", report=silent, packaged=False).run_id
            known[seed] = model(tracker.fetch(run, "checkpoints/best.pt"))
        return known[seed]

    return weights


TINY = {
    "data.name": "synthetic", "data.train_size": 32, "data.validation_size": 16, "data.test_size": 32,
    "model.embedding.name": "sincos", "model.embedding.dim": 4, "model.hidden_dim": 4, "train.epochs": EPOCHS,
}  # fmt: skip


def cell(seed=0):
    return Cell("tiny", build_run({**TINY, "seed": seed}))


def silent(_cell, _history):
    pass


def model(path):
    return torch.load(path, weights_only=True)["model"]


def train(tracker, seed=0, report=silent):
    return run_cell(cell(seed), tracker, device="cpu", report=report, packaged=False).run_id


def check_whole(tracker, run_id, weights):
    """See that a run is finished, with each epoch once, all its files, and the weights of an undisturbed one."""
    run = tracker.get(run_id)
    assert run.status == "FINISHED"
    for name in (EPOCH, "test/loss", "train/seconds"):
        assert [point.step for point in tracker._client.get_metric_history(run_id, name)] == list(range(1, EPOCHS + 1))
    assert len(tracker._client.get_metric_history(run_id, "test_accuracy")) == 1
    files = read(run, FILES, tracker)
    best = model(files["checkpoints/best.pt"])
    assert all(torch.equal(best[name], weights[name]) for name in weights)
    assert not list(tracker.checkpoints.glob("*/spool*"))


class While:
    """A fault of some calls, from one epoch on, that many times."""

    def __init__(self, what, calls="", times=10**9):
        self.what, self.calls, self.left, self.begun = what, calls, times, threading.Event()

    def __call__(self, call):
        if not self.begun.is_set() or self.calls not in call or not self.left:
            return None
        self.left -= 1
        return self.what

    def at(self, epoch):
        return lambda _cell, history: self.begun.set() if len(history) == epoch else None


@pytest.mark.parametrize(
    "fault",
    [
        ("away", "", 8),
        ("failing", "", 8),
        ("lost", ROWS, 3),
        ("lost", "", 8),
        ("failing", PUT, 3),
        ("lost", "update", 1),
    ],
    ids=lambda fault: f"{fault[0]} {fault[1].split(chr(32))[0]}",
)
def test_a_server_that_fails_for_a_while_costs_no_row_and_repeats_none(server, twin, capsys, fault):
    tracker = connect(server.uri)
    server.fault = fault = While(*fault)
    run = train(tracker, report=fault.at(2))
    assert fault.left == 0
    check_whole(tracker, run, twin(0))
    said = [line for line in capsys.readouterr().out.splitlines() if server.uri in line]
    told = [line.split(" is ")[1].split()[0] for line in said]
    # Once for each time; on a slow machine a call comes through between two that are lost.
    assert told == ["away", "back"] * max(1, len(told) // 2)


def test_training_waits_for_no_answer(server, twin):
    tracker = connect(server.uri)
    trained = threading.Event()
    waited = []

    def slow(call):
        if call == ROWS:
            waited.append(trained.wait(60))

    def report(_cell, history):
        if len(history) == 1:
            server.fault = slow
        if len(history) == EPOCHS:
            trained.set()

    run = train(tracker, report=report)
    assert all(waited)
    check_whole(tracker, run, twin(0))


def lose(server, tracker, *seeds):
    """Train cells while the server goes away for good in the second epoch of the first; return what they say."""
    fault = While("away")
    server.fault = fault
    said = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(link, "PATIENCE_SECONDS", 0.3)
        for seed in seeds:
            with pytest.raises(UnsentError) as error:
                train(tracker, seed, report=fault.at(2))
            said.append(str(error.value))
    for thread in threading.enumerate():
        if thread.name.startswith("delivery of"):  # nobody sends what another will
            thread.join(60)
            assert not thread.is_alive()
    server.fault = lambda _: None
    return said


def test_what_a_server_that_is_gone_for_good_does_not_get_is_delivered_later_once(server, twin):
    said = lose(server, connect(server.uri), 0, 1)
    assert all("`python -m pipeline deliver` sends it" in line for line in said)
    tracker = connect(server.uri)  # as another process of this folder
    delivered = list(deliver_all(tracker))
    assert [each.run.status for each in delivered] == ["FINISHED", "FINISHED"]
    assert all(each.said == f"{EPOCHS} epochs, 10 files, FINISHED" for each in delivered)
    for seed in (0, 1):
        run = train(tracker, seed, report=lambda *_: pytest.fail("it was trained again"))
        check_whole(tracker, run, twin(seed))
    assert list(deliver_all(tracker)) == []


@pytest.mark.slow
def test_a_delivery_that_is_broken_off_at_any_call_goes_on_where_it_was(server, twin, monkeypatch):
    lose(server, connect(server.uri), 0)
    monkeypatch.setattr(link, "PATIENCE_SECONDS", 0.0)
    tracker, tries = connect(server.uri), 0
    while list(tracker.checkpoints.glob("*/spool.jsonl")):
        tries += 7
        before = len(server.calls)
        server.fault = lambda _call, last=before + tries: "lost" if len(server.calls) >= last else None
        try:
            list(deliver_all(tracker))
        except link.AwayError:
            server.fault = lambda _: None
            tracker = connect(server.uri)
    server.fault = lambda _: None
    [run] = tracker.find(status="FINISHED")
    assert tries > 10
    check_whole(tracker, run.id, twin(0))


def test_a_cell_that_another_machine_finished_meanwhile_stays_as_it_is(server, workplace):
    tracker = connect(server.uri)
    lose(server, tracker, 0)
    other = connect(server.uri)
    other.checkpoints = workplace / "of another machine"
    run = train(other)
    before = other.get(run)
    [left] = deliver_all(tracker)
    assert left.run is None
    assert f"got run {run}, finished meanwhile by process" in left.said
    assert other.get(run) == before
    clear([before], tracker)
    assert train(tracker) == run
    [spool] = tracker.checkpoints.glob("*/spool.jsonl")
    assert json.loads(spool.read_text().splitlines()[-1])["status"] == "FINISHED"


def test_a_run_that_another_machine_took_while_the_server_was_away_from_here_is_left_to_it(server, twin, workplace):
    tracker, other = connect(server.uri), connect(server.uri)
    other.checkpoints = workplace / "of another machine"
    run = []

    def taken(_cell, history):
        if len(history) == 2:
            run.append(tracker.find()[0].id)
            other.set_tags(run[0], other.ownership.tags())

    with pytest.raises(LostError, match="must be owned to its end"):
        train(tracker, report=taken)
    assert train(other) == run[0]
    check_whole(other, run[0], twin(0))
    before = other.get(run[0])
    assert all(each.run is None for each in deliver_all(tracker))
    assert other.get(run[0]) == before


def test_what_was_recorded_until_an_interrupt_is_sent_and_the_run_goes_on(server, twin):
    tracker = connect(server.uri)
    server.fault = fault = While("away")

    def stop(_cell, history):
        fault.at(2)(_cell, history)
        if len(history) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tracker, report=stop)
    server.fault = lambda _: None
    tracker = connect(server.uri)
    [left] = deliver_all(tracker)
    assert (left.run.status, left.run.epochs) == ("KILLED", 3)
    epochs = []
    run = train(tracker, report=lambda _, history: epochs.append(len(history)))
    assert epochs == [4]
    check_whole(tracker, run, twin(0))


@pytest.mark.slow
def test_commands_say_what_waits_and_deliver_sends_it(server, workplace, monkeypatch, capsys):
    study = {"base": {**TINY, "train.epochs": 2}, "variants": {"tiny": {}}, "seeds": [0, 1]}
    (workplace / "study.json").write_text(json.dumps(study))
    command = ["compare", "--config", "study.json", "--workers", "1"]
    server.fault = fault = While("away")
    monkeypatch.setattr(importlib.import_module("pipeline.cells"), "log_line", lambda *_: fault.begun.set())

    def run(*words):  # MLflow's server, which is of this process here, sets the variable for itself
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        return main(words)

    with monkeypatch.context() as patched:
        patched.setattr(link, "PATIENCE_SECONDS", 0.3)
        assert run(*command) == 1
    said = capsys.readouterr()
    assert said.err == (
        "failed: tiny/seed-0, tiny/seed-1: must be in the store at their end, got them trained and not sent to "
        f"{server.uri}. They wait in checkpoints/; `python -m pipeline deliver` sends them when the server is back.\n"
    )
    assert said.out.count(" is away ") == 1
    with monkeypatch.context() as patched:
        patched.setattr("pipeline.tracking.link.START_SECONDS", 0)
        assert run("deliver") == 2
    assert capsys.readouterr().err.startswith("error: MLFLOW_TRACKING_URI: must be a tracking store that answers")
    server.fault = lambda _: None
    assert run("deliver") == 0
    said = capsys.readouterr().out.splitlines()
    sent = {line.split(" to run ")[0] for line in said if "sent" in line}
    assert sent == {f"tiny s{seed}: sent 2 epochs, 10 files, FINISHED" for seed in (0, 1)}
    assert run("deliver") == 0
    assert capsys.readouterr().out == "nothing waits in checkpoints/\n"
    monkeypatch.setattr(
        importlib.import_module("pipeline.cells"), "run_cell", lambda *_, **__: pytest.fail("it was trained again")
    )
    assert run(*command) == 0
    assert "2 of 2 runs are finished" in capsys.readouterr().out


@pytest.fixture
def left(tmp_path):
    """A spool of two rows and a file that a process has left."""
    spool = Spool.begin(tmp_path, run="", lease="", name="tiny", cell="x", tags={}, parent=None, adopted=None)
    for epoch in (1, 2):
        spool.log_metrics("", {"epoch": epoch, "loss": 0.1 + 0.2}, epoch)
    spool.log_text("", "deep/a.txt", "text")
    return tmp_path


def test_a_line_that_was_broken_off_counts_as_not_written(left, memory):
    whole = Spool.left(left).entries
    file = left / "spool.jsonl"
    file.write_bytes(file.read_bytes()[:-3])
    assert Spool.left(left).entries == whole[:-1]
    file.write_text('{"verb": "begin", ')
    memory.checkpoints = left.parent
    assert list(deliver_all(memory)) == []
    assert not file.exists()
    file.write_text("something\n")
    with pytest.raises(UsageError, match=r"spool.jsonl: must be a spool as it was written, got something else. Delete"):
        Spool.left(left)


def test_a_file_of_the_spool_that_finds_no_room_is_named_by_its_folder(left, monkeypatch):
    spool = Spool.left(left)
    entries = list(spool.entries)

    def full(*_arguments, **_named):
        raise OSError(errno.ENOSPC, "No space left on device")  # of an open file, the system tells no name

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DiskError, match=rf"spool/{len(entries)}: must have room"):
        spool.log_text("", "history.json", "[]")
    monkeypatch.setattr("pipeline.tracking.spool.copyfile", full)
    with pytest.raises(DiskError, match=rf"spool/{len(entries)}: must have room"):
        spool.log_file("", Path("best.pt"))
    assert spool.entries == entries


def test_files_are_on_the_disk_before_the_line_that_names_them(left, monkeypatch):
    spool, synced = Spool.left(left), []
    monkeypatch.setattr(os, "fsync", lambda opened: synced.append(os.fstat(opened).st_ino))
    spool.log_text("", "deep/history.json", "[]")
    entry = spool.entries[-1]
    file = spool.place(entry, "history.json")
    named = [file, file.parent, file.parent.parent, left, spool.file]
    assert synced == [path.stat().st_ino for path in named]


def test_a_folder_whose_file_system_knows_no_flushing_does_not_end_a_run(left, monkeypatch):
    def unknown(opened):
        if stat.S_ISDIR(os.fstat(opened).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", unknown)
    spool = Spool.left(left)
    spool.log_text("", "history.json", "[]")
    assert Spool.left(left).entries == spool.entries


def test_an_entry_that_finds_no_room_leaves_the_spool_as_it_was(left, monkeypatch):
    whole, spool = (left / "spool.jsonl").read_bytes(), Spool.left(left)

    def full(_file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DiskError, match=r"spool.jsonl: must have room"):
            spool.log_metrics("", {"epoch": 3}, 3)
    assert (left / "spool.jsonl").read_bytes() == whole
    spool.log_metrics("", {"epoch": 3}, 3)
    assert Spool.left(left).entries == spool.entries


def test_rows_that_the_store_has_are_left_out_and_what_is_sent_again_changes_nothing(left, memory):
    run = memory.create("run", tags={})
    memory.log_metrics(run, {"epoch": 1, "loss": 0.5}, 1)
    spool = Spool.left(left)
    for _ in range(2):
        assert sum(send(spool, spool.entries, memory, run)) == len(spool.entries)
    assert memory.history[run] == [(1, {"epoch": 1, "loss": 0.5}), (2, {"epoch": 2, "loss": 0.1 + 0.2})]
    assert memory.fetch(run, "deep/a.txt").read_text() == "text"
    assert not list(left.glob("spool/*"))


@pytest.fixture
def whole(memory):
    """The spool of a run that came to its end, with a file, and the store that lacks it."""
    run = memory.create("tiny", tags={"cell": "x"})
    head = {"name": "tiny", "cell": "x", "tags": {}, "parent": None, "adopted": None}
    spool = Spool.begin(memory.checkpoints / "x", run=run, lease="", **head)
    evidence = Evidence(spool, run)
    evidence.log_text("deep/a.txt", "text")
    evidence.seal()
    spool.set_status(run, "FINISHED")
    return spool, spool.place(spool.entries[1], "a.txt"), memory, run


@pytest.mark.parametrize(
    ("lose", "got"), [(Path.unlink, "no"), (lambda file: file.write_text(""), "another")], ids=["gone", "empty"]
)
def test_a_run_whose_file_a_power_failure_took_is_not_finished(whole, lose, got):
    spool, file, store, run = whole
    lose(file)
    [said] = deliver_all(store)
    assert said.run is None
    assert said.said.startswith(
        f"{spool.file}: must be there with the files of its run, got {got} deep/a.txt. The command"
    )
    assert spool.file.is_file()
    assert store.get(run).status == "RUNNING"
    assert not [tag for tag in store.get(run).tags if tag.startswith(SEALED)]


def test_a_file_that_is_gone_because_it_was_sent_is_not_missed(whole):
    _, file, store, run = whole
    store.log_file(run, file, "deep")
    file.unlink()
    [said] = deliver_all(store)
    assert said.run.status == "FINISHED"


def test_copies_of_a_checkpoint_do_not_pile_up(left):
    spool = Spool.left(left)
    assert not spool.takes_copies
    spool.sent = len(spool.entries)
    spool.log_metrics("", {"epoch": 3}, 3)
    assert spool.takes_copies
