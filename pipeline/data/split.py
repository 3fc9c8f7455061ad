"""An order of the samples from which every split and subset is cut.

- Any stretch of the order contains each class in proportion, to within one sample at either end.
- Subsets taken from the same end are nested: the first 1,000 lie among the first 2,000.
- The order depends only on integer hashes of (seed, index): it is the same on every platform and with every library version.

Source: the hash is the output function of SplitMix64, Steele, Lea and Flood 2014, doi 10.1145/2660193.2660195.
"""

import numpy as np
from numpy.typing import NDArray

GOLDEN_GAMMA = 0x9E3779B97F4A7C15


def hashes(seed: int, count: int) -> NDArray[np.uint64]:
    """Return 64-bit hashes (count,) of (seed, i) for each i below `count`: the outputs of SplitMix64, started at a hash of seed."""
    start = _mix(np.array([seed % 2**64], dtype=np.uint64))
    return _mix(start + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN_GAMMA))


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def stratified_order(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return the indices (n,) of `labels` (n,) in an order in which every stretch is stratified by class."""
    key = hashes(seed, len(labels))
    by_class = np.lexsort((key, labels))
    counts = np.bincount(labels)
    size = counts[labels[by_class]]
    rank = np.arange(len(labels)) - (np.cumsum(counts) - counts)[labels[by_class]]
    place = np.empty(len(labels))
    place[by_class] = (rank + 0.5) / size
    return np.lexsort((key, place))


def grouped_order(labels: NDArray[np.int64], groups: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return the indices (n,) of `labels` (n,) in an order in which each of the `groups` (n,) is one stretch.

    The groups are stratified by the class of their first sequence; within a group the order is random.
    """
    _, first, group_n = np.unique(groups, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.int64)
    place[stratified_order(labels[first], seed)] = np.arange(len(first))
    return np.lexsort((hashes(seed, len(labels)), place[group_n]))


def part_groups(
    labels: NDArray[np.int64], groups: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of all sequences of most groups, and of one sequence of each other group, both ascending.

    The second is the test set, with the given share of the groups. It has one sequence of each, because statistical tests assume
    independent sequences, and sequences of the same group are not independent.
    """
    order = grouped_order(labels, groups, seed)
    starts = np.flatnonzero(np.diff(groups[order], prepend=groups[order[:1]] - 1))
    tested = max(1, round(share * len(starts)))
    rest = order[starts[tested] :] if tested < len(starts) else order[:0]
    return np.sort(rest), np.sort(order[starts[:tested]])
