"""Launching of tasks: in this process, or in several local worker processes with one thread each.

The launcher receives the function that does a task, and knows nothing about the tasks themselves.
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
"""Sends a message from a task to its launcher."""

POLL_SECONDS = 0.2
"""Seconds between two checks for messages and dead workers; a result is noticed at once."""
GRACE_SECONDS = 30.0
"""How long interrupted workers may take to close their runs before they are killed."""
ORPHAN_SECONDS = 3.0
"""How long a worker may take to close its runs after its launcher died."""
LONGEST_FOLDER = 71
"""Longest path of the folder for temporary files, in bytes: a socket adds 32 to it, and the path of a socket has at most 103 on
macOS (107 on Linux)."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Environment of a process that computes in one thread: cells must be comparable, and processes share the cores.

Torch reads these variables when it is imported, so they are set before that.
"""
MODULES = ("pipeline.comparison", "pipeline.tracking.mlflow_tracker", "models.lstm.function")
"""Modules that workers need to train a cell, by name because this module must not import them. The last one has the kernels, and
numba."""
INTERRUPTED = 130
"""Exit code of an interrupted worker."""

_worker: dict[str, Any] = {}
"""Arguments that a worker process received when it started."""


def prepare_workers(*modules: str) -> None:
    """Start the fork server, which imports these modules in the background; a second call does nothing.

    Workers are forked from it, so they start at once and share the memory of the imported modules. It ends after this process and
    its workers. UsageError if the path of the folder for temporary files is too long.
    """
    if len(os.fsencode(folder := gettempdir())) > LONGEST_FOLDER:
        raise UsageError(
            f"TMPDIR: must have a path of at most {LONGEST_FOLDER} bytes, as sockets of workers lie in it, got {folder}. "
            "Set it to a shorter one, such as /tmp, or give --workers 1."
        )
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    before = os.environ.get("PYTHONPATH")
    # The fork server searches PYTHONPATH for modules and ignores sys.path: https://github.com/python/cpython/issues/117378
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), before]))
    # Ctrl-C reaches all processes, and a process that is still importing would print a traceback. It therefore inherits that the
    # signal is blocked. The resource tracker is started before that, because its start unblocks the signal.
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

    A task is requested when a worker is free. The iterator of tasks may be exhausted at that moment and have another task after a
    result; the work is done when the iterator is exhausted and no task runs.
    """

    def __call__(
        self, tasks: Iterable[Task], work: Callable[[Task, Notify], Result], *, workers: int, notify: Notify
    ) -> Iterator[tuple[Task, Result | Exception]]:
        """Run the tasks in at most `workers` workers, whose messages go to `notify`."""


def run_tasks(
    tasks: Iterable[Task], work: Callable[[Task, Notify], Result], *, workers: int, notify: Notify
) -> Iterator[tuple[Task, Result | Exception]]:
    """Run tasks on this machine: with one worker, one after another in this process, otherwise in worker processes.

    An interrupt of this process interrupts the workers; a worker whose parent died interrupts itself. RunError if a worker was
    killed.
    """
    offered = iter(tasks)
    if workers <= 1:
        while (task := next(offered, None)) is not None:
            yield task, attempt(work, task, notify)
        return
    first = list(islice(offered, workers))
    if not first:
        return
    # Not "fork": a child would inherit locks that threads of torch and MLflow hold, but not the threads that release them. The
    # fork server's only other thread is that of an allocator (jemalloc, in pyarrow), which is made for forks.
    prepare_workers(work.__module__)
    context = multiprocessing.get_context("forkserver")
    messages = context.SimpleQueue()
    # Workers wait for this event: a pool that breaks while tasks are submitted forgets the process that it is just starting,
    # and then waits forever for its end.
    complete = context.Event()
    pool = ProcessPoolExecutor(len(first), context, _start_worker, (work, messages, dict(os.environ), complete))
    futures: dict[Future[Result | Exception], Task] = {}
    processes: list[BaseProcess] = []
    try:
        with _starting(len(first), processes):
            futures |= _submitted(pool, first)
        complete.set()
        # At most as many tasks at a time as at first, because the pool has that many processes.
        room = len(futures)
        while futures:
            _check_alive(processes)
            finished, _ = wait(futures, POLL_SECONDS, FIRST_COMPLETED)
            # Messages come before results: those of a task must be passed on before the end of the task is reported.
            _hear(messages, notify)
            for future in finished:
                yield futures.pop(future), future.result()
            futures |= _submitted(pool, islice(offered, room - len(futures)))
    except BrokenProcessPool as broken:
        # The other workers do not notice, and their runs must be closed before this process reports the error.
        _end(processes)
        if broken.__cause__:  # no worker died, but a result could not be unpickled: a defect of the work
            raise
        # After the shutdown the exit codes are known: the pool's own thread collects them (`_end` says why this one must not).
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
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_alive(processes: Sequence[BaseProcess]) -> None:
    """Raise BrokenProcessPool if a worker died: the pool does not watch a process that it started while it waited for another."""
    if wait_for_any([process.sentinel for process in processes], 0):
        raise BrokenProcessPool


