"""Measures how often the intervals of "Which randomness?" hold the truth: `.venv/bin/python -m scripts.stream_coverage`, minutes.

Runs of two models are drawn whose parts of the variance are known, in squares of 3 and 5 levels. docs/statistics.md has what came out.
`--studies` is the number of simulated studies a row.
"""

import argparse
from itertools import product

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.randomness import stream
from analysis.statistics.streams import pairing, split
from analysis.wording import markdown_table
from pipeline.console import say
from scripts.calibrate import rate

MIXES = {
    "init most": ((5.0, 2.0, 1.0), 2.0, 0.5),
    "rest most": ((1.0, 1.0, 1.0), 7.0, 0.3),
    "rest alone": ((0.0, 0.0, 0.0), 1.0, 0.0),
    "init and rest": ((6.0, 0.0, 0.0), 4.0, 0.8),
}
"""Variances of init, order and dropout, variance of the rest, and correlation of the two models in every component."""
COUNTS = (3, 5)
PARTS = ("init", "order", "dropout", "rest", "deviation", "correlation", "worth of pairing")


def main() -> None:
    """Run the simulation, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000)
    studies = parser.parse_args().studies
    rows = [[mix, count, *map(rate, held(mix, count, studies))] for mix, count in product(MIXES, COUNTS)]
    for line in markdown_table(["mix", "levels", *PARTS], rows).splitlines():
        say(line)


def held(mix: str, count: int, studies: int) -> NDArray[np.float64]:
    """Return the share of studies in which the interval covers the true value, for each of PARTS."""
    (variances, rest, correlation), levels_RF = MIXES[mix], square(count)
    generator, total = stream("stream coverage", mix, count), sum(variances) + rest
    truth = [*(part / total for part in (*variances, rest)), total**0.5, correlation, 1 / (1 - correlation)]
    found = np.zeros(len(truth))
    for _ in range(studies):
        values_R2 = drawn(levels_RF, variances, rest, correlation, generator)
        one, both = split(values_R2[:, 0], levels_RF, generator), pairing(values_R2, levels_RF, generator)
        given = [*one.shares, one.deviation, both.correlation, both.worth]
        found += [part.low <= value <= part.high for part, value in zip(given, truth, strict=True)]
    return found / studies


def square(count: int, streams: int = 3) -> NDArray[np.int64]:
    """Return the levels (R, F) of a Latin square."""
    return np.array([(i, j, (i + j) % count)[:streams] for i in range(count) for j in range(count)])


def drawn(
    levels_RF: NDArray[np.int64],
    variances: tuple[float, ...],
    rest: float,
    correlation: float,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Return runs (R, 2) of two models, whose variance components have these variances in each and this correlation between them."""
    root = np.linalg.cholesky([[1, correlation], [correlation, 1]]).T
    values_R2 = np.sqrt(rest) * generator.standard_normal((len(levels_RF), 2)) @ root
    for level_R, variance in zip(levels_RF.T, variances, strict=True):
        values_R2 += (np.sqrt(variance) * generator.standard_normal((level_R.max() + 1, 2)) @ root)[level_R]
    return values_R2


if __name__ == "__main__":
    main()
