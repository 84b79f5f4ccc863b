import math
from statistics import NormalDist

import numpy as np
import pytest

from recognition.evaluation.comparisons import Comparisons
from recognition.evaluation.figures import SMALLEST, DecidedPairs
from recognition.evaluation.intervals import (
    difference_interval,
    score_interval,
    variances_by_person,
)
from recognition.evaluation.weighted import weighted_share


def sparse_pairs(rng: np.random.Generator, people: int, each: int) -> np.ndarray:
    """As many pairs of each kind; most people are in a few of them, as in LFW."""
    genuine = rng.integers(0, people, each)
    first = rng.integers(0, people, each)
    second = (first + rng.integers(1, people, each)) % people
    return np.concatenate([np.stack([genuine, genuine], 1), np.stack([first, second], 1)])


def dense_pairs(people: int, photographs: int, *, one_in: int = 1) -> np.ndarray:
    """Every pair of photographs of one person, and some of those of two: all are in many."""
    whose = np.repeat(np.arange(people), photographs)
    first, second = np.triu_indices(len(whose), k=1)
    pairs = np.stack([whose[first], whose[second]], axis=1)
    same = pairs[:, 0] == pairs[:, 1]
    return np.concatenate([pairs[same], pairs[~same][::one_in]])


class World:
    """Similarities with effects of the people in them, and what is true of all people.

    A genuine pair of person i has the similarity m + s·a_i + e·noise, a pair of i and j that of
    t·(b_i + b_j) + e·noise; who is like himself is less like others.
    """

    genuine_mean, genuine_effect, impostor_effect, noise = 0.5, 0.12, 0.05, 0.1
    correlation = -0.5
    threshold = 0.27

    def __init__(self, people: np.ndarray) -> None:
        self.people = people
        self.same = people[:, 0] == people[:, 1]

    def draw(self, rng: np.random.Generator) -> DecidedPairs:
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


def coverage(world: World, repetitions: int, *, seed: int) -> dict[str, float]:
    """The share of repetitions in which each figure's interval holds the truth."""
    rng = np.random.default_rng(seed)
    truth = world.truth()
    held = dict.fromkeys(truth, 0)
    for repetition in range(repetitions):
        intervals = world.draw(rng).intervals(replicates=200, seed=repetition)
        for name, true in truth.items():
            low, high = intervals[name]
            held[name] += low <= true <= high
    return {name: count / repetitions for name, count in held.items()}


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    people = sparse_pairs(np.random.default_rng(0), people=120, each=100)
    for name, share in coverage(World(people), 60, seed=1).items():
        assert share > 0.85, name


@pytest.mark.slow
@pytest.mark.parametrize("design", ["sparse", "dense"])
def test_intervals_hold_the_truth_in_95_of_100(design: str):
    pairs = {
        "sparse": lambda: sparse_pairs(np.random.default_rng(0), people=220, each=200),
        "dense": lambda: dense_pairs(people=60, photographs=4, one_in=40),
    }
    for name, share in coverage(World(pairs[design]()), 300, seed=1).items():
        # Among 300 repetitions chance alone moves 95 % by 1.3 %.
        assert 0.91 <= share <= 0.985, name


def test_pairs_that_share_people_say_less_than_as_many_that_do_not():
    apart = np.stack([np.arange(0, 400, 2), np.arange(1, 400, 2)], axis=1)
    shared = np.stack([np.zeros(200, np.int64), np.arange(1, 201)], axis=1)
    chosen = np.arange(200) < 100

    def share(weights: np.ndarray) -> np.ndarray:
        return weighted_share(chosen, weights)[:, None]

    # Nobody in two pairs: they are independent, and the variance is that of a share.
    assert variances_by_person(share, apart, replicates=4000) == pytest.approx(
        [0.25 / 200], rel=0.2
    )
    # Somebody in all of them, who decides nothing: still as good as independent.
    assert variances_by_person(share, shared, replicates=4000) == pytest.approx(
        [0.25 / 200], rel=0.2
    )
    # Ten genuine pairs of each person, decided alike: worth one.
    groups = np.repeat(np.arange(20), 10)
    alike = np.stack([groups, groups], axis=1)
    assert variances_by_person(share, alike, replicates=4000) == pytest.approx([0.25 / 20], rel=0.2)


def test_the_seed_fixes_the_interval():
    pairs = World(dense_pairs(20, 3)).draw(np.random.default_rng(0))
    assert pairs.intervals(seed=3) == pairs.intervals(seed=3)
    assert pairs.intervals(seed=3) != pairs.intervals(seed=4)


def test_the_score_interval_is_wilsons():
    # 85 of 100: Wilson's interval by hand, of so many people that Student's quantile is normal.
    low, high = score_interval(0.85, 0.85 * 0.15 / 100, people=10**9)
    assert (low, high) == pytest.approx((0.7672, 0.9069), abs=1e-4)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_no_error_seen_is_no_certainty(value: float):
    low, high = score_interval(value, 0.0, people=100)
    assert low <= value <= high
    assert high - low == pytest.approx(0.037, abs=1e-3)


@pytest.mark.parametrize("people", [5, 10, 30, 100])
def test_few_people_widen_the_interval_as_student_says(people: int):
    from scipy.stats import t

    low, high = difference_interval(0.0, 0.01, people)
    assert high == -low == pytest.approx(0.1 * t.ppf(0.975, people - 1), rel=0.02)


def test_a_difference_stays_possible():
    assert difference_interval(0.9, 1.0, people=9) == (-1, 1)
    assert difference_interval(0.0, 0.0, people=9) == (0, 0)
    low, high = difference_interval(0.02, 0.0001, people=10**9)
    assert (low, high) == pytest.approx((0.0004, 0.0396), abs=1e-6)
