import io

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognition.gallery.index import TemplateIndex

D = 8


def vectors_of(ids: np.ndarray) -> np.ndarray:
    """The one vector that each id stands for, as in a store."""
    rows = [np.random.default_rng(i).normal(size=D) for i in ids.tolist()]
    table = np.array(rows).reshape(-1, D)
    return (table / np.linalg.norm(table, axis=1, keepdims=True)).astype(np.float32)


def filled(*ids: int) -> TemplateIndex:
    index = TemplateIndex(D)
    index.follow(np.array(ids, dtype=np.int64), vectors_of)
    return index


def bytes_of(index: TemplateIndex) -> bytes:
    sink = io.BytesIO()
    index.write(sink.write)
    return sink.getvalue()


def read_back(content: bytes) -> TemplateIndex | None:
    return TemplateIndex.read(io.BytesIO(content).read, D)


id_sets = st.sets(st.integers(1, 40), max_size=20)


@given(states=st.lists(id_sets, min_size=1, max_size=5), query=st.integers(1000, 2000))
def test_it_follows_the_store_from_any_state_to_any_other(
    states: list[set[int]], query: int
) -> None:
    index = TemplateIndex(D)
    before: set[int] = set()
    for state in states:
        ids = np.array(sorted(state), dtype=np.int64)
        assert index.follow(ids, vectors_of) == len(state ^ before)
        np.testing.assert_array_equal(index.ids, ids)
        assert len(index) == len(ids)
        before = state
        if not state:
            continue
        asked = vectors_of(np.array([query]))
        similarities, found = index.search(asked, len(state))
        expected = vectors_of(ids).astype(np.float64) @ asked[0].astype(np.float64)
        np.testing.assert_allclose(similarities[0], np.sort(expected)[::-1], atol=1e-6)
        by_id = dict(zip(ids.tolist(), expected.tolist(), strict=True))
        np.testing.assert_allclose(
            similarities[0], [by_id[i] for i in found[0].tolist()], atol=1e-6
        )


def test_only_what_is_new_is_read_from_the_store() -> None:
    index = filled(1, 2, 3)
    asked: list[int] = []

    def read(ids: np.ndarray) -> np.ndarray:
        asked.extend(ids.tolist())
        return vectors_of(ids)

    assert index.follow(np.array([2, 3, 5, 7]), read)
    assert asked == [5, 7]
    assert not index.follow(np.array([2, 3, 5, 7]), read)
    assert asked == [5, 7]


def test_a_large_store_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recognition.gallery.index._ROWS_AT_ONCE", 4)
    sizes: list[int] = []

    def read(ids: np.ndarray) -> np.ndarray:
        sizes.append(len(ids))
        return vectors_of(ids)

    ids = np.arange(1, 11)
    index = TemplateIndex(D)
    index.follow(ids, read)
    assert sizes == [4, 4, 2]
    np.testing.assert_array_equal(index.ids, ids)
    _, found = index.search(vectors_of(ids), 1)
    np.testing.assert_array_equal(found[:, 0], ids)


def test_it_is_an_exact_index_with_ids() -> None:
    read = faiss.deserialize_index(np.frombuffer(bytes_of(filled(4)), dtype=np.uint8))
    assert isinstance(read, faiss.IndexIDMap2)
    assert isinstance(faiss.downcast_index(read.index), faiss.IndexFlat)
    assert read.metric_type == faiss.METRIC_INNER_PRODUCT


def test_bytes_come_back_as_the_same_index() -> None:
    again = read_back(bytes_of(filled(3, 1, 7)))
    assert again is not None
    np.testing.assert_array_equal(again.ids, [1, 3, 7])
    again.follow(np.array([1, 7, 9]), vectors_of)
    _, found = again.search(vectors_of(np.array([1, 7, 9])), 1)
    assert found[:, 0].tolist() == [1, 7, 9]


def other_kind(recipe: str, metric: int, dimension: int = D) -> bytes:
    return faiss.serialize_index(faiss.index_factory(dimension, recipe, metric)).tobytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no index",
        bytes_of(filled(1, 2))[:-9],
        other_kind("Flat", faiss.METRIC_INNER_PRODUCT),
        other_kind("IDMap2,Flat", faiss.METRIC_L2),
        other_kind("IDMap2,Flat", faiss.METRIC_INNER_PRODUCT, dimension=D + 1),
    ],
    ids=["empty", "noise", "cut short", "without ids", "distances", "other dimension"],
)
def test_what_is_no_such_index_is_not_read(content: bytes) -> None:
    assert read_back(content) is None


def test_a_search_takes_one_thread_and_gives_the_others_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index = filled(1, 2, 3)
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    counted: list[int] = []
    search = index._faiss.search

    def counting(*arguments: object, **options: object) -> object:
        counted.append(faiss.omp_get_max_threads())
        return search(*arguments, **options)

    monkeypatch.setattr(index._faiss, "search", counting)
    try:
        index.search(vectors_of(np.array([1])), 1)
        assert counted == [1]
        assert faiss.omp_get_max_threads() == 3
    finally:
        faiss.omp_set_num_threads(before)
