"""Interrupts: the handlers of signals, and blocks that delay an interrupt."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any

SOON_SECONDS = 0.01
"""Seconds after which a dropped interrupt is tried again, and again until the main thread has it.

The kernel may give a signal to another thread, and the main thread then sleeps on: it hears of that signal with its next one.
"""
INSISTING_SECONDS = 5.0
"""An interrupt that comes this long after the first one is not delayed: the user does not want to wait for a database."""
KINDS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
"""The signals that may interrupt; the last one is an interrupt that was dropped, tried again."""
_waiting = ContextVar("waiting", default=False)
"""Whether interrupts wait for the end of a block."""


def interrupt(_signal: int, _frame: object) -> None:
    """Turn a signal into KeyboardInterrupt, so that runs end KILLED and locks are released."""
    raise KeyboardInterrupt


def interrupt_once(_signal: int, _frame: object) -> None:
    """Interrupt this process; a second signal must not disturb the closing of its runs."""
    for kind in (signal.SIGTERM, signal.SIGINT):
        signal.signal(kind, _nothing)  # with SIG_IGN, Python would report an error for a signal that is already pending
    raise KeyboardInterrupt


def _nothing(_signal: int, _frame: object) -> None:
    pass


@contextmanager
def keep_interrupts(again: Callable[[int, object], None]) -> Iterator[None]:
    """Call `again`, as a handler of signals, for an interrupt that comes within the block while Python cleans up.

    Python drops an exception that is raised there, as in a callback of a weak reference: it prints a traceback, and the process
    would continue.
    """
    before = sys.unraisablehook

    def heard(dropped: Any) -> None:  # noqa: ANN401 - its type has no name at run time
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            # Raised now, it would be dropped again.
            signal.setitimer(signal.ITIMER_REAL, SOON_SECONDS, SOON_SECONDS)
        else:
            before(dropped)

    def tried(kind: int, frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        again(kind, frame)

    handler = signal.signal(signal.SIGALRM, tried)
    sys.unraisablehook = heard
    try:
        yield
    finally:
        sys.unraisablehook = before
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # the block has ended first
            again(signal.SIGALRM, None)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Delay an interrupt to the end of the block, a transaction of a database.

    A block within another one is a part of that one.

    SQLAlchemy does not always roll back a transaction that an interrupt breaks off. Its connection keeps the lock for as
    long as the traceback lives, and the same process then waits for that lock when it closes its runs.
    """
    # Signals are handled in the main thread alone.
    if _waiting.get() or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, float]] = []
    handlers = {kind: handler for kind in KINDS if callable(handler := signal.getsignal(kind))}

    def hear(kind: int, frame: FrameType | None) -> None:
        if kind == signal.SIGALRM:
            signal.setitimer(signal.ITIMER_REAL, 0)
        came.append((kind, time.monotonic()))
        if came[-1][1] - came[0][1] > INSISTING_SECONDS:
            handlers[signal.Signals(kind)](kind, frame)

    def tell() -> None:
        if came:
            signal.raise_signal(came[0][0])

    with ExitStack() as after:
        after.callback(tell)  # the last one: the handlers are there again
        after.callback(_waiting.reset, _waiting.set(True))
        for kind, handler in handlers.items():
            after.callback(signal.signal, kind, handler)
            signal.signal(kind, hear)
        yield
