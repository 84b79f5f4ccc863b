import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognition.evaluation.identification import evaluate_gallery, evaluate_identification
from recognition.evaluation.searches import cumulative_match, intervals, search


def crowd(
    rng: np.random.Generator, people: int, photographs: int, *, noise: float = 0.35
) -> dict[str, list[np.ndarray | None]]:
    """People about a direction of their own; some are harder to photograph than others."""
    vectors: dict[str, list[np.ndarray | None]] = {}
    for person in range(people):
        centre, spread = rng.normal(size=12), noise * rng.uniform(0.3, 2.5)
        centre /= np.linalg.norm(centre)
        own = centre + spread * rng.normal(size=(photographs, 12)) / np.sqrt(12) * 2
        own /= np.linalg.norm(own, axis=1, keepdims=True)
        vectors[f"p{person:03d}"] = list(own.astype(np.float32))
    return vectors


def slow_rank(probe: np.ndarray | None, name: str, gallery: dict) -> float:
    """By the definition, one person after the other."""
    if probe is None or all(vector is None for vector in gallery[name]):
        return np.inf
    best = {
        other: max(float(probe @ v) for v in vectors if v is not None)
        for other, vectors in gallery.items()
        if any(v is not None for v in vectors)
    }
    return 1 + sum(similarity > best[name] for similarity in best.values())


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 3))
def test_ranks_are_those_of_the_definition(seed: int, people: int, photographs: int):
    rng = np.random.default_rng(seed)
    everybody = crowd(rng, people + 2, photographs + 2)
    for vectors in everybody.values():
        for number in range(len(vectors)):
            if rng.random() < 0.2:
                vectors[number] = None
    names = sorted(everybody)
    gallery = {name: everybody[name][:photographs] for name in names[:people]}
    probes = {name: everybody[name][photographs:] for name in names}
    found = search(gallery, probes, {name: number for number, name in enumerate(names)})
    expected = [slow_rank(v, name, gallery) for name in gallery for v in probes[name]]
    assert found.ranks.tolist() == expected
    assert np.isfinite(found.known).tolist() == [rank == 1 for rank in expected]
    assert found.known_people.tolist() == [n for n in range(people) for _ in range(2)]
    assert found.stranger_people.tolist() == [people] * 2 + [people + 1] * 2


def test_of_equals_the_first_enrolled_goes_first():
    one = np.array([1, 0], np.float32)
    gallery = {"Ann": [one], "Bo": [one]}
    found = search(gallery, {"Ann": [one], "Bo": [one]}, {"Ann": 0, "Bo": 1})
    assert found.ranks.tolist() == [1, 2]
    assert cumulative_match([found], 2) == (0.5, 1.0)


def test_the_cumulative_match_curve_rises_from_rank_1_to_all():
    everybody = crowd(np.random.default_rng(0), 40, 3, noise=0.8)
    result = evaluate_identification(everybody, draws=10)
    curve = result.cumulative_match
    assert len(curve) == 20
    assert curve[0] == pytest.approx(result.rank_1)
    assert list(curve) == sorted(curve)
    assert curve[-1] == 1  # as many ranks as are enrolled
    assert curve[0] < curve[4] < 1


def test_a_face_that_is_not_found_has_no_rank():
    gallery = {"Ann": [np.array([1, 0], np.float32)], "Bo": [np.array([0, 1], np.float32)]}
    probes = {"Ann": [gallery["Ann"][0], None], "Bo": [gallery["Bo"][0]]}
    assert evaluate_gallery(gallery, probes).cumulative_match == pytest.approx((2 / 3, 2 / 3))


def test_equal_weights_give_the_rates():
    everybody = crowd(np.random.default_rng(1), 60, 3, noise=0.7)
    names = sorted(everybody)
    gallery = {name: everybody[name][:1] for name in names[:30]}
    probes = {n: v[1:] if n in gallery else v for n, v in everybody.items()}
    found = search(gallery, probes, {name: number for number, name in enumerate(names)})
    equal = np.ones((2, 60))
    assert found.weighted_rank_1(equal) == pytest.approx([np.mean(found.ranks == 1)] * 2)
    fpirs = [0.12, 0.5, 1.0]
    expected = [found.fnir(fpir) for fpir in fpirs]
    assert found.weighted_fnir(equal, fpirs)[0] == pytest.approx(expected)


def test_every_rate_lies_in_its_interval():
    everybody = crowd(np.random.default_rng(2), 70, 3, noise=0.6)
    result = evaluate_identification(everybody, draws=10)
    assert result.intervals.keys() == {
        "rank_1",
        "fnir_at_fpir_0.1",
        "fnir_at_smallest_supported_fpir",
    }
    low, high = result.intervals["rank_1"]
    assert low < result.rank_1 < high
    low, high = result.intervals["fnir_at_fpir_0.1"]
    assert low < result.fnir_at_fpir[0.1] < high


def test_without_known_probes_there_is_nothing_to_say():
    one = np.array([1, 0], np.float32)
    found = search({"Ann": [one]}, {"Bo": [one]}, {"Ann": 0, "Bo": 1})
    assert cumulative_match([found], 3) == ()
    assert intervals([found], 2, None, {}) == {}


@pytest.mark.slow
def test_intervals_hold_the_truth_in_95_of_100():
    """New probes of new people, who are searched among people that stay as they are."""
    rng = np.random.default_rng(3)
    gallery_people, photographs = 40, 3
    gallery = crowd(rng, 40, 1)
    names = sorted(gallery)

    def draw(strangers: int, each: int) -> tuple[dict, dict[str, int]]:
        """Probes whose difficulty is their person's own, in the gallery's stead or a stranger's."""
        probes: dict[str, list[np.ndarray | None]] = {}
        for number in range(gallery_people + strangers):
            spread = 0.35 * rng.uniform(0.3, 2.5)
            known = number < gallery_people
            centre = gallery[names[number]][0] if known else rng.normal(size=12)
            centre = centre / np.linalg.norm(centre)
            own = centre + spread * rng.normal(size=(each, 12)) / np.sqrt(3)
            own /= np.linalg.norm(own, axis=1, keepdims=True)
            name = names[number] if known else f"s{number:06d}"
            probes[name] = list(own.astype(np.float32))
        return probes, {name: number for number, name in enumerate(sorted(probes))}

    fpir = 0.1
    truths = [search(gallery, *draw(2000, 20)) for _ in range(20)]
    rank_1 = float(np.mean([np.mean(s.ranks == 1) for s in truths]))
    fnir = float(np.mean([s.fnir(fpir) for s in truths]))
    held = np.zeros(2)
    for _ in range(repetitions := 300):
        found = search(gallery, *draw(60, photographs))
        rates = float(np.mean(found.ranks == 1)), {"fnir": (fpir, found.fnir(fpir))}
        ends = intervals([found], gallery_people + 60, *rates).values()
        held += [
            low <= true <= high for (low, high), true in zip(ends, (rank_1, fnir), strict=True)
        ]
    assert ((held / repetitions >= 0.91) & (held / repetitions <= 0.985)).all(), held
