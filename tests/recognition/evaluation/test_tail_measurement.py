import numpy as np
import pytest

from data.errors import DatasetError
from recognition.evaluation.error_rate_thresholds import Faces, Impostors, combined
from recognition.evaluation.impostor_tail import Searched
from recognition.evaluation.tail_measurement import labelled_faces, measure_tail
from recognition.matching import Matching

D = 24


def crowd(people: int, photographs: int, seed: int, *, wolves: float = 0.0) -> Faces:
    """People of so many photographs; with `wolves` some lie nearer to everybody's middle."""
    rng = np.random.default_rng(seed)
    middle = np.zeros(D)
    middle[0] = 1
    own = rng.normal(size=(people, D))
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    own += wolves * rng.random((people, 1)) ** 2 * middle
    takes = own[:, None] + 0.12 * rng.normal(size=(people, photographs, D))
    takes /= np.linalg.norm(takes, axis=2, keepdims=True)
    return Faces(takes.reshape(-1, D).astype(np.float32), np.repeat(np.arange(people), photographs))


def named(faces: Faces, enrolled: int, each: int, threshold: float, draws: int, rule: str) -> float:
    """The part of strangers that is named, by looking."""
    rng = np.random.default_rng(0)
    people = int(faces.people.max()) + 1
    parts = []
    for _ in range(draws):
        drawn = rng.permutation(people)[:enrolled]
        strangers = faces.vectors[~np.isin(faces.people, drawn)]
        best = np.full(len(strangers), -1.0)
        for person in drawn:
            own = faces.vectors[faces.people == person]
            similarities = strangers @ own[rng.permutation(len(own))[:each]].T
            of_rule = similarities.max(axis=1) if rule == "best" else similarities.mean(axis=1)
            best = np.maximum(best, of_rule)
        parts.append(float((best >= threshold).mean()))
    return float(np.mean(parts))


@pytest.fixture(scope="module")
def measured():
    return measure_tail(crowd(500, 3, 1, wolves=0.8), "a simulation", halves=16)


@pytest.mark.parametrize(
    ("enrolled", "each", "rule"),
    [(1, 1, "best"), (10, 1, "best"), (80, 1, "best"), (20, 3, "best"), (20, 3, "mean")],
)
def test_as_many_strangers_are_named_as_were_asked_for(
    measured, enrolled: int, each: int, rule: str
) -> None:
    others = crowd(500, 3, 2, wolves=0.8)
    threshold = measured.threshold(0.05, Searched({each: enrolled}, Matching(rule)))
    found = named(others, enrolled, each, threshold, 60 if enrolled < 5 else 12, rule)
    assert 0.6 < found / 0.05 < 1.6


def test_wolves_are_seen_as_a_correlation_that_the_simple_rule_misses(measured) -> None:
    plain = measure_tail(crowd(500, 3, 1), "a simulation", halves=2)

    def worth(tail) -> float:
        rate = tail.named_rate(tail.far_threshold(0.02), Searched({1: 80})).rate
        return rate / (1 - 0.98**80)

    assert worth(measured) < 0.9 * worth(plain)


def test_it_does_not_depend_on_the_order_of_the_photographs() -> None:
    faces = crowd(150, 2, 3)
    order = np.random.default_rng(0).permutation(len(faces.people))
    first, second = (
        measure_tail(one, "x", halves=2)
        for one in (faces, Faces(faces.vectors[order], faces.people[order]))
    )
    assert np.allclose(first.quantiles, second.quantiles, atol=1e-5)
    assert first.fits[0].shape == pytest.approx(second.fits[0].shape, abs=1e-4)


def test_people_of_one_photograph_each_are_enough_for_a_tail() -> None:
    tail = measure_tail(crowd(200, 1, 4), "x", halves=4)
    several = tail.threshold(0.05, Searched({3: 10}))
    # Nothing is known of several photographs: they are taken for as many chances.
    assert several == pytest.approx(tail.threshold(0.05, Searched({1: 30})), abs=0.01)


def test_too_few_people_and_what_is_no_number_are_refused() -> None:
    with pytest.raises(DatasetError, match="99 people are too few"):
        measure_tail(crowd(99, 2, 0), "x")
    broken = crowd(120, 1, 0)
    broken.vectors[3, 0] = np.nan
    with pytest.raises(DatasetError, match="NaN"):
        measure_tail(broken, "x")
    alike = np.tile(broken.vectors[:1], (120, 1))
    with pytest.raises(DatasetError, match="all the same"):
        measure_tail(Faces(alike, np.arange(120)), "x")
    with pytest.raises(DatasetError, match="no face"):
        labelled_faces([None, None], [0, 1])
    faces = labelled_faces([broken.vectors[0], None, broken.vectors[1]], [4, 4, 9])
    assert faces.people.tolist() == [0, 1]


def searches_at(tail, searched: Searched, times: float, count: int) -> Impostors:
    """Searches of which `times` as many reach a tenth's threshold as the weights say."""
    level = tail.threshold(0.1, searched)
    reach = round(0.1 * times * count)
    values = np.where(np.arange(count) < reach, level + 0.01, level - 0.1)
    people = np.repeat(np.arange(count)[:, None], 2, axis=1)
    return Impostors(values, people, np.ones(count))


@pytest.mark.parametrize("times", [0.5, 1.0, 2.0])
def test_few_comparisons_leave_the_weights_word_and_many_replace_it(measured, times: float) -> None:
    searched = Searched({1: 30})
    few, many = (
        combined(searches_at(measured, searched, times, count), measured, searched, 0.01)
        for count in (20, 20_000)
    )
    assert abs(np.log(few.times)) <= abs(np.log(times)) + 1e-9
    assert many.times == pytest.approx(times, rel=0.05)
    assert many.threshold == pytest.approx(measured.threshold(0.01 / times, searched), abs=0.01)
    for found in (few, many):
        assert found.threshold_interval[0] <= found.threshold <= found.threshold_interval[1]
        assert found.rate_interval[0] <= 0.01 <= found.rate_interval[1]


def test_nobody_seen_leaves_the_weights_word(measured) -> None:
    nothing = Impostors(np.zeros(0), np.zeros((0, 2), np.int64), np.zeros(0))
    searched = Searched({1: 30})
    found = combined(nothing, measured, searched, 0.01)
    assert found.times == 1
    assert found.threshold == pytest.approx(measured.threshold(0.01, searched))
