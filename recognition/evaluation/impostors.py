"""From embeddings of known people to the comparisons that a calibration is fitted on.

Every person counts as much as any other: a photograph counts one over how many there are of its
person, and so does each side of a pair.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .cutoffs import SEARCHES, Impostors
from .probability import (
    PRIOR,
    Labelled,
    LikelihoodRatio,
    Reliability,
    fit_likelihood_ratio,
    reliability,
)
from .tails import Values

Numbers = npt.NDArray[np.int64]

MOST_PHOTOGRAPHS = 3000
"""Of which all pairs are compared: 4.5 million."""

FEWEST_PEOPLE = 10
"""People with two photographs from which on probabilities are fitted."""

_AT_ONCE = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Embedded faces, and whose they are.

    Attributes:
        vectors: Unit vectors, (n, D).
        people: The number of each one's person, (n,); people are numbered from 0, without gaps.
    """

    vectors: npt.NDArray[np.float32]
    people: Numbers

    @property
    def weights(self) -> Values:
        """What each counts for, (n,): one over how many there are of the person."""
        counts = np.bincount(self.people) if len(self.people) else np.ones(0)
        weights: Values = 1 / counts[self.people]
        return weights

    def select(self, chosen: npt.NDArray[np.bool_]) -> "Faces":
        """Return some of the faces, their people numbered anew."""
        _, numbered = np.unique(self.people[chosen], return_inverse=True)
        return Faces(self.vectors[chosen], numbered.reshape(-1))

    def at_most(self, photographs: int) -> "Faces":
        """Return evenly chosen people with all their faces, about so many, at least two people."""
        if len(self.people) <= photographs:
            return self
        count = int(self.people.max()) + 1
        kept = max(2, count * photographs // len(self.people))
        return self.select(np.isin(self.people, np.arange(kept) * count // kept))


def searches(enrolled: Faces, strangers: Faces | None) -> Impostors:
    """Search strangers among those enrolled; whoever is most like them counts.

    Args:
        enrolled: Who is searched; by their closest face.
        strangers: Who is searched for, none of whom is enrolled; None takes the enrolled
            themselves, each among all the others.

    Returns:
        A comparison for each stranger's face.
    """
    probes = enrolled if strangers is None else strangers
    best, whose = np.full(len(probes.people), -1.0), np.zeros(len(probes.people), np.int64)
    for start in range(0, len(best), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        similarity = probes.vectors[part] @ enrolled.vectors.T
        if strangers is None:
            similarity[probes.people[part, None] == enrolled.people] = -1
        closest = similarity.argmax(axis=1)
        best[part] = similarity[np.arange(len(closest)), closest]
        whose[part] = enrolled.people[closest]
    # Of strangers only they are drawn by chance; those enrolled are as given.
    other = whose if strangers is None else probes.people
    return Impostors(best, np.stack([probes.people, other], axis=1), probes.weights, SEARCHES)


def different_people(faces: Faces) -> Impostors:
    """Compare every two faces of different people."""
    first, second = np.triu_indices(len(faces.people), k=1)
    people = np.stack([faces.people[first], faces.people[second]], axis=1)
    apart = people[:, 0] != people[:, 1]
    similarities = (faces.vectors @ faces.vectors.T)[first[apart], second[apart]]
    weights = faces.weights[first[apart]] * faces.weights[second[apart]]
    return Impostors(similarities, people[apart], weights)


def labelled_pairs(faces: Faces) -> Labelled:
    """Compare every two faces; each person, and each pair of people, counts alike."""
    impostors = different_people(faces)
    first, second = np.triu_indices(len(faces.people), k=1)
    together = faces.people[first] == faces.people[second]
    first, second = first[together], second[together]
    genuine = np.einsum("nd,nd->n", faces.vectors[first], faces.vectors[second])
    counts = np.bincount(faces.people[first], minlength=1)
    weights = 1 / counts[faces.people[first]]
    return Labelled(genuine, weights, impostors.similarities, impostors.weights)


def several_photographed(faces: Faces) -> int:
    """Return of how many people there are several faces."""
    return int((np.bincount(faces.people) > 1).sum()) if len(faces.people) else 0


def fit_probabilities(
    faces: Faces, *, prior: float = PRIOR, seed: int = 0
) -> tuple[LikelihoodRatio, Reliability] | None:
    """Fit probabilities, and measure them on people whom they were not fitted on.

    Half of the people are judged by what was fitted on the other half, and the other way round.

    Args:
        faces: Of people, some with several faces.
        prior: How frequent pairs of one person are taken to be in the measurement.
        seed: Of the halves.

    Returns:
        What was fitted on everybody, and how well its like held; None where fewer than
        `FEWEST_PEOPLE` people have several faces.
    """
    if several_photographed(faces) < FEWEST_PEOPLE:
        return None
    counts = np.bincount(faces.people)
    rng = np.random.default_rng(seed)
    in_first = np.zeros(len(counts), dtype=np.bool_)
    for group in (np.flatnonzero(counts > 1), np.flatnonzero(counts == 1)):
        in_first[rng.permutation(group)[: len(group) // 2]] = True
    halves = [
        labelled_pairs(faces.select(in_first[faces.people] == side)) for side in (True, False)
    ]
    said, same, weights = [], [], []
    for fitted, judged in (halves, halves[::-1]):
        ratio = fit_likelihood_ratio(fitted)
        kinds = (
            (judged.genuine, judged.genuine_weights, prior),
            (judged.impostor, judged.impostor_weights, 1 - prior),
        )
        for label, (scores, own, share) in zip((True, False), kinds, strict=True):
            said.append(ratio.probability(scores, prior))
            same.append(np.full(len(scores), label))
            weights.append(share * own / own.sum())
    held = reliability(np.concatenate(said), np.concatenate(same), np.concatenate(weights))
    return fit_likelihood_ratio(labelled_pairs(faces)), held