def _interrupted(processes: Sequence[BaseProcess]) -> bool:
    """Return whether at least one worker ended by an interrupt and none by an error; a broken pool terminates the others."""
    return {process.exitcode for process in processes} - {0, -signal.SIGTERM} == {INTERRUPTED}


def _end(processes: Sequence[BaseProcess]) -> None:
    """Interrupt processes, and kill those that have not closed their runs after `GRACE_SECONDS`."""
    # All are interrupted before waiting for any, so that they close their runs in parallel within one grace period.
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        # Not `join`: the pool's thread joins it, too, and the second request for the exit code of a forked process returns 255.
        if not wait_for_any([process.sentinel], max(0.0, deadline - time.monotonic())):
            process.kill()


def attempt(work: Callable[[Task, Notify], Result], task: Task, notify: Notify) -> Result | Exception:
    """Do a task and return its result, or the error that ended it."""
    try:
        return work(task, notify)
    except Exception as error:  # noqa: BLE001 - handed to the caller, who decides
        # The causes of an error are lost when it is sent to another process, and one of them may be the full disk.
        return disk_error(error) or error


def _start_worker(
    work: Callable[[Any, Notify], Any], messages: SimpleQueue[Any], environment: Mapping[str, str], complete: Event
) -> None:
    os.environ.clear()  # it is the environment in which the fork server was started, perhaps long ago
    os.environ.update(environment)
    # Set before the signal handlers, which read it.
    _worker.update(work=work, messages=messages, busy=False)
    # By default SIGTERM ends a process on the spot, and its run would stay RUNNING. SIGINT has the same handler, because
    # Ctrl-C reaches every process of the terminal: a worker gets that signal and then the launcher's SIGTERM.
    signal.signal(signal.SIGTERM, _interrupt_once)
    signal.signal(signal.SIGINT, _interrupt_once)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    complete.wait()


def _end_with_parent() -> None:
    """End this process when its launcher died, because nobody could interrupt it or read its result any more.

    The main thread is interrupted, so that it closes its runs; runs that are still open after `ORPHAN_SECONDS` are closed by the
    next command. This thread can run because torch and the compiled kernels release Python's global lock while they compute.
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
        # The runs of this process are closed. It exits, because the pool would otherwise give it the next task.
        os._exit(INTERRUPTED)
    return result


def _interrupt_once(kind: int, frame: object) -> None:
    """Interrupt this process once; an idle worker exits at once, because it has no runs to close and may hold the queue's lock."""
    if not _worker["busy"]:
        os._exit(INTERRUPTED)
    interrupt_once(kind, frame)


def _tell_parent(message: object) -> None:
    _worker["messages"].put(message)
