"""x"""

from itertools import combinations
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ArgumentError, DatasetError
from recognition.evaluation.error_rate_thresholds import (
    LARGEST_RATE,
    MOST_OFF,
    Faces,
    Impostors,
    check_rate,
    cutoff,
    different_people,
    fit_probabilities,
    labelled_pairs,
    rate_among,
    search_cutoff,
    searches,
)

NORMAL = NormalDist(0.0, 0.1)


def independent(similarities: np.ndarray) -> Impostors:
    """Every comparison a stranger's own."""
    count = len(similarities)
    return Impostors(similarities, np.stack([np.arange(count)] * 2, axis=1), np.ones(count))


def normal(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, size=count)


@given(st.floats(1e-9, 0.5), st.integers(1, 100_000))
def test_one_of_several_independent_comparisons_is_accepted(rate: float, times: int) -> None:
    among = rate_among(rate, times)
    assert among == pytest.approx(1 - (1 - rate) ** times, abs=1e-9)
    assert rate <= among * (1 + 1e-12)
    assert rate_among(min(among, 1 - 1e-12), 1 / times) <= rate * (1 + 1e-6)


def test_nobody_is_nobody_s_match_and_certainty_stays_one() -> None:
    assert rate_among(0.3, 0) == 0
    assert rate_among(1.0, 5) == 1


def test_searches_among_n_find_someone_as_often_as_the_formula_says() -> None:
    rng = np.random.default_rng(3)
    found = (rng.random((40_000, 50)) < 0.002).any(axis=1).mean()
    assert found == pytest.approx(rate_among(0.002, 50), rel=0.05)


@pytest.mark.parametrize(("rate", "count"), [(0.1, 2000), (0.01, 10_000), (0.001, 30_000)])
def test_a_rate_that_can_be_counted_is_met(rate: float, count: int) -> None:
    found = cutoff(independent(normal(count)), rate, replicates=100)
    realised = 1 - NORMAL.cdf(found.threshold)
    assert realised == pytest.approx(rate, rel=0.25)
    assert found.threshold_interval[0] < found.threshold < found.threshold_interval[1]
    assert found.rate_interval[0] < rate < found.rate_interval[1]
    assert found.expected_errors == pytest.approx(count * rate)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    true = NORMAL.inv_cdf(0.98)
    held = 0
    for seed in range(60):
        found = cutoff(independent(normal(800, seed)), 0.02, replicates=200, seed=seed)
        low, high = found.threshold_interval
        held += low <= true <= high
    assert held >= 53


def test_people_who_are_like_everybody_widen_the_interval() -> None:
    # The same similarities, each a stranger's own, or ten photographs of one stranger alike.
    values = np.repeat(normal(400), 10)
    alone = independent(values)
    of_few = Impostors(values, np.stack([np.repeat(np.arange(400), 10)] * 2, axis=1), alone.weights)
    narrow, wide = (cutoff(one, 0.05, replicates=200) for one in (alone, of_few))
    assert wide.threshold == narrow.threshold
    assert np.ptp(wide.threshold_interval) > 2 * np.ptp(narrow.threshold_interval)


def test_a_heavily_photographed_person_counts_as_one() -> None:
    values = np.concatenate([normal(2000), np.full(500, 0.9)])
    people = np.concatenate([np.arange(2000), np.full(500, 2000)])
    weights = np.concatenate([np.ones(2000), np.full(500, 1 / 500)])
    impostors = Impostors(values, np.stack([people, people], axis=1), weights)
    assert impostors.effective == pytest.approx(2001, abs=1)
    assert cutoff(impostors, 0.05).threshold == pytest.approx(NORMAL.inv_cdf(0.95), abs=0.02)


def test_what_is_beyond_the_data_is_refused_with_what_is_not() -> None:
    with pytest.raises(DatasetError, match=r"0\.0001 is beyond 1,000 comparisons.*rate of 0\.01"):
        cutoff(independent(normal(1000)), 0.0001)


def test_fewer_than_ten_errors_are_enough_where_the_tail_is_as_sure() -> None:
    # A tail that ends: uniform similarities, of which the highest are known well.
    uniform = np.random.default_rng(4).uniform(-0.5, 0.5, size=900)
    found = cutoff(independent(uniform), 0.01)
    assert found.expected_errors < 10
    assert found.rate_interval[1] <= MOST_OFF * 0.01
    assert found.threshold == pytest.approx(0.49, abs=0.005)


@pytest.mark.parametrize(
    ("impostors", "reason"),
    [
        (independent(np.empty(0)), "too few"),
        (independent(normal(99)), "too few"),
        (independent(np.full(500, 0.2)), "all the same"),
        (independent(np.where(np.arange(500) < 100, 0.7, 0.1)), "all the same"),
        (
            Impostors(normal(500), np.zeros((500, 2), dtype=np.int64), np.ones(500)),
            "1 people alone",
        ),
    ],
)
def test_degenerate_comparisons_are_refused_in_one_line(impostors: Impostors, reason: str) -> None:
    with pytest.raises(DatasetError, match=reason) as caught:
        cutoff(impostors, 0.05)
    assert "\n" not in str(caught.value)


