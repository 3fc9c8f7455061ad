"""When a server is said to be away and back, by whom, and how long a call is repeated."""

import threading
from types import SimpleNamespace

import pytest

from pipeline.errors import AwayError
from pipeline.tracking import link
from pipeline.tracking.link import Link, at_once

AWAY, BACK = "is away", "is back"


@pytest.fixture
def clock(monkeypatch):
    """The time, which goes on while a call waits to be repeated."""
    now = SimpleNamespace(value=100.0)

    def sleep(seconds):
        now.value += seconds

    monkeypatch.setattr(link, "time", SimpleNamespace(monotonic=lambda: now.value, sleep=sleep))
    return now


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(link, "say", lambda line: lines.append(next(what for what in (AWAY, BACK) if what in line)))
    return lines


def test_a_call_is_repeated_until_patience_is_over_and_the_next_one_not_at_all(clock, said, tmp_path):
    server, began, tries = Link("http://server", tmp_path), clock.value, 0
    while server.failed("get", AwayError(""), began):
        tries += 1
    assert clock.value - began == pytest.approx(link.PATIENCE_SECONDS)
    assert tries == pytest.approx(link.PATIENCE_SECONDS / link.RETRY_SECONDS)
    assert not server.failed("find", AwayError(""), clock.value)
    assert said == [AWAY]


def test_a_failure_that_is_soon_over_is_not_worth_a_line(clock, said, tmp_path):
    server = Link("http://server", tmp_path)
    assert server.failed("get", AwayError(""), clock.value)
    server.answered("get", clock.value)
    assert (server.away, said) == (False, [])


def test_a_server_that_reads_and_cannot_write_stays_away_until_it_writes(clock, said, tmp_path):
    server, began = Link("http://server", tmp_path), clock.value
    for _ in range(10):
        server.failed("log_rows", AwayError(""), began)
        server.answered("get", clock.value)
    assert (server.away, said) == (True, [AWAY])
    server.answered("log_rows", clock.value)
    assert (server.away, said) == (False, [AWAY, BACK])


def test_an_answer_to_a_call_from_before_the_failure_says_nothing(clock, said, tmp_path):
    server = Link("http://server", tmp_path)
    server.failed("get", AwayError(""), clock.value)
    server.answered("get", clock.value - 10)
    assert (server.away, said) == (True, [])


def test_of_the_processes_of_a_command_one_says_it(clock, said, tmp_path):
    one, other = Link("http://server", tmp_path), Link("http://server", tmp_path)
    for each in (one, other, one, other):
        each.failed("get", AwayError(""), clock.value - link.TOLD_SECONDS)
    for each in (other, one):
        each.answered("get", clock.value)
    assert said == [AWAY, BACK]
    assert not list(tmp_path.iterdir())


def test_a_thread_that_has_a_loop_of_its_own_and_who_is_in_a_hurry_do_not_wait(clock, said, tmp_path):
    server, waits = Link("http://server", tmp_path), []
    with at_once():
        waits.append(server.failed("get", AwayError(""), clock.value))
    thread = threading.Thread(target=lambda: waits.append(server.failed("get", AwayError(""), clock.value)))
    thread.start()
    thread.join()
    assert (waits, said) == ([False, False], [])
