"""Work for the launcher, in a module that its worker processes can import."""

import os
import time


def double(task, notify):
    notify(("working on", task))
    if task == 13:
        raise ValueError("unlucky")
    return 2 * task, os.getpid()


def wait_or_die(task, notify):
    if task == "die":
        time.sleep(0.5)
        os._exit(1)
    for _ in range(200):
        notify("alive")
        time.sleep(0.05)


def interrupt_first(task, notify):
    notify(task)
    time.sleep(30)
