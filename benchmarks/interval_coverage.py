"""How often the 95 % intervals of an evaluation hold the truth, on simulated similarities.

    python benchmarks/interval_coverage.py
    python benchmarks/interval_coverage.py --pairs pairs.txt --fold 9

People differ in how much they are like themselves and like others, so that pairs which share a
person rise and fall together; what is true of all people is known in closed form. A share of 95 %
over 4,000 repetitions is off by 0.3 % by chance alone.
"""

import argparse
import json
import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from data.lfw import read_lfw_pairs
from recognition.evaluation.pairs import SMALLEST, Comparisons, DecidedPairs

People = npt.NDArray[np.int64]
"""The numbers of the two people in each pair, (n, 2)."""

COLUMNS = {
    "mean": "accuracy",
    "auc": "AUC",
    "eer": "EER",
    SMALLEST: "TAR",
    "weighted_error": "weighted error",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=Path, help="pairs in LFW's format, as a design of its own")
    parser.add_argument("--fold", type=int, default=9, help="which of its folds")
    parser.add_argument("--repetitions", type=int, default=4000)
    parser.add_argument("--replicates", type=int, default=400, help="of each bootstrap")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    designs = {
        "200 + 200 at random, of 220 people": sparse_pairs(
            np.random.default_rng(0), people=220, each=200
        ),
        "360 + 708, each of 60 people in dozens of them": dense_pairs(60, 4, one_in=40),
    }
    if given.pairs:
        designs = {
            f"as fold {given.fold} of the list": listed_pairs(given.pairs, given.fold)
        } | designs
    shares = {
        name: coverage(
            World(people), given.repetitions, seed=given.seed, replicates=given.replicates
        )
        for name, people in designs.items()
    }
    if given.json:
        print(json.dumps(shares))
        return
    print(f"| pairs | {' | '.join(COLUMNS.values())} |\n|---{'|---' * len(COLUMNS)}|")
    for name, held in shares.items():
        print(f"| {name} | {' | '.join(f'{100 * held[column]:.1f} %' for column in COLUMNS)} |")


def sparse_pairs(rng: np.random.Generator, people: int, each: int) -> People:
    """As many pairs of each kind; most people are in a few of them, as in LFW."""
    genuine = rng.integers(0, people, each)
    first = rng.integers(0, people, each)
    second = (first + rng.integers(1, people, each)) % people
    return np.concatenate([np.stack([genuine, genuine], 1), np.stack([first, second], 1)])


def dense_pairs(people: int, photographs: int, *, one_in: int = 1) -> People:
    """Every pair of photographs of one person, and some of those of two: all are in many."""
    whose = np.repeat(np.arange(people), photographs)
    first, second = np.triu_indices(len(whose), k=1)
    pairs = np.stack([whose[first], whose[second]], axis=1)
    same = pairs[:, 0] == pairs[:, 1]
    return np.concatenate([pairs[same], pairs[~same][::one_in]])


def listed_pairs(path: Path, fold: int) -> People:
    """The pairs of a fold of LFW, whoever they show."""
    protocol = read_lfw_pairs(path).select([fold])
    names = sorted({name for name, _ in protocol.photographs()})
    number_of = {name: number for number, name in enumerate(names)}
    pairs = protocol.folds[0]
    return np.array([(number_of[p.first[0]], number_of[p.second[0]]) for p in pairs])


class World:
    """Similarities with effects of the people in them, and what is true of all people.

    A genuine pair of person i has the similarity m + s·a_i + e·noise, a pair of i and j that of
    t·(b_i + b_j) + e·noise; who is like himself is less like others.
    """

    genuine_mean, genuine_effect, impostor_effect, noise = 0.5, 0.12, 0.05, 0.1
    correlation = -0.5
    threshold = 0.27

    def __init__(self, people: People) -> None:
        self.people = people
        self.same = people[:, 0] == people[:, 1]

    def draw(self, rng: np.random.Generator) -> DecidedPairs:
        """One set of people, and their pairs decided."""
        own = rng.normal(size=self.people.max() + 1)
        other = rng.normal(size=len(own))
        like_others = self.correlation * own + math.sqrt(1 - self.correlation**2) * other
        first, second = self.people.T
        scores = self.noise * rng.normal(size=len(self.people)) + np.where(
            self.same,
            self.genuine_mean + self.genuine_effect * own[first],
            self.impostor_effect * (like_others[first] + like_others[second]),
        )
        right = (scores >= self.threshold) == self.same
        return DecidedPairs(Comparisons(scores, self.people), right, right, 10.0)

    def truth(self) -> dict[str, float]:
        """What the figures are over all people."""
        normal = NormalDist().cdf
        genuine = math.hypot(self.genuine_effect, self.noise)
        impostor = math.hypot(math.sqrt(2) * self.impostor_effect, self.noise)
        frr = normal((self.threshold - self.genuine_mean) / genuine)
        far = normal(-self.threshold / impostor)
        pairs, impostors = len(self.same), int((~self.same).sum())
        at_far = NormalDist(0, impostor).inv_cdf(1 - 10 / impostors)
        return {
            "mean": 1 - (frr * (pairs - impostors) + far * impostors) / pairs,
            "weighted_error": (frr * (pairs - impostors) + 10 * far * impostors)
            / (pairs + 9 * impostors),
            "auc": normal(self.genuine_mean / math.hypot(genuine, impostor)),
            "eer": normal(-self.genuine_mean / (genuine + impostor)),
            SMALLEST: normal((self.genuine_mean - at_far) / genuine),
        }


def coverage(world: World, repetitions: int, *, seed: int, replicates: int) -> dict[str, float]:
    """The share of repetitions in which each figure's interval holds the truth."""
    rng = np.random.default_rng(seed)
    truth = world.truth()
    held = dict.fromkeys(truth, 0)
    for repetition in range(repetitions):
        intervals = world.draw(rng).intervals(replicates=replicates, seed=repetition)
        for name, true in truth.items():
            low, high = intervals[name]
            held[name] += low <= true <= high
    return {name: count / repetitions for name, count in held.items()}


if __name__ == "__main__":
    main()
