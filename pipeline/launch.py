"""Where cells run: this process, or several local ones with one thread each.

The launcher is handed the function that does a task; it knows nothing of what the task is.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import resource_tracker
from multiprocessing.connection import wait as wait_for_any
from multiprocessing.forkserver import ensure_running
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from tempfile import gettempdir
from types import ModuleType
from typing import Any, Protocol, TypeVar

from pipeline.errors import RunError, UsageError, disk_error, one_line
from pipeline.interrupts import interrupt_once, keep_interrupts
from pipeline.place import ROOT

Task = TypeVar("Task")
Result = TypeVar("Result")
Notify = Callable[[Any], None]
"""Sends a message from a task to whoever launched it."""

POLL_SECONDS = 0.2
"""How often messages are passed on and dead workers looked for; a result is seen at once."""
GRACE_SECONDS = 30.0
"""How long interrupted workers may take to close their runs before they are killed."""
ORPHAN_SECONDS = 3.0
"""How long a worker may take to close its runs when its launcher is gone."""
LONGEST_FOLDER = 71
"""Bytes of the folder for temporary files: the socket in it has 32 more, and the path of one 103 at most, on macOS (Linux: 107)."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Environment of a process that computes in one thread: cells must be comparable, and processes share the cores.

Torch reads it when it is imported, so it is set before.
"""
MODULES = ("pipeline.comparison", "pipeline.tracking.mlflow_tracker", "models.lstm.function")
"""What workers need to train a cell: names, as this module imports nothing of it. The last one has the kernels, and numba."""
INTERRUPTED = 130
"""Exit code of an interrupted worker."""

_worker: dict[str, Any] = {}
"""What a worker process was handed when it started."""


def prepare_workers(*modules: str) -> None:
    """Start the process that workers are forked from, which imports these modules meanwhile; again it does nothing.

    Workers then begin at once, and share the memory of what was imported. It ends after this process and its workers.
    UsageError where the path of the folder for temporary files is too long.
    """
    if len(os.fsencode(folder := gettempdir())) > LONGEST_FOLDER:
        raise UsageError(
            f"TMPDIR: must have a path of at most {LONGEST_FOLDER} bytes, as sockets of workers lie in it, got {folder}. "
            "Set it to a shorter one, such as /tmp, or give --workers 1."
        )
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    before = os.environ.get("PYTHONPATH")
    # The fork server imports what PYTHONPATH has (https://github.com/python/cpython/issues/117378), whatever sys.path has.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), before]))
    # Ctrl-C reaches all processes, and one that still imports would print a traceback: it inherits that the signal waits.
    # The tracker of resources comes first, because its start lets the signal through again.
    resource_tracker.ensure_running()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


class Launch(Protocol):
    """Runs `work(task, notify)` for every task and yields each with its result, or the error that ended it.

    A task is asked for when a worker is free. An iterator of tasks may have none at that moment and another one when a
    result has come; the work is done when it has none and nothing runs.
    """

    def __call__(
        self, tasks: Iterable[Task], work: Callable[[Task, Notify], Result], *, workers: int, notify: Notify
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """Run the tasks in so many workers, whose messages go to `notify`."""


def run_tasks(
    tasks: Iterable[Task], work: Callable[[Task, Notify], Result], *, workers: int, notify: Notify
) -> Iterator[tuple[Task, Result | Exception]]:
    """Run tasks on this machine, one after another in this process or side by side in several.

    An interrupt of this process interrupts the workers; a worker whose parent is gone interrupts itself.
    """
    offered = iter(tasks)
    if workers <= 1:
        while (task := next(offered, None)) is not None:
            yield task, attempt(work, task, notify)
        return
    first = list(islice(offered, workers))
    if not first:
        return
    # Not "fork": the child would inherit the threads' locks of torch and MLflow, but not the threads that open them. The
    # fork server has no threads but that of an allocator (jemalloc, in pyarrow), which is made for forks.
    prepare_workers(work.__module__)
    context = multiprocessing.get_context("forkserver")
    messages = context.SimpleQueue()
    # Workers wait for this: a pool that breaks while tasks are submitted forgets the process that it starts just then,
    # and waits for its end for ever.
    complete = context.Event()
    pool = ProcessPoolExecutor(len(first), context, _start_worker, (work, messages, dict(os.environ), complete))
    futures: dict[Future[Result | Exception], Task] = {}
    processes: list[BaseProcess] = []
    try:
        with _starting(len(first), processes):
            futures |= _submitted(pool, first)
        complete.set()
        # No more at once than at first: for them the pool has processes.
        room = len(futures)
        while futures:
            _check_alive(processes)
            finished, _ = wait(futures, POLL_SECONDS, FIRST_COMPLETED)
            # Before the results: what a task has said must be heard before it is told to have ended.
            _hear(messages, notify)
            for future in finished:
                yield futures.pop(future), future.result()
            futures |= _submitted(pool, islice(offered, room - len(futures)))
    except BrokenProcessPool as broken:
        # The other workers know nothing of it, and their runs must be closed before this process reports its end.
        _end(processes)
        if broken.__cause__:  # no worker that ended, but an answer that could not be read: a defect of the work
            raise
        # Then the exit codes, which the pool's own thread has asked for (`_end` says why this one must not).
        pool.shutdown(wait=True)
        if _interrupted(processes):
            raise KeyboardInterrupt from None
        raise RunError(
            "workers: must run to their end, got one that was killed, perhaps for memory. "
            "Run the same command again, it goes on; --workers 1 needs less memory."
        ) from None
    finally:
        # An interrupt, or a caller that stopped listening. Workers are ended before the pool is shut down, because
        # that waits for the tasks that have begun, which may be hours of training.
        if futures or not complete.is_set():
            _end(processes)
        pool.shutdown(wait=True, cancel_futures=True)


def _submitted(pool: ProcessPoolExecutor, tasks: Iterable[Task]) -> dict[Future[Any], Task]:
    return {pool.submit(_in_worker, task): task for task in tasks}


def _hear(messages: SimpleQueue[Any], notify: Notify) -> None:
    while not messages.empty():
        notify(messages.get())


@contextmanager
def _starting(count: int, processes: list[BaseProcess]) -> Iterator[None]:
    """Start so many processes, which are added to `processes` as far as they were started. Ctrl-C waits meanwhile.

    They know no main module, because they would run a user's script once more, guarded or not: what they need lies in
    modules of this project. For them Ctrl-C waits until `_start_worker` has set what it does.
    """
    # The pool keeps no process public, so its processes are those that are there in the end, and were not before.
    others = multiprocessing.active_children()
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    except OSError as error:
        raise RunError(
            f"--workers: must be as many as this machine can start, got {count} ({one_line(error)}). Give fewer."
        ) from error
    finally:
        processes += [process for process in multiprocessing.active_children() if process not in others]
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_alive(processes: Sequence[BaseProcess]) -> None:
    """Notice a worker that was killed: the pool does not watch one that it started while it waited for another."""
    if wait_for_any([process.sentinel for process in processes], 0):
        raise BrokenProcessPool


def _interrupted(processes: Sequence[BaseProcess]) -> bool:
    """Say whether workers have ended by an interrupt, and none in another way; a broken pool terminates the others."""
    return {process.exitcode for process in processes} - {0, -signal.SIGTERM} == {INTERRUPTED}


def _end(processes: Sequence[BaseProcess]) -> None:
    """Interrupt processes, and kill those that have not closed their runs after a while."""
    # All are asked before any is waited for, so that they close their runs side by side within one grace.
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        # Not `join`: the pool's thread joins it, too, and the second to ask for the exit code of a forked process gets 255.
        if not wait_for_any([process.sentinel], max(0.0, deadline - time.monotonic())):
            process.kill()


def attempt(work: Callable[[Task, Notify], Result], task: Task, notify: Notify) -> Result | Exception:
    """Do a task and return its result, or the error that ended it."""
    try:
        return work(task, notify)
    except Exception as error:  # noqa: BLE001 - handed to the caller, who decides
        # What led to an error stays in its process, and may be what tells of a full disk.
        return disk_error(error) or error


def _start_worker(
    work: Callable[[Any, Notify], Any], messages: SimpleQueue[Any], environment: Mapping[str, str], complete: Event
) -> None:
    os.environ.clear()  # it is that in which the fork server was started, perhaps long ago
    os.environ.update(environment)
    # Before the handlers, which read it.
    _worker.update(work=work, messages=messages, busy=False)
    # By default SIGTERM ends a process on the spot, and its run would stay RUNNING. SIGINT has the same handler, because
    # Ctrl-C reaches every process of the terminal: a worker gets that signal and then the launcher's SIGTERM.
    signal.signal(signal.SIGTERM, _interrupt_once)
    signal.signal(signal.SIGINT, _interrupt_once)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    complete.wait()


def _end_with_parent() -> None:
    """End this process when its launcher is gone, which could interrupt nobody and reads no result.

    The main thread is interrupted, so that it closes its runs; what it has not closed after a while the next call closes.
    torch and the compiled kernels leave Python's lock to this thread while they compute.
    """
    launcher = multiprocessing.parent_process()
    assert launcher  # noqa: S101 - a worker has one
    launcher.join()
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    time.sleep(ORPHAN_SECONDS)
    os._exit(INTERRUPTED)


def _in_worker(task: Task) -> Any:  # noqa: ANN401
    try:
        with keep_interrupts(_interrupt_once):
            # Within the `try`: from here on a signal raises KeyboardInterrupt, which must not reach the pool.
            _worker["busy"] = True
            result = attempt(_worker["work"], task, _tell_parent)
            _worker["busy"] = False
    except KeyboardInterrupt:
        # The pool would keep this process for the next task. Its runs are closed; nothing else is left to do.
        os._exit(INTERRUPTED)
    return result


def _interrupt_once(kind: int, frame: object) -> None:
    """Interrupt this process once; an idle worker has no runs to close, and waits for a task with the queue's lock in its hand."""
    if not _worker["busy"]:
        os._exit(INTERRUPTED)
    interrupt_once(kind, frame)


def _tell_parent(message: object) -> None:
    _worker["messages"].put(message)
