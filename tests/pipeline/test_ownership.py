"""Who owns a run: by locks, by a lease, and with real processes of two checkouts."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
import torch
from sqlalchemy import text

from pipeline import train
from pipeline.config import digest_of
from pipeline.errors import UsageError
from pipeline.identity import ROOT
from pipeline.settings import build_run
from pipeline.study import Cell
from pipeline.tracking import BrokenError, BusyError, LostError, MemoryTracker, connect, mlflow_tracker, ownership
from pipeline.tracking.mlflow_tracker import MlflowTracker
from pipeline.tracking.ownership import DatabaseLocks, FileLocks, Lease
from pipeline.train import run_cell

SMALL = {
    "data.name": "mnist_sample", "data.max_events": 12, "model.hidden_dim": 8, "model.embedding.dim": 4,
    "train.batch_size": 32, "train.epochs": 4,
}  # fmt: skip


@pytest.fixture
def leased(memory, monkeypatch):
    """Two trackers of one store, as two processes have them that own by leases; the store answers at once."""
    times = {"BEAT": 0.02, "DEAD": 0.5, "SETTLE": 0.05, "WATCH": 0.01, "OLD": 0.0, "HOLD": 0.0}
    for name, seconds in times.items():
        monkeypatch.setattr(ownership, f"{name}_SECONDS", seconds)
    memory.ownership = Lease(memory)
    other = MemoryTracker(memory._folder)
    other._runs, other.params, other.history, other._ids = memory._runs, memory.params, memory.history, memory._ids
    other.rows = memory.rows
    other.ownership = Lease(other)
    return memory, other


def test_a_lease_is_owned_by_one_until_it_gives_it_back(leased):
    one, other = leased
    run = one.create("run", tags={})
    with one.hold(run):
        with pytest.raises(BusyError, match=f"got one that process {os.getpid()} on "), other.hold(run):
            pass
        with pytest.raises(BusyError), one.hold(run):
            pass
    assert one.get(run).status == "FINISHED"
    with other.hold(run):
        assert one.get(run).status == "RUNNING"


def test_of_two_that_take_a_lease_at_once_one_gets_it(leased):
    one = leased[0]
    run = one.create("run", tags={"lease": ""})
    barrier, inside, most = threading.Barrier(4), [], []

    def work():
        lease = Lease(one)
        barrier.wait()
        with lease.own(run, 60, lambda: None) as check:
            inside.append(lease)
            check()
            most.append(len(inside))
            inside.remove(lease)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


def test_a_lease_whose_owner_has_stopped_is_taken_and_the_owner_that_comes_back_records_nothing(leased, monkeypatch):
    one, other = leased
    run = one.create("run", tags={})
    stopped = threading.Event()
    set_tags = MemoryTracker.set_tags

    def asleep(run_id, tags):  # as a machine that was suspended: nothing of it is written
        if not stopped.is_set():
            set_tags(one, run_id, tags)

    def come_back(check):
        stopped.set()
        began = time.monotonic()
        with other.hold(run):
            assert time.monotonic() - began >= ownership.DEAD_SECONDS
        check()

    monkeypatch.setattr(one, "set_tags", asleep)
    with pytest.raises(LostError, match="must be owned to its end"), one.hold(run) as check:
        come_back(check)
    assert other.get(run).status == "FINISHED"
    assert "error" not in other.get(run).tags


def test_an_owner_that_comes_back_does_not_keep_the_lease_of_another_alive(leased, monkeypatch):
    one, other = leased
    run = one.create("run", tags={})
    awake, set_tags = threading.Event(), MemoryTracker.set_tags

    def asleep(run_id, tags):  # what it was about to write is written when it comes back
        awake.wait()
        set_tags(one, run_id, tags)

    with one.own(run):
        monkeypatch.setattr(one, "set_tags", asleep)
        with other.own(run, 60):
            monkeypatch.setattr(other, "set_tags", lambda *_: None)  # as if it was killed
            awake.set()
            began = time.monotonic()
            with Lease(one).own(run, 10 * ownership.DEAD_SECONDS, lambda: None) as check:
                check()
            assert time.monotonic() - began >= ownership.DEAD_SECONDS


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("x")])
def test_whatever_ends_an_owner_that_has_lost_its_run_leaves_the_run_alone(leased, error):
    one, other = leased
    run = one.create("run", tags={})

    def fail():
        other.set_tags(run, other.ownership.tags())
        raise error

    with pytest.raises(type(error)), one.hold(run):
        fail()
    assert one.get(run).status == "RUNNING"
    assert one.get(run).tags["lease"] == other.ownership._name


def test_a_store_that_was_away_does_not_make_an_owner_dead(monkeypatch):
    now = 0.0
    monkeypatch.setattr(ownership, "time", SimpleNamespace(monotonic=lambda: now))
    watch, tags = ownership._Watch(), {"lease": "a", "beat": "1"}
    assert not watch.dead(tags)
    now = ownership.DEAD_SECONDS + 1  # nothing could be read for so long
    assert not watch.dead(tags)
    begun = now
    while now < begun + ownership.DEAD_SECONDS:
        assert not watch.dead(tags)
        now += ownership.WATCH_SECONDS
    assert watch.dead(tags)
    assert not watch.alive


def test_the_run_of_a_dead_owner_is_taken_over_within_a_minute():
    assert ownership.DEAD_SECONDS + 2 * ownership.WATCH_SECONDS + ownership.SETTLE_SECONDS < 60


def test_a_sweep_of_leases_ends_the_dead_and_leaves_the_living(leased):
    one, other = leased
    dead, alive = one.create("dead", tags={}), one.create("alive", tags={})
    with one.own(alive):
        other.sweep()
        assert [one.get(run).status for run in (dead, alive)] == ["KILLED", "RUNNING"]
    assert not one.get(dead).tags["lease"]


def test_a_sweep_ends_where_a_run_that_it_watches_is_deleted(leased, monkeypatch):
    one, other = leased
    deleted, dead = one.create("deleted", tags={}), one.create("dead", tags={})
    get_all, looks = other.get_all, []

    def look(run_ids):
        looks.append(list(run_ids))
        assert len(looks) < 1000
        if len(looks) == 2:
            one.delete(deleted)
        return get_all(run_ids)

    monkeypatch.setattr(other, "get_all", look)
    other.sweep()
    assert [run.status for run in one.find()] == ["KILLED"]
    assert looks[0] == [deleted, dead]


def test_a_lease_with_a_young_beat_costs_a_sweep_no_look(leased, monkeypatch):
    one, other = leased
    one.create("run", tags={})
    monkeypatch.setattr(ownership, "OLD_SECONDS", 60.0)
    monkeypatch.setattr(other, "get_all", lambda _: pytest.fail("it was watched"))
    other.sweep()
    assert one.find()[0].status == "RUNNING"


@pytest.mark.parametrize("adopts", [False, True])
def test_two_that_create_a_run_at_once_get_the_older_one(leased, adopts, monkeypatch):
    one, other = leased
    adopted = other.create("by somebody", tags={}) if adopts else None
    find, both = MemoryTracker.find, threading.Barrier(2)
    first = threading.local()

    def at_once(self, **wanted):
        found = find(self, **wanted)
        if not hasattr(first, "done"):
            first.done = True
            both.wait()
        return found

    monkeypatch.setattr(MemoryTracker, "find", at_once)
    got = {}
    asked = [(one, None), (other, adopted)]

    def ask(tracker, adopted):
        got[tracker.ownership._name] = tracker.sole("cell", {"cell": "x"}, tags={}, adopted=adopted)

    first.done = True  # of this thread, which only looks in the end
    threads = [threading.Thread(target=ask, args=each) for each in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(got.values())) == 1
    assert [run.id for run in one.find(cell="x")] == list(set(got.values()))
    assert adopted is None or one.get(adopted).name == "by somebody"


# ---------------------------------------------------------------------------------------------------------- locks


def test_who_waits_for_a_lock_keeps_a_third_from_it(tmp_path):
    locks, order = FileLocks(tmp_path), []
    waits, has, may_end = threading.Event(), threading.Event(), threading.Event()

    def second():
        with contextlib.suppress(BusyError), locks.lock("a", 0):
            order.append("too early")
        waits.set()
        with locks.lock("a"):
            order.append("second")
            has.set()
            may_end.wait()

    thread = threading.Thread(target=second)
    with locks.lock("a"):
        thread.start()
        waits.wait()
    has.wait()
    with pytest.raises(BusyError), locks.lock("a", 0):
        pass
    may_end.set()
    thread.join()
    assert order == ["second"]
    with locks.lock("a", 0):
        assert len(list(tmp_path.iterdir())) == 1
    assert not list(tmp_path.iterdir())


def test_locks_of_a_database_bind_all_who_connect_and_go_with_the_connection(postgres):
    one, other = DatabaseLocks.of(postgres), DatabaseLocks.of(postgres.replace("127.0.0.1", "localhost"))
    assert one.identity == other.identity
    with one.lock("a") as check, other.lock("b"):
        check()
        with pytest.raises(BusyError), other.lock("a", 0.3):
            pass
        with psycopg.connect(postgres) as database:
            asked = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s"
            low = int(digest_of("a")[:15], 16) & 0xFFFFFFFF
            assert database.execute(asked, [low]).fetchone() == (True,)
        with pytest.raises(LostError, match="the connection to its database has broken off"):
            check()
        with other.lock("a", 5) as again:
            again()


def test_a_run_whose_lock_fell_with_its_connection_is_taken_again(monkeypatch):
    left = [BrokenError("its database restarts"), BrokenError("and again")]

    def train_once(*_, **__):
        if left:
            raise left.pop()
        return train.Outcome("a run", reused=False)

    monkeypatch.setattr(train, "_run_cell", train_once)
    assert run_cell(None, None, device="cpu", report=None).run_id == "a run"
    left.extend(BrokenError("for ever") for _ in range(ownership.RESTARTS + 1))
    with pytest.raises(BrokenError):
        run_cell(None, None, device="cpu", report=None)


def test_a_server_notices_within_a_minute_that_the_machine_of_an_owner_is_gone(postgres, monkeypatch):
    seen = []

    def look(connection, *_):
        seen.extend(int(connection.execute(text(f"SHOW {name}")).scalar_one()) for name in ownership.KEEPALIVES)

    monkeypatch.setattr(DatabaseLocks, "_wait", staticmethod(look))
    with DatabaseLocks.of(postgres).lock("a"):
        idle, every, count = seen
    assert 0 < idle + every * count < 60


def owning(uri, database=""):
    """Return what a tracker of this store, which need not be there, owns runs by, and whether its folder is its own."""
    tracker = object.__new__(MlflowTracker)
    tracker.uri, tracker._address, tracker._absolute, tracker._database = uri, uri, uri, database
    return tracker._owning()


def test_a_store_is_owned_by_the_strongest_thing_that_all_who_share_it_have(workplace, postgres):
    files, checkpoints, remote = owning(f"sqlite:///{workplace}/deep/runs.db", postgres)
    assert (files.kind, files.locks.folder) == ("files", workplace / "deep" / "runs.db.locks")
    assert (checkpoints, remote) == (workplace / "deep" / "checkpoints", False)
    for database in ("", "sqlite:///optuna.db"):
        lease, checkpoints, remote = owning("http://server", database)
        assert (lease.kind, str(checkpoints), remote) == ("lease", "checkpoints", True)
    given, stored = owning("http://server", postgres)[0], owning(postgres)[0]
    assert given.kind == stored.kind == f"database {DatabaseLocks.of(postgres).identity}"
    assert mlflow_tracker.PLAIN.fullmatch(given.kind)


def test_a_database_that_does_not_answer_is_said_in_one_line_without_its_password():
    with pytest.raises(UsageError, match=r"^--storage: must be a database that answers, got postgresql") as error:
        owning("http://server", "postgresql://me:secret@127.0.0.1:9/x")
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


# ------------------------------------------------------------------------------------------------- real processes


class Trainee:
    """A process in a working folder and a checkout of its own."""

    def __init__(self, folder, store):
        folder.mkdir()
        (folder / "checkout").symlink_to(ROOT)
        environment = {
            **os.environ,
            "PYTHONPATH": str(folder / "checkout"),
            "MLFLOW_TRACKING_URI": store,
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, Path(__file__).with_name("trainee.py"), json.dumps(SMALL)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=folder, env=environment, stdin=pipe, stdout=pipe, text=True)
        self.said = []

    def until(self, what):
        """Return the lines up to the first with `what`, and that one."""
        seen = []
        for line in iter(self.process.stdout.readline, ""):
            seen.append(line.strip())
            self.said.append(seen[-1])
            if re.search(what, line):
                return seen
        raise AssertionError(f"{self.said} ended without {what}")

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@contextlib.contextmanager
def trainees(workplace, store):
    both = [Trainee(workplace / name, store) for name in ("one", "other")]
    try:
        yield both
    finally:
        for each in both:
            each.process.kill()
            each.process.communicate()


def wait_for_copy(store):
    """Wait until the store has a copy of the checkpoint of the run that is being trained."""
    tracker = connect(store)
    [run] = tracker.find(status="RUNNING")
    deadline = time.monotonic() + 120
    while not tracker._repository(run.id).list_artifacts("unfinished"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def local(mlflow_store):
    """The address of the local store."""
    return f"sqlite:///{mlflow_store}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", [*(pytest.param(kind, marks=pytest.mark.exhaustive) for kind in ("local", "postgres")), "server"]
)
def test_two_checkouts_train_each_cell_once_and_one_takes_over_from_the_other_that_was_killed(workplace, request, kind):
    store = request.getfixturevalue(kind)
    with trainees(workplace, store) as (one, other):
        for each in (one, other):
            each.until("ready")
        for each in (one, other):
            each.go()
        said = [each.until("^(trained|reused)") for each in (one, other)]
        [winner] = [index for index in (0, 1) if said[index][-1].startswith("trained")]
        assert said[winner][:4] == [f"epoch {number}" for number in (1, 2, 3, 4)]
        assert [line for line in said[1 - winner] if "epoch" in line] == []
        first = said[winner][-1].split()[1]
        assert said[1 - winner][-1] == f"reused {first}"

        one.until("ready")
        one.go()
        assert one.until("in the middle") == ["epoch 1", "epoch 2", "in the middle"]
        other.until("ready")
        other.go()
        waits = f"small/seed-1: waiting for process {one.process.pid} on {socket.gethostname()}, which trains it"
        assert other.until("waiting") == [waits]
        if kind == "server":  # copies are sent while the next epoch is trained
            wait_for_copy(store)
        one.process.send_signal(signal.SIGKILL)
        one.process.wait()
        # Over a server it goes on from a copy, which may lag by an epoch.
        *again, _ = other.until("in the middle")
        assert again in ([], ["epoch 2"]) if kind == "server" else again == []
        other.go()
        *epochs, trained = other.until("^(trained|reused)")
        assert epochs == ["epoch 3", "epoch 4"]
        second = trained.removeprefix("trained ")
    tracker = connect(store)
    assert {run.id: run.status for run in tracker.find()} == {first: "FINISHED", second: "FINISHED"}
    for run in (first, second):
        steps = [metric.step for metric in tracker._client.get_metric_history(run, "train/loss")]
        assert steps == [1, 2, 3, 4]
        assert not tracker._repository(run).list_artifacts("unfinished")
    assert not list(tracker.checkpoints.glob("*/*"))
    twin = MemoryTracker(workplace / "twin")
    straight = run_cell(Cell("small", build_run({**SMALL, "seed": 1})), twin, device="cpu", report=lambda *_: None)
    states = [
        torch.load(each.fetch(run, "checkpoints/best.pt"), weights_only=True)["model"]
        for each, run in ((tracker, second), (twin, straight.run_id))
    ]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
