"""A study of many cells: the time per cell and the memory of the process do not grow."""

import os
import statistics
import sys
import time
from pathlib import Path

import pytest
from harness import COMPARE, ask

CELLS = int(os.environ.get("FAULTS_CELLS", "500"))
STAGES = 5
MODELS = ("none", "sincos")


def resident(pid):
    """Return the resident memory of a process in bytes; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


def finished(store):
    asked = "SELECT end_time FROM runs JOIN tags USING (run_uuid) WHERE key = 'cell' AND status = 'FINISHED' ORDER BY end_time"
    return [milliseconds / 1000 for (milliseconds,) in ask(store, asked)]


def watch(running, store):
    """Return the resident memory of a process, in MB, after each finished cell."""
    memory = {}
    while not running.ended():
        if held := resident(running.pid):
            memory[len(finished(store))] = held / 1e6
        time.sleep(0.5)
    return list(memory.values())


@pytest.mark.slow
@pytest.mark.exhaustive
def test_the_last_of_many_cells_costs_what_the_first_did(place, mlflow_store, tally, capsys):
    place.environment["BROWSER_PATH"] = "/no/browser"  # the time to draw figures does not depend on cells
    table, growth = [], []
    for stage in range(1, STAGES + 1):
        cells = CELLS * stage // STAGES
        place.study(models=MODELS, seeds=cells // len(MODELS), epochs=1)
        began = time.time()
        memory = watch(place.start(*COMPARE, "--workers", "1"), mlflow_store)
        ends = [end for end in finished(mlflow_store) if end >= began]
        assert len(finished(mlflow_store)) == cells
        quarter = len(memory) // 4
        growth.append(statistics.median(memory[-quarter:]) - statistics.median(memory[quarter : 2 * quarter]))
        seconds = [cells, (ends[-1] - ends[0]) / (len(ends) - 1), memory[-1], growth[-1]]
        for verb in (("ls", "studies"), ("analyze",)):
            start = time.monotonic()
            place.run(*verb).check()
            seconds.append(time.monotonic() - start)
        table.append(seconds)
        with capsys.disabled():
            sys.stdout.write(
                "\n{} cells: {:.2f} s a cell, {:.0f} MB ({:+.0f} MB), ls {:.1f} s, analyze {:.1f} s".format(*seconds)
            )
    tally.add(expected=CELLS, found=len(finished(mlflow_store)))
    first, last = table[0], table[-1]
    assert last[1] < 2 * first[1]
    assert statistics.median(growth) < 50
    for column in (4, 5):
        assert last[column] < 2 * STAGES * first[column]
