"""Who has which trial, and when one is stopped."""

import contextlib
import json
import multiprocessing
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from sqlalchemy import create_engine, event, inspect
from sqlalchemy.pool import NullPool

from pipeline.ablation import queue as queues
from pipeline.ablation.pruning import STARTUP_TRIALS, SameEpochMedian
from pipeline.ablation.queue import Queue, forget, left_of, runs_of_trials
from pipeline.ablation.reading import load_ablation
from pipeline.launch import run_tasks
from pipeline.tracking.ownership import clock, locks_of


@pytest.fixture
def storage(workplace):
    return f"sqlite:///{workplace}/optuna.db"


@pytest.fixture
def study(workplace):
    (workplace / "grid.json").write_text(json.dumps({"model.hidden_dim": list(range(1, 13)), "seeds": [0]}))
    return load_ablation(workplace / "grid.json")


@pytest.fixture
def open_queue(study):
    """Open the study's queue as another process would; all are closed at the end."""
    opened = []

    def open_queue(storage):
        opened.append(Queue(study, storage))
        return opened[-1]

    yield open_queue
    for one in opened:
        one.close()


def test_an_optuna_study_names_its_objectives_and_where_its_run_is_shown(study, open_queue, storage):
    open_queue(storage).refer("http://127.0.0.1:5000/#/experiments/1/runs/a")
    held = optuna.load_study(study_name=study.name, storage=storage)
    assert held.metric_names == ["validation_accuracy"]
    assert held.user_attrs["mlflow"] == "http://127.0.0.1:5000/#/experiments/1/runs/a"


@pytest.mark.parametrize("kind", ["storage", pytest.param("postgres", marks=pytest.mark.exhaustive)])
def test_processes_that_share_a_queue_take_each_trial_once(launched, study, kind, request):
    storage = request.getfixturevalue(kind)
    queue = Queue(study, storage)
    queue.fill()
    queue.fill()  # what is there is not put in again
    taken = []
    results = list(run_tasks([(study, storage)] * 3, launched.claim_all, workers=3, notify=taken.append))
    assert not any(isinstance(result, Exception) for _, result in results)
    assert sorted(taken) == [(number, point.name) for number, point in enumerate(study.points)]
    assert {trial.state for trial in queue.trials()} == {TrialState.COMPLETE}
    queue.close()


def test_a_trial_of_a_process_that_died_waits_again_and_one_that_lives_keeps_its_own(
    launched, study, open_queue, storage
):
    living = open_queue(storage)
    living.fill()
    kept = living.claim()
    dead = multiprocessing.get_context("spawn").Process(target=launched.claim_and_die, args=(study, storage))
    dead.start()
    dead.join()
    owner = living.trials()[kept.number + 1].user_attrs["owner"]
    assert Path(owner["lock"]).exists()
    open_queue(storage).recover()
    states = [trial.state for trial in living.trials()]
    assert states[:2] == [TrialState.RUNNING, TrialState.WAITING]
    assert not Path(owner["lock"]).exists()
    assert living.claim().number == kept.number + 1


def test_a_trial_of_another_machine_waits_again_when_it_was_not_heard_of(open_queue, storage, monkeypatch):
    far, near = open_queue(storage), open_queue(storage)
    monkeypatch.setitem(far._owner, "host", "elsewhere")
    far.fill()
    trial = far.claim()
    near.recover()
    assert near.trials()[trial.number].state == TrialState.RUNNING
    monkeypatch.setattr(queues, "GRACE_SECONDS", -1.0)
    near.recover()
    assert near.trials()[trial.number].state == TrialState.WAITING


def test_a_process_that_comes_back_too_late_does_not_end_the_trial_that_another_has(open_queue, storage, monkeypatch):
    late, other = open_queue(storage), open_queue(storage)
    monkeypatch.setitem(late._owner, "host", "elsewhere")
    late.fill()
    trial = late.claim()
    monkeypatch.setattr(queues, "GRACE_SECONDS", -1.0)
    other.recover()
    taken = other.claim()
    assert taken.number == trial.number
    late.finish(trial, [0.1], [])
    late.end(trial, TrialState.FAIL, "late")
    late.release(trial.number)
    assert other.trials()[trial.number].state == TrialState.RUNNING
    other.finish(taken, [0.9], [])
    late.end(trial, TrialState.FAIL, "late")
    assert other.trials()[trial.number].values == [0.9]


@pytest.fixture
def errors_of_threads(monkeypatch):
    errors = []
    monkeypatch.setattr(threading, "excepthook", errors.append)
    return errors


@pytest.fixture
def taken_from_the_late(open_queue, storage, monkeypatch):
    """A queue whose trial was given to another one, that trial, and the other queue."""
    late, other = open_queue(storage), open_queue(storage)
    monkeypatch.setitem(late._owner, "host", "elsewhere")
    late.fill()
    trial = late.claim()
    monkeypatch.setattr(queues, "GRACE_SECONDS", -1.0)
    monkeypatch.setattr(queues, "BEAT_SECONDS", 0.01)
    other.recover()
    return late, trial, other


