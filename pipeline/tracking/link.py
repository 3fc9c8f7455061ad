"""The link to a tracking server: failed calls are repeated for a while, and the user is told about the wait once."""

import multiprocessing
import os
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from urllib.error import HTTPError, URLError

from filelock import FileLock, Timeout

from pipeline.console import say
from pipeline.errors import AwayError

PATIENCE_SECONDS = 90.0
"""How long a call is repeated, and how long the end of a run waits, while nothing comes through."""
RETRY_SECONDS = 1.0
"""Seconds between a failed call and its repetition."""
START_SECONDS = 30.0
"""How long the first call is repeated if the server does not answer: a restart takes some seconds."""
CONNECT_SECONDS = 5
"""How long a tracking server may take to answer the first call."""
TOLD_SECONDS = 3.0
"""How long a server must be unreachable before a line about it is printed."""
STALE_SECONDS = 30.0
"""Age at which a failure whose call was not repeated stops counting, once another call has come through."""


_hurried = ContextVar("hurried", default=False)


@contextmanager
def at_once() -> Iterator[None]:
    """Repeat no failed call while the context is open, because somebody waits for its end."""
    token = _hurried.set(True)
    try:
        yield
    finally:
        _hurried.reset(token)


def wait_for(uri: str) -> None:
    """Wait up to `START_SECONDS` until a server answers: a process that starts during a restart must not fail.

    OSError if the server does not answer in that time, or if `uri` is no address.
    """
    deadline, told = time.monotonic() + START_SECONDS, False
    while True:
        try:
            return ask(uri)
        except OSError as error:
            # An invalid address has a text as its reason. A host name may be unknown while its container restarts.
            hopeless = isinstance(error, URLError) and not isinstance(error.reason, OSError)
            if hopeless or time.monotonic() >= deadline:
                raise
        if not told:
            say(f"the tracking server {uri} does not answer yet: it is asked for {START_SECONDS:.0f} s")
            told = True
        time.sleep(RETRY_SECONDS)


def ask(uri: str) -> None:
    """Ask a server once whether it answers: MLflow itself would try for minutes. `uri` must not contain a user.

    OSError if it does not answer; an answer with an error status counts as an answer.
    """
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=CONNECT_SECONDS).close()  # noqa: S310 - the user's own server
    except HTTPError:
        return
    except ValueError as error:
        raise URLError(str(error)) from None


class Link:
    """What one process knows about whether a server is reachable.

    Failures are counted by verb: a server that can read but not write is unreachable for a process that writes.
    """

    def __init__(self, uri: str, locks: Path) -> None:
        """Start without failures. `locks` is a folder in which the processes of one command agree which of them reports."""
        self.uri = uri
        self._mutex = threading.RLock()
        self._failing: dict[str, tuple[float, float]] = {}
        launcher = multiprocessing.parent_process()
        number = launcher.pid if launcher else os.getpid()
        self._speaker = FileLock(locks / f"away-{number}.lock", thread_local=False)

    @property
    def away(self) -> bool:
        """Whether a call has failed since the last success of its verb."""
        return bool(self._failing)

    def answered(self, verb: str, began: float) -> None:
        """Note that a call that began at `began` came through; a call from before the failure proves nothing."""
        if not self._failing:
            return
        with self._mutex:
            if verb in self._failing and self._failing[verb][1] <= began:
                del self._failing[verb]
            now = time.monotonic()
            self._failing = {name: seen for name, seen in self._failing.items() if now - seen[1] < STALE_SECONDS}
            if not self._failing and self._speaker.is_locked:
                say(f"the tracking server {self.uri} is back")
                Path(self._speaker.lock_file).unlink(missing_ok=True)
                self._speaker.release()

    def failed(self, verb: str, error: AwayError, began: float) -> bool:
        """Note that a call that began at `began` failed; pause, and return whether the caller should repeat it.

        Only the main thread pauses and repeats: other threads have retry loops of their own.
        """
        with self._mutex:
            now = time.monotonic()
            since, _ = self._failing.get(verb, (began, now))
            self._failing[verb] = since, now
            first = min(since for since, _ in self._failing.values())
            if now - first >= TOLD_SECONDS:
                self._tell(error)
        waits = threading.current_thread() is threading.main_thread() and not _hurried.get()
        if not waits or now - first >= PATIENCE_SECONDS:
            return False
        time.sleep(RETRY_SECONDS)
        return True

    def _tell(self, error: AwayError) -> None:
        if self._speaker.is_locked:
            return
        try:
            Path(self._speaker.lock_file).parent.mkdir(parents=True, exist_ok=True)
            self._speaker.acquire(timeout=0)
        except Timeout:  # another process of this command reports it
            return
        say(f"the tracking server {self.uri} is away ({error.why}): training goes on, and what it records is kept")