def searched(people: int, count: int, *, alike: float = 0.0) -> Impostors:
    """Searches among so many people, whose similarities to a stranger are more or less alike."""
    rng = np.random.default_rng(6)
    own, common = rng.normal(size=(count, people)), rng.normal(size=(count, 1))
    return independent(0.1 * (np.sqrt(1 - alike**2) * own + alike * common).max(axis=1))


@pytest.mark.parametrize("fpir", [0.1, 0.02, 0.01])
def test_searches_of_independent_people_are_as_many_comparisons(fpir: float) -> None:
    pairs = independent(normal(60_000, 5))
    found = search_cutoff(searched(50, 2000), pairs, fpir)
    realised = 1 - NORMAL.cdf(found.threshold) ** 50
    assert realised == pytest.approx(fpir, rel=0.3)
    assert found.rate_interval[0] < fpir < found.rate_interval[1]
    twice = search_cutoff(searched(50, 2000), pairs, fpir, times=2)
    assert 1 - NORMAL.cdf(twice.threshold) ** 100 == pytest.approx(fpir, rel=0.3)


def test_people_who_are_alike_are_worth_fewer_comparisons() -> None:
    pairs = independent(normal(60_000, 5))
    apart, alike = (search_cutoff(searched(50, 2000, alike=a), pairs, 0.02) for a in (0, 0.9))
    assert alike.threshold < apart.threshold


def test_searches_among_more_people_than_pairs_can_count_are_counted_themselves() -> None:
    found = search_cutoff(searched(2000, 2000), independent(normal(500, 5)), 0.05)
    assert 1 - NORMAL.cdf(found.threshold) ** 2000 == pytest.approx(0.05, rel=0.3)
    assert found.comparisons == 2000


def test_few_searches_are_refused_however_many_pairs_there_are() -> None:
    with pytest.raises(DatasetError, match="too few"):
        search_cutoff(searched(50, 90), independent(normal(60_000, 5)), 0.05)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), 2 * LARGEST_RATE])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ArgumentError, match="--fpir"):
        check_rate("--fpir", rate)


def faces(counts: list[int], seed: int = 0, dimension: int = 16) -> Faces:
    """People with so many photographs each, somewhat like themselves."""
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(len(counts)), counts)
    vectors = rng.normal(size=(len(counts), dimension))[people]
    vectors = vectors + 0.5 * rng.normal(size=vectors.shape)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return Faces(unit.astype(np.float32), people)


def test_every_pair_is_compared_once_and_people_count_alike() -> None:
    some = faces([3, 1, 2])
    pairs = labelled_pairs(some)
    genuine, impostor = [], []
    for a, b in combinations(range(6), 2):
        kind = genuine if some.people[a] == some.people[b] else impostor
        kind.append(float(some.vectors[a] @ some.vectors[b]))
    assert sorted(pairs.genuine) == pytest.approx(sorted(genuine), abs=1e-6)
    assert sorted(pairs.impostor) == pytest.approx(sorted(impostor), abs=1e-6)
    assert pairs.genuine_weights.sum() == pytest.approx(2)  # people with two photographs
    assert pairs.impostor_weights.sum() == pytest.approx(3)  # pairs of people
    assert len(different_people(some).people) == len(impostor)


def test_strangers_are_searched_among_those_enrolled() -> None:
    enrolled, strangers = faces([2, 1, 3]), faces([2, 1], seed=1)
    found = searches(enrolled, strangers)
    expected = [max(float(v @ t) for t in enrolled.vectors) for v in strangers.vectors]
    assert found.similarities == pytest.approx(expected, abs=1e-6)
    assert found.people.tolist() == [[0, 0], [0, 0], [1, 1]]
    assert found.weights.tolist() == [0.5, 0.5, 1]


def test_those_enrolled_are_searched_among_all_the_others() -> None:
    enrolled = faces([2, 1, 3])
    found = searches(enrolled, None)
    for number, (own, other) in enumerate(found.people):
        assert own == enrolled.people[number] != other
        of_other = enrolled.people != own
        best = (enrolled.vectors[of_other] @ enrolled.vectors[number]).max()
        assert found.similarities[number] == pytest.approx(float(best), abs=1e-6)


def test_too_many_photographs_are_those_of_fewer_people() -> None:
    few = faces([2] * 50).at_most(20)
    assert len(few.people) == 20
    assert np.unique(few.people).tolist() == list(range(10))
    assert len(faces([2] * 5).at_most(20).people) == 10


def test_probabilities_hold_for_people_whom_they_were_not_fitted_on() -> None:
    fitted = fit_probabilities(faces([3] * 60 + [1] * 40))
    assert fitted is not None
    ratio, held = fitted
    assert held.error < 0.05
    assert sum(held.weights) == pytest.approx(1)
    others = labelled_pairs(faces([3] * 60, seed=9))
    assert ratio.probability(others.genuine).mean() > 0.8
    assert ratio.probability(others.impostor).mean() < 0.2


@pytest.mark.parametrize("counts", [[1] * 50, [2] * 9 + [1] * 50])
def test_too_few_people_with_two_photographs_give_no_probabilities(counts: list[int]) -> None:
    assert fit_probabilities(faces(counts)) is None
