"""Crossed bootstrap: seeds and images are drawn again at the same time, and the difference is taken anew.

The images that are drawn are the same for every run, so their part is computed once for the whole study. Seeds are
drawn as pairs where their streams are shared. Never seeds alone: five of them give intervals that are too short. So they
do here where seeds differ by more than the images explain, and `COVERAGE` says by how much.

Letters: B draws, R runs, S seeds, n images.
"""

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.two_way import Correct

DRAWS = 2_000
CHUNK = 100
"""Draws at a time: bounds the memory."""

COVERAGE = {2: 50, 3: 73, 5: 83, 10: 90, 20: 92}
"""Percent of studies in which an interval at 95 % holds the truth, by seeds, where only these vary."""

Resampled = NDArray[np.float32]


def resample_images(correct_Rn: Correct, generator: np.random.Generator, draws: int = DRAWS) -> Resampled:
    """Return the accuracy of every run on every draw of images, (B, R)."""
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
    """Return the percentile interval of a minus b over draws of images and seeds; NaN with fewer than two seeds."""
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
