"""Interrupts wait for the end of a transaction, and are not lost there."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack

import pytest

from pipeline.interrupts import KINDS, interrupt, keep_interrupts, undisturbed
from pipeline.place import ROOT


@pytest.fixture(autouse=True)
def interrupting():
    """Let each signal interrupt, as in a command, and set the handlers back."""
    before = {kind: signal.signal(kind, interrupt) for kind in KINDS}
    yield
    for kind, handler in before.items():
        signal.signal(kind, handler)


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupt_waits_for_the_end_of_the_block(kind):
    done = []

    def work():
        with undisturbed():
            signal.raise_signal(kind)
            done.append("the block")
        done.append("what follows")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["the block"]
    assert signal.getsignal(kind) is interrupt


def test_an_error_of_the_block_is_the_context_of_the_interrupt():
    with pytest.raises(KeyboardInterrupt) as raised, undisturbed():  # noqa: PT012 - what the block does
        signal.raise_signal(signal.SIGINT)
        raise ValueError("of the block")
    assert str(raised.value.__context__) == "of the block"


def test_an_interrupt_that_comes_later_again_does_not_wait(monkeypatch):
    monkeypatch.setattr("pipeline.interrupts.INSISTING_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt), undisturbed():  # noqa: PT012 - what the block does
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("the second signal waited, too")


@pytest.mark.parametrize("depth", [2, 3])
def test_an_interrupt_that_comes_later_again_does_not_wait_for_outer_blocks(monkeypatch, depth):
    monkeypatch.setattr("pipeline.interrupts.INSISTING_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt), ExitStack() as blocks:  # noqa: PT012 - what the block does
        for _ in range(depth):
            blocks.enter_context(undisturbed())
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("the second signal waited, too")
    assert all(signal.getsignal(kind) is interrupt for kind in KINDS)
    with undisturbed():
        assert signal.getsignal(signal.SIGINT) is not interrupt


def test_a_signal_that_is_ignored_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with undisturbed():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_another_thread_leaves_the_handlers_alone():
    seen = []

    def look():
        with undisturbed():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [interrupt]


def test_an_interrupt_that_is_dropped_at_the_end_of_a_block_is_raised_there_and_no_timer_goes_on(launched, monkeypatch):
    monkeypatch.setattr("pipeline.interrupts.SOON_SECONDS", 100.0)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    hook = sys.unraisablehook
    with pytest.raises(KeyboardInterrupt), keep_interrupts(interrupt):
        launched.drop_interrupt(signal.SIGINT)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_IGN
    assert sys.unraisablehook is hook


def test_an_interrupt_that_was_dropped_is_tried_until_the_main_thread_has_it(launched):
    with pytest.raises(KeyboardInterrupt), keep_interrupts(interrupt):  # noqa: PT012 - what the block does
        tried = signal.getsignal(signal.SIGALRM)
        # The first time is lost, as where another thread is given the signal.
        signal.signal(signal.SIGALRM, lambda *_: signal.signal(signal.SIGALRM, tried))
        launched.drop_interrupt(signal.SIGINT)
        threading.Event().wait(60)
        pytest.fail("it was tried once")
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_dropped_interrupt_that_is_tried_in_a_transaction_is_no_insisting_one(launched, monkeypatch):
    monkeypatch.setattr("pipeline.interrupts.INSISTING_SECONDS", 0.0)
    done = []
    with pytest.raises(KeyboardInterrupt), keep_interrupts(interrupt):  # noqa: PT012 - what the block does
        launched.drop_interrupt(signal.SIGINT)
        with undisturbed():
            threading.Event().wait(0.1)
            done.append("the block")
    assert done == ["the block"]


@pytest.mark.slow
def test_a_store_is_not_locked_by_a_transaction_that_was_interrupted(mlflow_store):
    """Without `undisturbed`, an interrupt often leaves a lock, for which the process waits when it closes the run."""
    code = f"""
import os, random, signal, threading
from pipeline.interrupts import interrupt, keep_interrupts
from pipeline.tracking.mlflow_tracker import MlflowTracker
signal.signal(signal.SIGINT, interrupt)
keeping = keep_interrupts(interrupt)
keeping.__enter__()
tracker = MlflowTracker("sqlite:///{mlflow_store}")
rng = random.Random(0)
for number in range(100):
    run = tracker.create(str(number), tags={{}})
    try:
        threading.Timer(rng.uniform(0.005, 0.08), os.kill, (os.getpid(), signal.SIGINT)).start()
        while True:
            tracker.set_tags(run, {{"a": "b"}})
    except KeyboardInterrupt:
        tracker.set_status(run, "KILLED")
print("closed", len(tracker.find(status="KILLED")))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "closed 100", done.stderr
