"""Measures how often a prediction of new runs holds them: `.venv/bin/python -m scripts.claim_coverage`, minutes on one core.

A model of known worlds (scripts/calibrate.py) is trained with some seeds and scored on some images; then its prediction of the
mean of new runs on new images is held against new runs on new images. The table goes between the markers of docs/statistics.md.
`--studies` is the number of simulated studies a row.
"""

import argparse
from dataclasses import replace
from itertools import product

import pandas as pd

from analysis.statistics.prediction import Spread
from analysis.statistics.randomness import stream
from analysis.wording import markdown_table
from pipeline.console import say
from scripts.calibrate import WORLDS, rate, write

SEEDS = (3, 5, 10)
NEW = ((1, 1), (5, 1), (1, 4))
"""New runs, and new images as multiples of the images of the study."""
LEFT_OUT = ("10,000 images", "one model collapses")
"""Worlds that add no information: the first takes long, and for a single model the second is `all models collapse`."""
LEVEL = 0.95

measured = Spread.of

Case = tuple[str, int, int, int]
"""Name of the world, seeds, new runs, and new images as a multiple of the images of the study."""


def main() -> None:
    """Run the simulation, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    call = parser.parse_args()
    worlds = [name for name in WORLDS if name not in LEFT_OUT]
    rows = []
    for world, seeds, (runs, times) in product(worlds, SEEDS, NEW):
        rows.append(coverage((world, seeds, runs, times), studies=call.studies))
        say(", ".join(f"{name} {value}" for name, value in rows[-1].items()))
    write("predictions", by_world(pd.DataFrame(rows)))


def coverage(case: Case, *, studies: int) -> dict[str, object]:
    """Return how often the mean of new runs lies in its 95 % prediction interval, and the mean width of the interval."""
    name, seeds, runs, times = case
    world, generator = WORLDS[name], stream("claim coverage", *case)
    new = replace(world, images=times * world.images)
    held, width = 0, 0.0
    for _ in range(studies):
        spread = measured(world.answers([world.accuracy], seeds, generator)[0])
        scored = float(new.answers([world.accuracy], runs, generator).mean())
        low, high = spread.prediction(runs, new.images).interval(LEVEL)
        held += low <= scored <= high
        width += (high - low) / studies
    return {
        "world": name,
        "seeds": seeds,
        "runs": runs,
        "times": times,
        "coverage": held / studies,
        "width": width,
    }


def by_world(table: pd.DataFrame) -> str:
    """Return one row per world and kind of claim, one column per number of seeds."""
    cells = table.pivot_table("coverage", ["world", "runs", "times"], "seeds", sort=False)
    rows = [
        [world, runs, "as many" if times == 1 else f"{times} times", *(rate(line[count]) for count in cells)]
        for (world, runs, times), line in cells.iterrows()  # type: ignore[misc]
    ]
    return markdown_table(["world", "new runs", "new images", *(f"{count} seeds" for count in cells)], rows)


if __name__ == "__main__":
    main()
