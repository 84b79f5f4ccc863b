import io

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recognition.gallery.search.builder import train
from recognition.gallery.search.index import TemplateIndex
from recognition.gallery.search.kinds import IndexPlan, Kind

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
    monkeypatch.setattr("recognition.gallery.search.index._ROWS_AT_ONCE", 4)
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


def trained(kind: Kind, ids: np.ndarray, dimension: int = 64) -> tuple[TemplateIndex, np.ndarray]:
    """An index of unit vectors by chance, and they."""
    vectors = np.random.default_rng(0).normal(size=(len(ids), dimension))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    plan = IndexPlan(kind, 8, "for the test")
    index = TemplateIndex(dimension, train(plan, vectors, np.arange(len(ids)), lambda: None))
    index.add(ids, vectors)
    return index, vectors


@pytest.mark.parametrize("kind", [Kind.INT8, Kind.PQ])
def test_a_trained_index_follows_searches_and_comes_back(kind: Kind) -> None:
    ids = np.arange(500) * 3 + 1
    index, vectors = trained(kind, ids)
    assert (index.kind, index.is_exact, index.lists) == (kind, False, 8)
    left = np.delete(ids, np.random.default_rng(1).choice(500, 123, replace=False))
    assert index.follow(left, lambda _: vectors[:0]) == 123
    sink = io.BytesIO()
    index.write(sink.write)
    again = TemplateIndex.read(io.BytesIO(sink.getvalue()).read, 64)
    assert again is not None
    np.testing.assert_array_equal(again.ids, left)
    for one in (index, again):
        _, found = one.search(vectors[(left - 1) // 3], 5, searched=8)
        assert (found[:, 0] == left).all()
        assert np.isin(found, left).all()
        _, found = one.search(vectors[:9], 3, among=left[::40])
        assert np.isin(found, left[::40]).all()
        _, few = one.search(vectors[:1], 5, among=left[:2])
        assert sorted(few[0, :2].tolist()) == left[:2].tolist()
        assert (few[0, 2:] == -1).all()


def codes_in(index: TemplateIndex) -> list[bytes]:
    """Every code that the index's blocks hold, in use or not."""
    lists = faiss.downcast_InvertedLists(index._faiss.invlists)
    packer = lists.packer
    codes = []
    for number in range(lists.nlist):
        blocks = -(-lists.list_size(number) // packer.nvec)
        if blocks:
            content = faiss.rev_swig_ptr(lists.get_codes(number), blocks * packer.block_size)
            for block in content.reshape(blocks, 1, packer.block_size):
                codes += [packer.unpack_1(block, place).tobytes() for place in range(packer.nvec)]
    return codes


def test_no_code_of_what_was_removed_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.arange(300)
    index, vectors = trained(Kind.PQ, ids)
    before = set(codes_in(index))
    index.follow(ids[:-50], lambda _: vectors[:0])
    alone, _ = trained(Kind.PQ, ids)
    alone.follow(ids[:0], lambda _: vectors[:0])
    alone.add(ids[-50:], vectors[-50:])
    gone = {code for code in codes_in(alone) if any(code)}
    assert len(gone) == 50
    assert gone <= before
    assert not gone & set(codes_in(index))
    # FAISS by itself leaves some of them.
    index, _ = trained(Kind.PQ, ids)
    monkeypatch.setattr("recognition.gallery.search.index._blank_unused", lambda _: None)
    index.follow(ids[:-50], lambda _: vectors[:0])
    assert gone & set(codes_in(index))


def test_the_middle_of_no_list_is_one_person_s() -> None:
    rng = np.random.default_rng(0)
    crowd = rng.normal(size=(200, 16))
    hermit = np.repeat(10 * rng.normal(size=(1, 16)), 40, axis=0)  # a list of their own
    sample = np.concatenate([crowd, hermit])
    sample = (sample / np.linalg.norm(sample, axis=1, keepdims=True)).astype(np.float32)
    people = np.concatenate([np.arange(200), np.full(40, 999)])
    index = train(IndexPlan(Kind.INT8, 20, ""), sample, people, lambda: None)
    middles = index.quantizer.reconstruct_n(0, index.nlist)
    np.testing.assert_allclose(np.linalg.norm(middles, axis=1), 1, atol=1e-5)
    assert index.nlist < 20
    assert (middles @ sample[-1]).max() < 0.9
