"""Simulates a study on many machines: `.venv/bin/python -m scripts.cluster_simulation`, a minute.

10,000 cells over 100 nodes with 16 workers each, by default. A cell trains, and asks the store when it begins, after each epoch and
when it ends; the store has some processors, and answers one call after another with each. With Ray, one driver hands out the
cells. Without, each node has a process that looks for the next free one. The costs are those of `scripts.cluster_costs`, and
docs/cluster.md has what came out.
"""

import argparse
import heapq
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

from analysis.wording import markdown_table
from pipeline.console import duration, say

CELLS, NODES, WORKERS, EPOCHS = 10_000, 100, 16, 50
LENGTHS = (60.0, 600.0, 4000.0)
"""Training seconds of a cell: from a toy to full data (30 encodings x 10 seeds are a week on two cores)."""
BEAT_SECONDS = 10.0
"""Seconds between two beats of a lease."""


@dataclass(frozen=True)
class Store:
    """The costs of a store, in seconds of its processors."""

    name: str
    processors: int
    cell: float
    """Per cell, half when it begins and half when it ends."""
    epoch: float
    """Per epoch."""
    look: float = 0.0
    """Seconds per cell of the study for a process that checks the progress of others."""
    beat: float = 0.0
    """Per beat of a lease."""
    connections: int = 0
    """Connections to the database kept by each cell in training."""


@dataclass(frozen=True)
class Launcher:
    """The costs of handing out cells."""

    name: str
    seconds: float
    """Seconds of a driver for each cell; a driver serves cells one after another."""
    drivers: int = 1


SERVER = Store("a server, 1 process", processors=1, cell=0.49, epoch=0.021, look=0.022, beat=0.0125)
STORES = (
    Store("PostgreSQL", processors=8, cell=0.067, epoch=0.0046, look=0.0033, connections=2),
    SERVER,
    replace(SERVER, name="a server, 8 processes, with `--storage`", processors=8, beat=0.0, connections=1),
)
DRIVER_SECONDS = 0.017
"""Seconds of Ray's driver per cell."""


def main() -> None:
    """Run the simulation, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=CELLS)
    parser.add_argument("--nodes", type=int, default=NODES)
    parser.add_argument("--workers", type=int, default=WORKERS)
    given = parser.parse_args()
    slots = given.nodes * given.workers
    rows = []
    for store in STORES:
        beating = store.beat * slots / BEAT_SECONDS / store.processors
        if beating >= 1:
            rows.append(
                [store.name, "any", "any", f"{store.connections * slots}", "never ends", "0%", f"{beating:.0%}"]
            )
            continue
        launchers = Launcher("Ray", DRIVER_SECONDS), Launcher("processes", store.look * given.cells, given.nodes)
        # The store capacity used by beats is subtracted before any cell asks.
        slower = replace(store, cell=store.cell / (1 - beating), epoch=store.epoch / (1 - beating))
        asked = given.cells * (store.cell + EPOCHS * store.epoch) / store.processors
        for launcher, length in product(launchers, LENGTHS):
            seconds = simulate(given.cells, slots, length, slower, launcher)
            ideal = -(-given.cells // slots) * length
            rows.append(
                [
                    store.name, launcher.name, f"{length:g} s", f"{store.connections * slots}", duration(seconds),
                    f"{ideal / seconds:.0%}", f"{asked / seconds + beating:.0%}",
                ]
            )  # fmt: skip
    columns = ["store", "launcher", "a cell trains", "connections", "takes", "efficiency", "load of the store"]
    for line in markdown_table(columns, rows).splitlines():
        say(line)


def simulate(cells: int, slots: int, length: float, store: Store, launcher: Launcher) -> float:
    """Return the duration of a study, simulated event by event, with one queue for the store and one for each driver."""
    events: list[tuple[float, int, Callable[[float], None]]] = []
    numbers = iter(range(10**9))
    free = [0.0] * store.processors
    drivers = [0.0] * launcher.drivers
    left = cells

    def at(when: float, what: Callable[[float], None]) -> None:
        heapq.heappush(events, (when, next(numbers), what))

    def ask(now: float, seconds: float, then: Callable[[float], None]) -> None:
        """Ask the store, which answers calls in the order of their arrival."""
        ends = max(now, free[0]) + seconds
        heapq.heapreplace(free, ends)
        at(ends, then)

    def begin(slot: int, now: float) -> None:
        nonlocal left
        if left:
            left -= 1
            driver = slot % launcher.drivers
            drivers[driver] = max(now, drivers[driver]) + launcher.seconds
            at(drivers[driver], lambda now: ask(now, store.cell / 2, lambda now: train(slot, now, EPOCHS)))

    def train(slot: int, now: float, epochs: int) -> None:
        if epochs:
            ended = now + length / EPOCHS
            at(ended, lambda now: ask(now, store.epoch, lambda now: train(slot, now, epochs - 1)))
        else:
            ask(now, store.cell / 2, lambda now: begin(slot, now))

    for slot in range(min(slots, cells)):
        begin(slot, 0.0)
    now = 0.0
    while events:
        now, _, what = heapq.heappop(events)
        what(now)
    return now


if __name__ == "__main__":
    main()
