"""A generalist that decides, and specialists that are asked where it is in doubt.

Hinton, Vinyals and Dean ("Distilling the knowledge in a neural network", 2015, section 5) train
specialists for groups of classes that a generalist confuses, and ask them only where it names such
a group. Faces are not classes here: people are enrolled later. What can be confused is therefore
told by the generalist's own similarity. A pair is in doubt where it lies near the threshold; a
probe, among those of the enrolled who are most similar to it. There the specialists' similarities
are averaged in.

Nothing is trained for it. Any networks may be specialists: some of another architecture, or some
that were trained on the people whom the generalist confuses.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.errors import ArgumentError

from .embeddings import Embedding
from .metrics import Scores, best_threshold

CONFUSABLE = 0.1
"""The share of comparisons that are in doubt, where nothing else is asked for."""

_FEWEST_CANDIDATES = 2
_MARGIN = 1e-4  # more than single precision's rounding


def check_confusable(share: float) -> None:
    """Refuse a share that is none.

    Raises:
        ArgumentError: It is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise ArgumentError(
            f"the confusable share is {share:g}; expected more than 0 and at most 1"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Referral:
    """When specialists are asked about a pair, and what their answer changes.

    Attributes:
        threshold: The generalist's, a cosine similarity.
        width: How far from it a pair may lie to be in doubt; infinite where all are.
        second_threshold: That of the second opinion, the mean similarity of the generalist and all
            specialists.
    """

    threshold: float
    width: float
    second_threshold: float

    def in_doubt(self, scores: Scores) -> npt.NDArray[np.bool_]:
        """Return about which pairs the specialists are asked: (n,) → (n,)."""
        doubtful: npt.NDArray[np.bool_] = np.abs(scores - self.threshold) <= self.width
        return doubtful

    def settle(self, scores: Scores, second_opinion: Scores) -> Scores:
        """Return the similarities to decide by, (n,).

        A pair in doubt lies as far from the threshold as its second opinion lies from its own, but
        never leaves the band: with those that were not in doubt it does not change places.

        Args:
            scores: The generalist's, (n,).
            second_opinion: (n,).
        """
        shift = np.clip(second_opinion - self.second_threshold, -self.width, self.width)
        settled: Scores = np.where(self.in_doubt(scores), self.threshold + shift, scores)
        return settled


def fit_referral(
    scores: Scores, second_opinion: Scores, same: npt.NDArray[np.bool_], share: float
) -> Referral:
    """Choose thresholds, and the band about the generalist's that holds this share of the pairs.

    Args:
        scores: The generalist's similarities, (n,); infinite where a face was not found.
        second_opinion: The mean similarity of the generalist and all specialists, (n,).
        same: Which pairs are genuine, (n,).
        share: Of the pairs, within 0 … 1.
    """
    threshold = best_threshold(scores, same)
    distances = np.sort(np.abs(scores[np.isfinite(scores)] - threshold))
    count = math.ceil(share * len(distances))
    width = math.inf if share == 1 or count == 0 else float(distances[count - 1])
    return Referral(
        threshold=threshold, width=width, second_threshold=best_threshold(second_opinion, same)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A generalist and specialists whose unit vectors are joined end to end, as `averaged` does.

    Attributes:
        dimension: How many of a vector's numbers are the generalist's; they come first.
        voters: The generalist and the specialists together.
        share: How many of those enrolled, the most similar ones, the specialists are asked about.
    """

    dimension: int
    voters: int
    share: float

    def generalist(self, vectors: Embedding) -> Embedding:
        """Return the generalist's unit vectors: (N, D) → (N, `dimension`)."""
        own: Embedding = vectors[:, : self.dimension] * np.float32(math.sqrt(self.voters))
        return own

    def candidates(self, enrolled: int) -> int:
        """Return about how many people the specialists are asked, of so many enrolled."""
        return min(enrolled, max(_FEWEST_CANDIDATES, math.ceil(self.share * enrolled)))

    def settle(self, scores: Scores, second_opinion: Scores) -> Scores:
        """Rank the candidates anew; who is none stays behind them.

        Args:
            scores: The generalist's similarity of each probe to each person, (probes, people).
            second_opinion: The mean similarity of the generalist and all specialists, alike.

        Returns:
            (probes, people): a candidate's second opinion; less than any of these for others.
        """
        count = self.candidates(scores.shape[1])
        order = np.argsort(-scores, axis=1, kind="stable")
        rows = np.arange(len(scores))[:, None]
        first, following = order[:, :count], order[:, count : count + 1]
        settled = scores.copy()
        if following.size:
            # All others move down together, so that they keep their order.
            behind = second_opinion[rows, first].min(axis=1, keepdims=True) - _MARGIN
            settled -= np.maximum(scores[rows, following] - behind, 0)
        settled[rows, first] = second_opinion[rows, first]
        return settled