def test_a_trial_that_ended_elsewhere_is_no_longer_marked_and_no_error(taken_from_the_late, errors_of_threads):
    late, trial, other = taken_from_the_late
    other.finish(other.claim(), [0.9], [])
    with late.beat(trial):
        [marking] = [thread for thread in threading.enumerate() if thread.name == queues.BEATING]
        marking.join(timeout=10)
        assert not marking.is_alive()
    assert errors_of_threads == []


def test_a_trial_that_ends_between_the_look_and_the_mark_is_no_error(
    taken_from_the_late, errors_of_threads, monkeypatch
):
    late, trial, other = taken_from_the_late
    other.finish(other.claim(), [0.9], [])
    monkeypatch.setattr(late, "_is_mine", lambda _: True)
    with late.beat(trial):
        [marking] = [thread for thread in threading.enumerate() if thread.name == queues.BEATING]
        marking.join(timeout=10)
        assert not marking.is_alive()
    assert errors_of_threads == []


def test_who_lost_a_trial_does_not_keep_it_alive_for_the_one_who_has_it(taken_from_the_late):
    late, trial, other = taken_from_the_late
    taken = other.claim()
    beaten = other.trials()[taken.number].user_attrs["beat"]
    with late.beat(trial):
        [marking] = [thread for thread in threading.enumerate() if thread.name == queues.BEATING]
        marking.join(timeout=10)
        assert not marking.is_alive()
    assert other.trials()[taken.number].user_attrs["beat"] == beaten


def test_the_pruner_is_told_each_step_once_and_by_none_but_the_owner(taken_from_the_late):
    late, trial, other = taken_from_the_late
    taken = other.claim()
    other.note(taken, {1: 0.25, 2: 0.5})
    other.note(taken, {1: 0.125, 2: 0.125, 3: 0.75})
    late.note(trial, {4: 0.125})
    assert other.trials()[taken.number].intermediate_values == {1: 0.25, 2: 0.5, 3: 0.75}
    other.finish(taken, [0.75], [])
    late.note(trial, {4: 0.125})  # nor is it an error
    assert other.trials()[taken.number].intermediate_values == {1: 0.25, 2: 0.5, 3: 0.75}


def test_an_equal_budget_is_rounded_up_to_the_same_number_for_each_embedding(workplace, storage):
    tree = {"model.embedding.name": ["sincos", "lete", "none"], "model.dropout": {"low": 0.0, "high": 0.5}, "trials": 4}
    (workplace / "search.json").write_text(json.dumps(tree))
    queue = Queue(load_ablation(workplace / "search.json"), storage)
    queue.fill()
    names = [trial.params["model.embedding.name"] for trial in queue.trials()]
    assert names == ["sincos", "lete", "none"] * 2
    queue.close()


@pytest.mark.parametrize("kind", ["storage", "postgres"])
def test_the_exclusion_of_a_database_keeps_others_out_by_name(study, kind, request):
    queue = Queue(study, request.getfixturevalue(kind))
    one, other = locks_of(queue._engine).lock, locks_of(queue._engine).lock
    inside = threading.Event()

    def enter():
        with other("a"):
            inside.set()

    with one("a"), other("b"):
        waiting = threading.Thread(target=enter)
        waiting.start()
        assert not inside.wait(0.3)
    waiting.join(timeout=10)
    assert inside.is_set()
    assert clock(queue._engine) == pytest.approx(time.time(), abs=5)  # the server is on this machine
    queue.close()


def test_the_tables_of_a_new_database_are_created_by_one_whatever_the_working_folders(study, workplace, monkeypatch):
    url = f"sqlite:///{workplace}/optuna.db"
    opened = threading.Event()

    def meet():
        Queue(study, url).close()
        opened.set()

    (workplace / "elsewhere").mkdir()
    monkeypatch.chdir(workplace / "elsewhere")
    with locks_of(create_engine(url)).lock("tables"):
        meeting = threading.Thread(target=meet)
        meeting.start()
        assert not opened.wait(0.3)
    meeting.join(timeout=60)
    assert opened.is_set()


@pytest.mark.parametrize("kind", ["storage", "postgres"])
def test_who_only_looks_makes_no_tables(study, open_queue, kind, request):
    storage = request.getfixturevalue(kind)
    engine = create_engine(storage, poolclass=NullPool)
    with engine.connect():  # makes the file of SQLite
        assert left_of(study, storage) == ([point.name for point in study.points], 12)
        assert runs_of_trials(storage) == {}
        forget(study.name, storage)
    assert inspect(engine).get_table_names() == []
    open_queue(storage).fill()
    assert left_of(study, storage) == ([point.name for point in study.points], 12)
    assert runs_of_trials(storage) == {study.name: set()}


