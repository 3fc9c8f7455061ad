"""Crossed bootstrap: seeds and images are resampled at the same time, and the difference is computed on each resample.

The resampled images are the same for every run, so the accuracies on them are computed once for the whole study. Seeds are
resampled as pairs if models share their random streams. Seeds are never resampled without images: with five seeds the intervals
are too short. They are too short here as well if seeds differ by more than the images explain; `COVERAGE` says by how much.

Letters: B draws, R runs, S seeds, n images.
"""

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.two_way import Correct

DRAWS = 2_000
CHUNK = 100
"""Draws per batch, to limit memory."""

COVERAGE = {2: 50, 3: 73, 5: 83, 10: 90, 20: 92}
"""Coverage in percent of an interval at 95 %, by number of seeds, if accuracies vary only over seeds (simulated)."""

Resampled = NDArray[np.float32]


def resample_images(correct_Rn: Correct, generator: np.random.Generator, draws: int = DRAWS) -> Resampled:
    """Return the accuracy in [0, 1] of every run on every draw of images, (B, R), from correct answers (R, n)."""
    images = correct_Rn.shape[1]
    right_nR = correct_Rn.T.astype(np.float32)
    chunks = []
    for start in range(0, draws, CHUNK):
        size = min(CHUNK, draws - start)
        drawn = generator.integers(images, size=(size, images)) + images * np.arange(size)[:, None]
        counts_Bn = np.bincount(drawn.ravel(), minlength=size * images).reshape(size, images)
        chunks.append(counts_Bn.astype(np.float32) @ right_nR / images)
    return np.concatenate(chunks)


def crossed_interval(
    a_BS: Resampled, b_BS: Resampled, generator: np.random.Generator, *, paired: bool, level: float
) -> tuple[float, float]:
    """Return the percentile interval at `level` of a minus b over draws of images and seeds, in [0, 1] units.

    Takes accuracies (B, S) of `resample_images`. NaN with fewer than two seeds. With `paired`, seeds are drawn as pairs.
    """
    if min(a_BS.shape[1], b_BS.shape[1]) < 2:  # noqa: PLR2004  one seed says nothing about seeds
        return float("nan"), float("nan")
    gap_B = (
        _drawn_mean(a_BS - b_BS, generator) if paired else _drawn_mean(a_BS, generator) - _drawn_mean(b_BS, generator)
    )
    low, high = np.quantile(gap_B, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _drawn_mean(values_BS: Resampled, generator: np.random.Generator) -> NDArray[np.float64]:
    drawn_BS = generator.integers(values_BS.shape[1], size=values_BS.shape)
    mean: NDArray[np.float64] = np.take_along_axis(values_BS, drawn_BS, axis=1).mean(axis=1, dtype=np.float64)
    return mean
