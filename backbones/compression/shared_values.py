"""Values that many weights share: k-means in one dimension, exact at each step.

Sorted numbers fall to their nearest value in runs, so a step of Lloyd's algorithm is one binary
search for the runs' ends and one difference of running sums. The values begin evenly spaced, which
S. Han et al. (2016) found best: the few large weights, which matter most, keep values of their own.
"""

import numpy as np
from numpy.typing import NDArray

_MOST_STEPS = 200

Floats = NDArray[np.float64]


def share(numbers: Floats, count: int) -> tuple[Floats, NDArray[np.int64]]:
    """Find a few values that many numbers can be replaced by.

    Args:
        numbers: (n,), n ≥ 1, finite.
        count: How many values there may be, at least 1.

    Returns:
        The values in their order, (k ≤ count,), each the mean of the numbers that are nearest to
        it, and for each number the index of its value, (n,).
    """
    order = np.sort(numbers)
    sums = np.concatenate([[0.0], np.cumsum(order)])
    values = np.unique(np.linspace(order[0], order[-1], count))
    for _ in range(_MOST_STEPS):
        ends = np.searchsorted(order, (values[1:] + values[:-1]) / 2, side="right")
        edges = np.concatenate([[0], ends, [len(order)]])
        sizes = np.diff(edges)
        kept = sizes > 0
        means = np.diff(sums[edges])[kept] / sizes[kept]
        # A mean of equal numbers may be off by rounding; it stays within its run all the same.
        means = np.clip(means, order[edges[:-1][kept]], order[edges[1:][kept] - 1])
        settled = len(means) == len(values) and bool(np.all(means == values))
        values = means
        if settled:
            break
    return values, np.searchsorted((values[1:] + values[:-1]) / 2, numbers, side="left")
