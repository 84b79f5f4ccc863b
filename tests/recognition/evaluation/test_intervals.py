import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from recognition.evaluation.intervals import (
    Spread,
    angles,
    difference_interval,
    freedom_by_person,
    score_interval,
    spread_by_person,
    variance_of_share,
    variances_by_person,
)
from recognition.evaluation.metrics import weighted_share
from recognition.evaluation.pairs import Comparisons, DecidedPairs

_BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
simulated = SimpleNamespace(**runpy.run_path(str(_BENCHMARKS / "interval_coverage.py")))
World = simulated.World


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    people = simulated.sparse_pairs(np.random.default_rng(0), people=120, each=100)
    for name, share in simulated.coverage(World(people), 60, seed=1, replicates=200).items():
        assert share > 0.85, name


@pytest.mark.slow
@pytest.mark.parametrize("design", ["sparse", "dense"])
def test_intervals_hold_the_truth_in_95_of_100(design: str):
    pairs = {
        "sparse": lambda: simulated.sparse_pairs(np.random.default_rng(0), people=220, each=200),
        "dense": lambda: simulated.dense_pairs(60, 4, one_in=40),
    }
    world = World(pairs[design]())
    for name, share in simulated.coverage(world, 300, seed=1, replicates=200).items():
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


def test_the_design_effect_is_how_often_pairs_say_the_same() -> None:
    groups = np.repeat(np.arange(100), 4)  # four genuine pairs of each, decided alike
    pairs = np.stack([groups, groups], axis=1)
    chosen = groups % 2 == 0

    def shares(weights: np.ndarray) -> np.ndarray:
        return angles(weighted_share(chosen, weights)[:, None])

    spread = spread_by_person(shares, pairs, replicates=3000)
    assert spread.design_effect == pytest.approx(4, rel=0.15)
    apart = np.stack([np.arange(400), np.arange(400)], axis=1)
    assert spread_by_person(shares, apart, replicates=3000).design_effect == pytest.approx(
        1, abs=0.1
    )


def test_a_figure_without_errors_has_no_design_effect() -> None:
    assert Spread(of_people=np.zeros(2), of_pairs=np.zeros(2)).design_effect == 1
    assert Spread(of_people=np.array([0.0, 6]), of_pairs=np.array([0.0, 2])).design_effect == 3
    # Nor has one that is all but without any a say about the others.
    spread = Spread(of_people=np.array([1e-9, 3]), of_pairs=np.array([1e-33, 2]))
    assert spread.design_effect == pytest.approx(1.5)
    assert Spread(of_people=np.array([-1.0]), of_pairs=np.array([2.0])).design_effect == 1


def test_a_nearly_faultless_recogniser_is_not_quite_unknown() -> None:
    people = simulated.sparse_pairs(np.random.default_rng(0), people=220, each=200)
    same = people[:, 0] == people[:, 1]
    scores = np.where(same, 0.8, 0.0) + np.random.default_rng(1).normal(0, 0.05, len(same))
    scores[0] = 0.05  # one genuine pair, less alike than the most similar impostors
    right = (scores >= 0.4) == same
    pairs = DecidedPairs(Comparisons(scores, people), right, right, 10.0)
    for name, (low, high) in pairs.intervals(replicates=300).items():
        assert high - low < 0.1, name


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.995])
def test_the_variance_of_a_share_is_found_from_its_angle(share: float) -> None:
    drawn = np.random.default_rng(0).binomial(4000, share, 20_000) / 4000
    of_angle = float(angles(drawn).var())
    assert of_angle == pytest.approx(1 / 16_000, rel=0.05)
    assert variance_of_share(share, of_angle) == pytest.approx(share * (1 - share) / 4000, rel=0.05)


def test_few_people_who_make_all_errors_leave_few_degrees_of_freedom():
    everybody = np.arange(100)
    pairs = np.stack([everybody, everybody], axis=1)

    def freedom(chosen: np.ndarray) -> float:
        (found,) = freedom_by_person(lambda w: weighted_share(chosen, w)[:, None], pairs)
        return float(found)

    # By hand: of the squared changes a share p is (1 - p)², the others p², but for a factor.
    for errors in (20, 10, 4):
        p = errors / 100
        squares = p * (1 - p) ** 2 + (1 - p) * p**2
        fourth = p * (1 - p) ** 4 + (1 - p) * p**4
        expected = 2 * squares**2 / (fourth - squares**2) * 100
        assert freedom(everybody < errors) == pytest.approx(min(max(expected, 4), 99))
    assert freedom(everybody < 0) == 99
    assert freedom(everybody < 50) == 99  # everybody alike: the variance is exact


def test_the_seed_fixes_the_interval():
    pairs = World(simulated.dense_pairs(20, 3)).draw(np.random.default_rng(0))
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
