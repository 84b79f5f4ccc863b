"""A threshold by what few people show, and by what a network's weights say of others.

At a level that a tenth of comparisons reach, which few people suffice for, a gallery may be met
more or less often than the weights say. How many times as often, f, is gamma distributed before
looking, of mean 1 and as uncertain as what the weights say; after k of the comparisons reached the
level where E were expected, its mean is (a + k) / (a + E), with a one over the squared coefficient
of variation from before (the gamma-Poisson rule). Few comparisons leave the weights' word, many
replace it. From that level on the tail is the weights', f times as high.
"""

from dataclasses import dataclass

import numpy as np

from data.errors import ArgumentError

from .calibration import LARGEST_RATE
from .cutoffs import Impostors, share_above
from .impostor_tail import ImpostorTail, Searched, gamma_interval
from .intervals import Interval

_LARGEST = 0.5  # rate that a tail is asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Combined:
    """A threshold from both.

    Attributes:
        threshold: The cosine similarity.
        threshold_interval: 95 % interval of the threshold.
        rate_interval: 95 % interval of the rate at which the threshold is reached.
        comparisons: How many there were, in such as count alike.
        times: How many times as often as the weights say strangers pass, f.
    """

    threshold: float
    threshold_interval: Interval
    rate_interval: Interval
    comparisons: int
    times: float


def combined(
    impostors: Impostors, tail: ImpostorTail, searched: Searched | None, rate: float
) -> Combined:
    """Return the threshold that is reached at a rate.

    Args:
        impostors: What was seen: a comparison a search, or single ones.
        tail: What the weights say.
        searched: Among whom a search looks; None for single comparisons.
        rate: What is wanted.

    Raises:
        ArgumentError: The rate cannot be promised among so many.
    """

    def at(wanted: float) -> float:
        wanted = min(wanted, _LARGEST)
        if searched is None:
            return tail.far_threshold(wanted)
        return tail.threshold(wanted, searched)

    def at_or_beyond(wanted: float) -> float:
        try:
            return at(wanted)
        except ArgumentError:
            return 1.0

    level = at(LARGEST_RATE)
    said = tail.pairs_rate(level) if searched is None else tail.named_rate(level, searched)
    before = 1 / max(tail.variation(level, searched), 1e-9)
    # Comparisons of one person rise and fall together: they count as many as there are people.
    count = min(impostors.effective, len(np.unique(impostors.people)))
    seen = share_above(impostors, level) * count if count else 0.0
    after = before + seen
    times = after / (before + said.rate * count)
    threshold = at(rate / times)
    further = tail.variation(threshold, searched) - tail.variation(level, searched)
    low, high = gamma_interval(rate, 1 / after + max(further, 0.0))
    lowest, highest = (at_or_beyond(rate / times * rate / max(end, 1e-12)) for end in (low, high))
    return Combined(
        threshold=threshold,
        threshold_interval=(min(lowest, threshold), max(highest, threshold)),
        rate_interval=(low, high),
        comparisons=impostors.effective,
        times=times,
    )
