from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from data.errors import GalleryError
from recognition.gallery.storage import snapshot
from recognition.gallery.storage.snapshot import (
    MOST_COMPARED,
    Roll,
    by_chance,
    closest_other,
    look_alikes,
    require_few,
)


def crowd(owners: list[int], seed: int) -> tuple[Roll, np.ndarray]:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(len(owners), 3))
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    ids = np.arange(len(owners), dtype=np.int64) * 3 + 2
    names = {owner: f"p{owner}" for owner in set(owners)}
    return Roll(ids=ids, people=np.array(owners, np.int64), names=names), unit


@settings(max_examples=60)
@given(
    owners=st.lists(st.integers(0, 5), max_size=25),
    seed=st.integers(0, 999),
    threshold=st.floats(-0.5, 0.9),
    block=st.sampled_from([1, 40, 10_000]),
)
def test_every_pair_of_people_near_the_threshold_is_found_and_no_other(
    owners: list[int], seed: int, threshold: float, block: int
) -> None:
    roll, vectors = crowd(owners, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "_PAIRS_AT_ONCE", block)
        found = look_alikes(roll, vectors, threshold, 0.1)
    expected = {}
    for one, other in combinations(sorted(set(owners)), 2):
        values = {
            (roll.ids[i], roll.ids[j]): float(vectors[i].astype(float) @ vectors[j])
            for i, owner in enumerate(owners)
            for j, second in enumerate(owners)
            if (owner, second) == (one, other)
        }
        best = max(values.values())
        if best >= threshold - 0.1 + 1e-6:
            share = sum(value >= threshold for value in values.values()) / len(values)
            expected[f"p{one}", f"p{other}"] = (best, share, max(values, key=values.__getitem__))
    got = {(pair.person, pair.other): pair for pair in found}
    assert expected.keys() <= got.keys()
    for key, (best, share, photographs) in expected.items():
        assert got[key].cosine_similarity == pytest.approx(best, abs=1e-5)
        assert got[key].share == pytest.approx(
            share, abs=0.51 if abs(best - threshold) < 1e-5 else 1e-9
        )
        assert got[key].photographs == photographs
    values = [pair.cosine_similarity for pair in found]
    assert values == sorted(values, reverse=True)
    assert all(pair.cosine_similarity >= threshold - 0.1 - 1e-5 for pair in found)


def test_one_person_under_two_names_shares_most_photographs() -> None:
    base = np.eye(4, dtype=np.float32)
    tilted = np.array([[0.95, 0.0, 0.3122, 0.0]], np.float32)
    vectors = np.concatenate([base[:1], tilted, base[:1], base[1:2]])
    roll = Roll(
        ids=np.arange(4), people=np.array([1, 1, 2, 3]), names={1: "Ann", 2: "A.", 3: "Bob"}
    )
    [pair] = look_alikes(roll, vectors, 0.5, 0.05)
    assert (pair.person, pair.other) == ("A.", "Ann")
    assert pair.photographs == (2, 0)
    assert (pair.cosine_similarity, pair.share, pair.above) == (1.0, 1.0, True)


def test_nobody_is_alike_among_nobody() -> None:
    roll, vectors = crowd([], 0)
    assert look_alikes(roll, vectors.reshape(0, 3), 0.3, 0.1) == []


def test_each_photograph_is_compared_with_the_person_s_others() -> None:
    assert closest_other(np.empty((0, 4), np.float32)) == []
    assert closest_other(np.eye(4, dtype=np.float32)[:1]) == [None]
    vectors = np.array([[1, 0], [0.8, 0.6], [-1, 0]], np.float32)
    assert closest_other(vectors) == pytest.approx([0.8, 0.8, -0.8])


def test_too_many_are_not_compared_each_with_each() -> None:
    require_few(MOST_COMPARED, "nothing")
    with pytest.raises(GalleryError, match="200,001 photographs are too many"):
        require_few(MOST_COMPARED + 1, "do that instead")


def test_of_those_told_to_be_one_person_few_are_two() -> None:
    """Benjamini and Hochberg's rule by its definition, and what it keeps of many by chance."""
    rng = np.random.default_rng(0)
    people, twins = 120, 8
    own = rng.normal(size=(people, 64))
    vectors = np.concatenate([own, own[:twins] + 0.5 * rng.normal(size=(twins, 64))])
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    count = len(vectors)
    roll = Roll(np.arange(count), np.arange(count), {n: f"p{n:03}" for n in range(count)})

    def chance(similarity: float, photographs: np.ndarray) -> np.ndarray:
        assert photographs.tolist() == [[1, 1]]
        return np.array([norm.sf(similarity * 8)])  # of two directions in 64 dimensions

    found = by_chance(look_alikes(roll, vectors, 0.3, 0.0), roll, chance)
    told = {(one.person_id, one.other_id) for one in found if one.above}
    assert {(n, people + n) for n in range(twins)} <= told
    assert len(told) <= twins + 2
    # The definition: the last of them all whose chance is below its rank's part of the tenth.
    pairs = count * (count - 1) / 2
    chances = sorted(norm.sf(one.cosine_similarity * 8) for one in found)
    last = max(i for i, one in enumerate(chances, 1) if one * pairs <= 0.1 * i)
    assert len(told) == last
    parts = [one.by_chance for one in found]
    assert parts == sorted(parts)
    assert by_chance([], roll, chance) == []
