"""Costs of new processes: of help, the start of a training, its processor time and its memory."""

import os
import re
import resource
import subprocess
import sys
import time

from pipeline.bench.lines import Line, at_most
from pipeline.bench.rounds import workplace
from pipeline.console import say
from pipeline.costs import STATUS
from pipeline.errors import RunError
from pipeline.place import ROOT

HELPS, STARTS, PEAKS = 5, 3, 3
"""Number of processes of each kind; one more training is run first and discarded."""
SAMPLE = ("--data.name=mnist_sample", "--train.epochs=1")
"""Settings of a training on the small sample."""
LARGER = (
    "--data.name=event_mnist", "--train_size=2000", "--validation_size=500", "--test_size=2000", "--train.epochs=1",
)  # fmt: skip
"""Settings of the training whose memory is measured: all images are read, and the longest test sequences form one batch."""
TRAIN = """
import sys, time
from pipeline.__main__ import main
from pipeline.training import loop
batches_of = loop.batches_of
def first(*arguments):
    print("first batch at", time.monotonic(), flush=True)
    loop.batches_of = batches_of
    return batches_of(*arguments)
loop.batches_of = first
if code := main(["train", *sys.argv[1:]]):
    sys.exit(code)
"""
"""Code that runs `python -m pipeline train` and prints the time of its first batch."""
PEAK = """
import re
print("peak of", re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


def help_lines(*, quick: bool) -> list[Line]:
    """Return the seconds of `python -m pipeline --help`."""
    seconds = time_help(2 if quick else HELPS)
    return [Line(name="python -m pipeline --help", unit="s", values=tuple(seconds), target=at_most(0.5))]


def time_help(rounds: int) -> list[float]:
    """Return the seconds of `python -m pipeline --help`, each in a new process."""
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "pipeline", "--help"], cwd=ROOT, capture_output=True, check=True)
        seconds.append(time.perf_counter() - began)
    return seconds


def start_lines(*, quick: bool) -> list[Line]:
    """Return the seconds until the first batch, and the processor time of a whole training on the sample."""
    del quick  # a process takes ten seconds: the section is left out of the quick benchmark
    waits, cpu = [], []
    with workplace(warm=True):
        for seed in range(STARTS + 1):  # a new seed each time, because a trained one would be reused
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            said = _run(TRAIN, *SAMPLE, f"--seed={seed}")
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if seed:
                waits.append(_told("first batch at", said) - began)
                cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return [
        Line(name="train to its first batch, warm store", unit="s", values=tuple(waits), target=at_most(8)),
        Line(name="whole train on the small sample, processor time", unit="s", values=tuple(cpu), target=at_most(6)),
    ]


def memory_lines(*, quick: bool) -> list[Line]:
    """Return the peak memory of a training process, and that of a process that only imports torch."""
    del quick  # as above
    if not STATUS.exists():
        say("memory: this system does not tell the peak of a process")
        return []
    with workplace(warm=True):
        torch = [_told("peak of", _run("import torch" + PEAK)) * 1024 / 1e6 for _ in range(PEAKS)]
        # The first process may compile the kernels, which takes memory of its own.
        _run(TRAIN, *SAMPLE, "--seed=0")
        training = [
            _told("peak of", _run(TRAIN + PEAK, *LARGER, f"--seed={seed}")) * 1024 / 1e6 for seed in range(1, PEAKS + 1)
        ]
    over = tuple(own - base for own, base in zip(training, torch, strict=True))
    return [
        Line(name="training process over torch's own import", unit="MB", values=over, target=at_most(400)),
        Line(name="training process", unit="MB", values=tuple(training)),
        Line(name="import torch", unit="MB", values=tuple(torch)),
    ]


def _run(code: str, *arguments: str) -> str:
    """Run Python code in a new process and in this folder, and return what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RunError(f"bench: a process must end well, got code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _told(what: str, said: str) -> float:
    found = re.search(rf"^{what} ([\d.]+)$", said, re.MULTILINE)
    assert found is not None, said  # noqa: S101 - the code above prints it
    return float(found[1])
