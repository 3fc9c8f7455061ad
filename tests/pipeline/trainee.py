"""A process that trains two cells when it is told to, and hangs in the middle of the second: for tests of ownership."""

import json
import sys
import time

from pipeline import unfinished
from pipeline.settings import build_run
from pipeline.study import Cell
from pipeline.tracking import connect, ownership
from pipeline.train import run_cell
from pipeline.training import loop

batches_of = loop.batches_of


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def hanging(dataset, config, number):
    # A checkpoint is copied only while no other file waits to be sent: those of the beginning may take a server long.
    while (config.seed, number) == (1, 2) and any(tracker.checkpoints.glob("*/spool/*")):
        time.sleep(0.05)
    for index, batch in enumerate(batches_of(dataset, config, number)):
        if (config.seed, number, index) == (1, 3, 1):
            say("in the middle")
            sys.stdin.readline()
        yield batch


loop.batches_of = hanging
unfinished.UPLOAD_SECONDS = 0.0
# A lease of this test is renewed more often, and its owner given up sooner, in the same proportion or more.
ownership.BEAT_SECONDS, ownership.DEAD_SECONDS = 1.0, 12.0
tracker = connect()
for seed in (0, 1):
    say("ready")
    sys.stdin.readline()
    cell = Cell("small", build_run({**json.loads(sys.argv[1]), "seed": seed}))
    outcome = run_cell(cell, tracker, device="cpu", report=lambda _, history: say(f"epoch {len(history)}"))
    say(f"{'reused' if outcome.reused else 'trained'} {outcome.run_id}")
