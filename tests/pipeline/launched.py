"""Work for the launcher, in a module that its worker processes can import."""

import errno
import os
import signal
import sys
import time
import weakref
from pathlib import Path


def double(task, notify):
    notify(("working on", task))
    if task == 13:
        raise ValueError("unlucky")
    return 2 * task, os.getpid()


def fill_the_disk(_task, _notify):
    try:
        raise OSError(errno.ENOSPC, "No space left on device", "/full")  # noqa: TRY301 - within, to be the cause
    except OSError as error:
        raise RuntimeError("no commit") from error  # as a database says it


def wait_or_die(task, notify):
    if task == "die":
        time.sleep(0.5)
        os._exit(1)
    for _ in range(2000):
        notify("alive")
        time.sleep(0.05)


def interrupt_first(task, notify):
    notify(task)
    time.sleep(100)


def interrupt_while_python_cleans_up(_task=None, _notify=None):
    """Have an interrupt dropped, and wait for longer than a test does."""
    drop_interrupt(signal.SIGTERM)
    time.sleep(100)


def drop_interrupt(kind):
    """Have an interrupt raised where Python drops what is raised."""
    thing = type("Thing", (), {})()
    _reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), kind))
    del thing


def ignore_interrupts(_task, notify):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    notify(os.getpid())
    time.sleep(100)


def compute(_task, notify):
    """Say nothing after the first word, as in a long epoch."""
    notify(os.getpid())
    try:
        while True:
            sum(range(1000))
    except KeyboardInterrupt:
        Path(f"{os.getpid()}.closed").touch()
        raise


def launch(work, told):
    from pipeline.launch import run_tasks  # noqa: PLC0415 - the other work starts sooner without

    list(run_tasks([1, 2], globals()[work], workers=2, notify=told.send))


def interrupt_itself(task, notify):
    if task == "end":
        return
    if task == "late":
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    wait_or_die(task, notify)


class UnreadableError(ValueError):
    def __init__(self, one, other):
        super().__init__(one)
        self.other = other


def fail_unreadably(_task, _notify):
    raise UnreadableError(1, 2)


def ablate(*options):
    """Conduct the study of this folder, in a session of its own: its workers can be killed with it."""
    from pipeline.__main__ import main  # noqa: PLC0415 - the other work starts sooner without

    os.setsid()
    sys.exit(main(["ablate", "--config", "study.json", *options]))


def claim_all(task, notify):
    from pipeline.ablation.queue import Queue  # noqa: PLC0415 - the other work starts sooner without

    study, storage = task
    queue = Queue(study, storage)
    while trial := queue.claim():
        notify((trial.number, queue.suggest(trial).name))
        queue.finish(trial, [0.5], [])
    queue.close()


def claim_and_die(study, storage):
    from pipeline.ablation.queue import Queue  # noqa: PLC0415

    Queue(study, storage).claim()
    os._exit(1)


def greet(task, _notify):
    sys.stdout.write(f"hello {task}\n")


def end_process(task, notify):
    notify(task)
    os._exit(1)


def load(config, _notify):
    """Return the digest of data, and whether they came from a file."""
    from pipeline.data import base  # noqa: PLC0415 - the other work starts sooner without

    digest = config.load().digest
    return digest, base._load.cache_info().currsize