def waiting(folder, count):
    """A search of so many trials, filled, and its queue."""
    tree = {"design": "random", "trials": count, "train.learning_rate": {"low": 0.1, "high": 1}, "seeds": [0]}
    (folder / f"search{count}.json").write_text(json.dumps(tree))
    queue = Queue(load_ablation(folder / f"search{count}.json"), f"sqlite:///{folder}/optuna.db")
    queue.fill()
    return queue


@contextlib.contextmanager
def statements(queue):
    """Collect what the database is told, and COMMIT for each transaction."""
    said = []

    def executed(_connection, _cursor, statement, *_):
        said.append(statement)

    def committed(_connection):
        said.append("COMMIT")

    event.listen(queue._engine, "before_cursor_execute", executed)
    event.listen(queue._engine, "commit", committed)
    yield said
    event.remove(queue._engine, "before_cursor_execute", executed)
    event.remove(queue._engine, "commit", committed)


@pytest.mark.parametrize(
    "call", [Queue.claim, Queue.has_waiting, Queue.open_trials, Queue.places, Queue.recover, Queue.fill]
)
def test_the_queue_says_as_much_to_its_database_however_many_trials_wait(workplace, call):
    told = []
    for count in (3, 60):
        queue = waiting(workplace, count)
        queue.claim()
        with statements(queue) as said:
            call(queue)
        told.append(said)
        queue.close()
    assert told[0] == told[1]
    assert 0 < len(told[0]) < 16


def test_a_claim_is_one_transaction(workplace):
    queue = waiting(workplace, 3)
    with statements(queue) as said:
        trial = queue.claim()
    writes = [number for number, statement in enumerate(said) if statement.startswith(("INSERT", "UPDATE"))]
    assert len(writes) == 3  # the state, and two attributes
    assert max(writes) < said.index("COMMIT")
    held = queue.trials()[trial.number]
    assert held.state == TrialState.RUNNING
    assert held.user_attrs["owner"] == queue._owner
    assert held.user_attrs["beat"] == pytest.approx(time.time(), abs=60)
    assert abs(held.datetime_start - datetime.now()) < timedelta(minutes=1)  # noqa: DTZ005 - Optuna's are local
    queue.close()


def test_a_study_is_filled_in_one_transaction(study, open_queue, storage):
    queue = open_queue(storage)
    with statements(queue) as said:
        queue.fill()
    assert said.count("COMMIT") == 1
    trials = queue.trials()
    assert [trial.number for trial in trials] == list(range(12))
    assert [trial.user_attrs["point"] for trial in trials] == [point.name for point in study.points]
    assert [trial.params for trial in trials] == [{"model.hidden_dim": number} for number in range(1, 13)]


def test_what_ended_is_read_once_and_what_waits_is_not_read_again(open_queue, storage, monkeypatch):
    queue, read = open_queue(storage), []
    queue.fill()
    assert len(queue.trials()) == 12
    backend = queue._storage._backend
    real = backend.get_trial
    monkeypatch.setattr(backend, "get_trial", lambda one: read.append(one) or real(one))
    monkeypatch.setattr(backend, "get_all_trials", None)
    first, second = queue.claim(), queue.claim()
    queue.finish(first, [0.5], [])
    read.clear()
    states = [trial.state for trial in queue.trials()]
    assert states == [TrialState.COMPLETE, TrialState.RUNNING, *[TrialState.WAITING] * 10]
    assert read == [first._trial_id, second._trial_id]
    read.clear()
    assert [trial.number for trial in queue.optuna_study.get_trials(states=(TrialState.COMPLETE,))] == [0]
    assert read == [second._trial_id]  # it runs, and may have changed


def pruned(curves, curve):
    """Say whether a trial with `curve` is stopped at its end, after complete trials with `curves`; curves are by step."""
    study = optuna.create_study(direction="maximize")
    for each in curves:
        study.add_trial(create_trial(value=max(each.values()), intermediate_values=each))
    trial = create_trial(state=TrialState.RUNNING, intermediate_values=curve)
    return SameEpochMedian().prune(study, trial)


def test_a_trial_is_stopped_below_the_median_at_its_own_step():
    others = [{1: 0.1 * k, 2: 0.2 * k} for k in range(1, STARTUP_TRIALS + 1)]  # medians 0.3 and 0.6
    assert pruned(others, {1: 0.29})
    assert not pruned(others, {1: 0.31})
    assert pruned(others, {1: 0.9, 2: 0.59})  # a good start does not shield what comes after it
    assert not pruned(others, {1: 0.1, 2: 0.61})
    assert not pruned(others[1:], {1: 0.0})  # too few to tell
    assert not pruned(others, {3: 0.0})  # nobody was there
    assert not pruned(others, {})
