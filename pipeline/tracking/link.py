"""The link to a tracking server: calls that fail are repeated for a while, and who waits is told once."""

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
"""How long a call is repeated, and the end of a run waits, while nothing comes through."""
RETRY_SECONDS = 1.0
"""How long after a failure a call is repeated."""
START_SECONDS = 30.0
"""How long a server that does not answer the first call is asked again: one that is restarted is away for some seconds."""
CONNECT_SECONDS = 5
"""How long a tracking server may take to answer the first call."""
TOLD_SECONDS = 3.0
"""How long a server must be away to be worth a line."""
STALE_SECONDS = 30.0
"""After how long a failure that nobody repeated counts no more, once something else has come through."""


_hurried = ContextVar("hurried", default=False)


@contextmanager
def at_once() -> Iterator[None]:
    """Repeat no call meanwhile: somebody waits for the end of this."""
    token = _hurried.set(True)
    try:
        yield
    finally:
        _hurried.reset(token)


def wait_for(uri: str) -> None:
    """Ask a server whether it is there, for a while: whoever starts during its restart must not fail."""
    deadline, told = time.monotonic() + START_SECONDS, False
    while True:
        try:
            return ask(uri)
        except OSError as error:
            # An address that is none has a text as its reason. A name may be unknown while its container is away.
            hopeless = isinstance(error, URLError) and not isinstance(error.reason, OSError)
            if hopeless or time.monotonic() >= deadline:
                raise
        if not told:
            say(f"the tracking server {uri} does not answer yet: it is asked for {START_SECONDS:.0f} s")
            told = True
        time.sleep(RETRY_SECONDS)


def ask(uri: str) -> None:
    """Ask a server whether it is there: MLflow itself would try for minutes. The address is one without a user."""
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=CONNECT_SECONDS).close()  # noqa: S310 - the user's own server
    except HTTPError:
        return
    except ValueError as error:
        raise URLError(str(error)) from None


class Link:
    """What one process knows of whether a server is there.

    It is known by verb: a server that reads but cannot write is away for who writes.
    """

    def __init__(self, uri: str, locks: Path) -> None:
        """Know nothing yet. `locks` is a folder in which the processes of one command agree who of them says it."""
        self.uri = uri
        self._mutex = threading.RLock()
        self._failing: dict[str, tuple[float, float]] = {}
        launcher = multiprocessing.parent_process()
        number = launcher.pid if launcher else os.getpid()
        self._speaker = FileLock(locks / f"away-{number}.lock", thread_local=False)

    @property
    def away(self) -> bool:
        """Whether a call has failed since one of its kind came through."""
        return bool(self._failing)

    def answered(self, verb: str, began: float) -> None:
        """Note that a call came through that began then; one from before the failure says nothing."""
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
        """Note that a call failed that began then; say whether it is to be repeated here, after a pause that this makes.

        Only the main thread waits so: the others have loops of their own.
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
        except Timeout:  # another process of this command says it
            return
        say(f"the tracking server {self.uri} is away ({error.why}): training goes on, and what it records is kept")
