from itertools import combinations

import numpy as np
import pytest

from recognition.evaluation.thresholds import (
    Faces,
    different_people,
    fit_probabilities,
    labelled_pairs,
    searches,
)


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
