"""The figures of pairs that were compared and decided, and how far they can be trusted."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import metrics
from .comparisons import Comparisons
from .intervals import (
    REPLICATES,
    Interval,
    angles,
    difference_interval,
    freedom_by_person,
    score_interval,
    spread_by_person,
    variance_of_share,
    variances_by_person,
)
from .weighted import WeightedCurve, Weights, weighted_share

FAR_POINTS = (0.01, 0.001)
"""The false accept rates at which the TAR is quoted, where the pairs support them."""

SMALLEST = "tar_at_smallest_supported_far"

_SHARE_OF_THE_AUC_MODEL = 0.2  # as simulated scores need it; the others are lower bounds


def tar_name(far: float) -> str:
    """Return the name of the TAR at a FAR among the figures, as `tar_at_far_0.01`."""
    return f"tar_at_far_{far:g}"


@dataclass(frozen=True, slots=True, eq=False)
class DecidedPairs:
    """All pairs of a protocol.

    Attributes:
        comparisons: Of all folds.
        right: Which pairs count as decided rightly, (n,).
        right_by_cost: The same where false accepts cost more, (n,).
        false_accept_cost: How much, where a false reject costs 1.
    """

    comparisons: Comparisons
    right: npt.NDArray[np.bool_]
    right_by_cost: npt.NDArray[np.bool_]
    false_accept_cost: float

    @property
    def fars(self) -> dict[str, float]:
        """The FAR of each TAR that the pairs support, by the TAR's name."""
        genuine, impostor = len(self.comparisons.genuine), len(self.comparisons.impostor)
        smallest = metrics.smallest_supported_far(impostor)
        if smallest is None or genuine == 0:
            return {}
        supported = [far for far in FAR_POINTS if metrics.is_supported(far, impostor)]
        return {**{tar_name(far): far for far in supported}, SMALLEST: smallest}

    def values(self) -> dict[str, float]:
        """Return the figures that the pairs support, by their names.

        They are the accuracy `mean`, `weighted_error`, `auc`, `eer` and TARs at FAR.
        """
        scores, same = self.comparisons.scores, self.comparisons.same
        costs = np.where(same, 1.0, self.false_accept_cost)
        figures = {
            "mean": float(np.mean(self.right)),
            "weighted_error": float(costs[~self.right_by_cost].sum() / costs.sum()),
        }
        genuine, impostor = scores[same], scores[~same]
        area = metrics.auc(genuine, impostor)
        eer = metrics.equal_error_rate(genuine, impostor)
        if area is not None and eer is not None:
            figures |= {"auc": area, "eer": eer}
        for name, far in self.fars.items():
            tar = metrics.tar_at_far(genuine, impostor, far)
            if tar is not None:
                figures[name] = tar
        return figures

    def weighted_values(self, weights: Weights) -> Weights:
        """Return the figures of `values`, in that order, for sets of weights: (B, n) → (B, F)."""
        scores, same = self.comparisons.scores, self.comparisons.same
        costs = np.where(same, 1.0, self.false_accept_cost)
        columns = [
            weighted_share(self.right, weights),
            weighted_share(~self.right_by_cost, weights * costs),
        ]
        if same.any() and not same.all():
            curve = WeightedCurve(scores, same, weights)
            columns += [curve.auc(), curve.equal_error_rate()]
            columns += [curve.tar_at_far(far) for far in self.fars.values()]
        return np.stack(columns, axis=1)

    def intervals(self, *, replicates: int = REPLICATES, seed: int = 0) -> dict[str, Interval]:
        """Return the 95 % interval of each figure of `values`, bootstrapped by identity."""
        people = self.comparisons.people
        spread = spread_by_person(
            lambda weights: angles(self.weighted_values(weights)),
            people,
            replicates=replicates,
            seed=seed,
        )
        values = self.values()
        variance_of = {
            name: variance_of_share(value, float(of_angle))
            for (name, value), of_angle in zip(values.items(), spread.variances, strict=True)
        }
        for name, expected in self._variances_of_independent_pairs(values).items():
            # Few pairs decide them, and the bootstrap often misses what these few leave open.
            share = _SHARE_OF_THE_AUC_MODEL if name == "auc" else 1.0
            at_least = (1 - share) * variance_of[name] + share * expected * spread.design_effect
            variance_of[name] = max(variance_of[name], at_least)
        count = len(np.unique(people))
        return {
            name: score_interval(value, variance_of[name], count, (count - 1) / 4)
            for name, value in values.items()
        }

    def _variances_of_independent_pairs(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the variances that a model expects of figures which a few pairs decide.

        The AUC's is that of exponential similarities; the weighted error's that of half a pair more
        of either kind decided rightly, and half a pair wrongly (as by Jeffreys' prior). A TAR
        varies at least as a share of the genuine pairs does, the EER at least as a share of all.
        """
        same = self.comparisons.same
        genuine, impostor = int(same.sum()), int((~same).sum())
        cost = self.false_accept_cost
        wrong = ~self.right_by_cost
        rejected = (int(wrong[same].sum()) + 0.5) / (genuine + 1)
        accepted = (int(wrong[~same].sum()) + 0.5) / (impostor + 1)
        spread = genuine * rejected * (1 - rejected)
        spread += cost**2 * impostor * accepted * (1 - accepted)
        variances = {"weighted_error": spread / (genuine + cost * impostor) ** 2}
        if "auc" in values:
            eer = values["eer"]
            variances["eer"] = eer * (1 - eer) / (genuine + impostor)
            variances["auc"] = metrics.auc_variance(values["auc"], genuine, impostor)
        variances |= {tar: values[tar] * (1 - values[tar]) / genuine for tar in self.fars}
        return variances


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much one recogniser's figure is above another's on the same pairs.

    Attributes:
        value: The first one's figure less the second one's.
        interval: 95 %, bootstrapped by identity, the same people drawn for both.
    """

    value: float
    interval: Interval

    def to_json(self) -> dict[str, object]:
        """Return both as JSON's own types."""
        return {"value": self.value, "interval": list(self.interval)}


def differences(
    first: DecidedPairs, second: DecidedPairs, *, replicates: int = REPLICATES, seed: int = 0
) -> dict[str, Difference]:
    """Compare two recognisers that have decided the same pairs.

    Args:
        first: One recogniser's decisions.
        second: The other's, on the same pairs in the same order.
        replicates: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        ValueError: The pairs are not the same.
    """
    people = first.comparisons.people
    if not np.array_equal(people, second.comparisons.people):
        raise ValueError("only figures of the same pairs can be compared")

    def difference(weights: Weights) -> Weights:
        return first.weighted_values(weights) - second.weighted_values(weights)

    variances = variances_by_person(difference, people, replicates=replicates, seed=seed)
    freedom = freedom_by_person(difference, people)
    count = len(np.unique(people))
    found = {}
    pairs = zip(first.values().items(), second.values().values(), variances, freedom, strict=True)
    for (name, one), other, variance, degrees in pairs:
        value = one - other
        interval = difference_interval(value, float(variance), count, float(degrees))
        found[name] = Difference(value=value, interval=interval)
    return found
