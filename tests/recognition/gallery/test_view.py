import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import ArgumentError
from recognition.gallery.search.index import TemplateIndex
from recognition.gallery.search.searcher import View
from recognition.gallery.storage.snapshot import Revision, Roll
from recognition.matching import Matching
from recognition.template_attention import Rule, TemplateAttention, combined

D = 4


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def view_of(owners: list[str], vectors: np.ndarray) -> View:
    """A view of templates, the i-th being `owners[i]`'s; ids and people are numbered with gaps."""
    names = {10 * i + 3: name for i, name in enumerate(sorted(set(owners)))}
    person_of = {name: person for person, name in names.items()}
    ids = np.arange(len(owners), dtype=np.int64) * 7 + 5
    index = TemplateIndex(D)
    index.follow(ids, lambda wanted: vectors[(wanted - 5) // 7])
    people = np.array([person_of[name] for name in owners], dtype=np.int64)
    return View(
        revision=Revision("", 0, "", ""),
        roll=Roll(ids=ids, people=people, names=names),
        index=index,
    )


def slow_best_people(
    owners: list[str], vectors: np.ndarray, query: np.ndarray
) -> list[tuple[str, float]]:
    """Every person's best cosine similarity, one product after the other, best first."""
    best: dict[str, float] = {}
    for owner, vector in zip(owners, vectors.tolist(), strict=True):
        similarity = sum(a * b for a, b in zip(vector, query.tolist(), strict=True))
        best[owner] = max(best.get(owner, -2.0), similarity)
    return sorted(best.items(), key=lambda item: -item[1])


@settings(max_examples=300)
@given(
    owners=st.lists(st.sampled_from("ABCDEFGH"), max_size=120),
    k=st.integers(1, 10),
    seed=st.integers(0, 10_000),
    spread=st.sampled_from([0.01, 0.3, 3.0]),
)
def test_it_is_exact_however_many_templates_a_person_has(
    owners: list[str], k: int, seed: int, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    centres = {name: rng.normal(size=D) for name in "ABCDEFGH"}
    rows = [centres[name] + spread * rng.normal(size=D) for name in owners]
    vectors = unit(np.array(rows).reshape(-1, D))
    query = unit(rng.normal(size=(1, D)))[0]
    found = view_of(owners, vectors).best_people(query, k)
    everybody = slow_best_people(owners, vectors, query)
    assert len(found) == min(k, len(everybody))
    assert len({match.person for match in found}) == len(found)
    np.testing.assert_allclose(
        [match.cosine_similarity for match in found],
        [similarity for _, similarity in everybody[:k]],
        atol=1e-5,
    )
    for match in found:
        assert match.cosine_similarity == pytest.approx(dict(everybody)[match.person], abs=1e-5)


def test_one_person_s_many_templates_do_not_crowd_out_the_next() -> None:
    near, far = np.array([[1.0, 0, 0, 0]]), np.array([[0, 1.0, 0, 0]])
    vectors = unit(np.concatenate([np.repeat(near, 500, 0), far]))
    found = view_of(["Ann"] * 500 + ["Bob"], vectors).best_people(unit(near)[0], 2)
    told = [(match.person, match.cosine_similarity) for match in found]
    assert told == [("Ann", 1.0), ("Bob", 0.0)]


def test_equals_are_in_the_order_of_their_names() -> None:
    vectors = np.tile(unit(np.ones((1, D))), (3, 1))
    found = view_of(["Cyd", "Ann", "Bob"], vectors).best_people(vectors[0], 3)
    assert [match.person for match in found] == ["Ann", "Bob", "Cyd"]


def test_a_similarity_is_never_more_than_one() -> None:
    rng = np.random.default_rng(0)
    vectors = unit(rng.normal(size=(200, D)))
    view = view_of([f"P{i:03}" for i in range(200)], vectors)
    for sign in (1, -1):
        for vector in vectors:
            values = [match.cosine_similarity for match in view.best_people(sign * vector, 200)]
            assert max(values) <= 1
            assert min(values) >= -1


def test_nobody_is_found_among_nobody() -> None:
    assert view_of([], np.empty((0, D), np.float32)).best_people(unit(np.ones((1, D)))[0], 3) == []


def rule_of(matching: Matching) -> Rule:
    """The rule, with a query drawn by lot where it is attention."""
    if matching is not Matching.ATTENTION:
        return matching
    query = np.random.default_rng(5).normal(size=D)
    return TemplateAttention(np.float32(2 * query))


def slow_matching(values: list[float], matching: Matching, templates: list[list[float]]) -> float:
    """The rule, by hand."""
    if matching is Matching.ATTENTION:
        query = np.random.default_rng(5).normal(size=D)
        grown = [
            math.exp(sum(2 * q * t for q, t in zip(query, one, strict=True))) for one in templates
        ]
        return sum(g * v for g, v in zip(grown, values, strict=True)) / sum(grown)
    ordered = sorted(values)
    if matching is Matching.BEST:
        return ordered[-1]
    if matching is Matching.TRIMMED and len(ordered) >= 3:
        ends = max(1, len(ordered) // 5)
        ordered = ordered[ends : len(ordered) - ends]
    return sum(ordered) / len(ordered)


@settings(max_examples=200)
@given(
    owners=st.lists(st.sampled_from("ABCDEFGH"), max_size=120),
    k=st.integers(1, 9),
    seed=st.integers(0, 10_000),
    spread=st.sampled_from([0.01, 0.3, 3.0]),
    matching=st.sampled_from(Matching),
)
def test_every_rule_is_exact_whoever_the_index_finds_first(
    owners: list[str], k: int, seed: int, spread: float, matching: Matching
) -> None:
    rng = np.random.default_rng(seed)
    centres = {name: rng.normal(size=D) for name in "ABCDEFGH"}
    rows = [centres[name] + spread * rng.normal(size=D) for name in owners]
    vectors = unit(np.array(rows).reshape(-1, D))
    query = unit(rng.normal(size=(1, D)))[0]
    found = view_of(owners, vectors).best_people(query, k, rule_of(matching))
    everybody = {
        name: slow_matching(
            [float(v @ query) for o, v in zip(owners, vectors, strict=True) if o == name],
            matching,
            [v.tolist() for o, v in zip(owners, vectors, strict=True) if o == name],
        )
        for name in set(owners)
    }
    best = sorted(everybody.values(), reverse=True)[:k]
    np.testing.assert_allclose([m.cosine_similarity for m in found], best, atol=1e-5)
    for match in found:
        assert match.cosine_similarity == pytest.approx(everybody[match.person], abs=1e-5)


@pytest.mark.parametrize("matching", Matching)
def test_no_rule_is_above_the_best(matching: Matching) -> None:
    rng = np.random.default_rng(0)
    for count in range(1, 12):
        values = rng.uniform(-1, 1, count)
        templates = unit(rng.normal(size=(count, D)))
        rule = rule_of(matching)
        assert combined(values, rule, templates) <= combined(values, Matching.BEST)


def test_attention_without_what_was_trained_is_refused() -> None:
    with pytest.raises(ArgumentError, match="was trained"):
        combined(np.ones(3), Matching.ATTENTION)
    with pytest.raises(ArgumentError, match=r"of 3 numbers.* have 4"):
        TemplateAttention(np.zeros(3, np.float32)).weights(np.ones((2, 4)))


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_a_query_of_zeros_is_the_mean_and_a_long_one_a_single_photograph(count: int) -> None:
    rng = np.random.default_rng(count)
    values, templates = rng.uniform(-1, 1, count), unit(rng.normal(size=(count, D)))
    mean = TemplateAttention(np.zeros(D, np.float32))
    assert combined(values, mean, templates) == pytest.approx(combined(values, Matching.MEAN))
    assert mean.effective_count(templates) == count
    one = TemplateAttention(np.float32(1e4) * templates[0])  # most like itself
    assert combined(values, one, templates) == pytest.approx(values[0], abs=1e-5)
    assert one.effective_count(templates) == 1


def test_a_photograph_given_twice_is_worth_one() -> None:
    templates = unit(np.random.default_rng(0).normal(size=(3, D)))
    mean = TemplateAttention(np.zeros(D, np.float32))
    assert mean.effective_count(templates[[0, 0, 0]]) == 1
    assert mean.effective_count(templates[[0, 1, 2, 0, 1, 2]]) == 3


def test_one_photograph_of_somebody_else_does_not_decide_by_the_trimmed_mean() -> None:
    own, wrong = np.array([0.7, 0.72, 0.68, 0.71]), 0.05
    assert combined(np.append(own, wrong), Matching.TRIMMED) == pytest.approx(0.6967, abs=1e-3)
    assert combined(np.append(own, wrong), Matching.MEAN) < 0.6


def test_the_next_person_is_found_behind_those_who_are_excluded() -> None:
    vectors = unit(np.array([[1.0, 0, 0, 0.1 * n] for n in range(30)] + [[0, 1.0, 0, 0]]))
    owners = ["A"] * 30 + ["B"]
    view = view_of(owners, vectors)
    query = vectors[0]
    excluded = replace(view, excluded={3: query[None]})  # 3 is A's id
    assert [m.person for m in view.best_people(query, 1)] == ["A"]
    assert [m.person for m in excluded.best_people(query, 1)] == ["B"]
    assert [m.person for m in excluded.best_people(query, 5)] == ["B"]
    # A face more like A than like what is not A is still A's.
    assert excluded.best_people(vectors[20], 1)[0].person == "A"


@settings(max_examples=200)
@given(
    owners=st.lists(st.sampled_from("ABCDEFGH"), max_size=120),
    group=st.sets(st.sampled_from("ABCDEFGHIJ")),
    k=st.integers(1, 9),
    seed=st.integers(0, 10_000),
    matching=st.sampled_from(Matching),
)
def test_a_filter_finds_what_is_found_where_nobody_else_is(
    owners: list[str], group: set[str], k: int, seed: int, matching: Matching
) -> None:
    rng = np.random.default_rng(seed)
    vectors = unit(rng.normal(size=(len(owners), D)))
    query = unit(rng.normal(size=(1, D)))[0]
    view = view_of(owners, vectors)
    number_of = {name: person for person, name in view.roll.names.items()}
    among = {number_of.get(name, 1) for name in group}  # 1 is nobody's
    rule = rule_of(matching)
    found = view.best_people(query, k, rule, among)
    kept = [owner in group for owner in owners]
    alone = view_of([owner for owner in owners if owner in group], vectors[kept])
    expected = alone.best_people(query, k, rule)
    assert [match.person for match in found] == [match.person for match in expected]
    np.testing.assert_allclose(
        [match.cosine_similarity for match in found],
        [match.cosine_similarity for match in expected],
        atol=1e-6,
    )
