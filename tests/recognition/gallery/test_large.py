"""Galleries that have outgrown the exact index; here that happens at a few hundred templates."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from made_up import MODEL, fill, kind_in_use, looks, photographs_of, settled

from recognition.gallery.gallery import Gallery
from recognition.gallery.search import builder, kinds
from recognition.gallery.search.kinds import Kind
from recognition.matching import Matching
from recognition.template_attention import Rule, TemplateAttention

RULES: tuple[Rule, ...] = (
    Matching.BEST,
    Matching.MEAN,
    Matching.TRIMMED,
    TemplateAttention(np.float32(2 * np.random.default_rng(5).normal(size=MODEL.dimension))),
)


PEOPLE = 300


@pytest.fixture(autouse=True)
def soon_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "EXACT_UP_TO", 500)
    monkeypatch.setattr(kinds, "FEWEST_TRAINED", 100)


def slow_best(gallery: Gallery, query: np.ndarray, matching: Rule) -> dict[str, float]:
    """Every person's similarity, from the store."""
    roll, embeddings = gallery.templates()
    found = {}
    for person, name in roll.names.items():
        own = embeddings[roll.people == person]
        values = np.sort(own @ query)
        if isinstance(matching, TemplateAttention):
            found[name] = matching.weights(own) @ (own @ query)
        elif matching is Matching.BEST:
            found[name] = values[-1]
        else:
            ends = max(1, len(values) // 5) if matching is Matching.TRIMMED else 0
            found[name] = values[ends : len(values) - ends].mean()
    return found


@pytest.fixture
def every_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look into all lists, so that nothing is missed for their sake."""
    monkeypatch.setattr("recognition.gallery.search.builder._SHARES", (1,))


@pytest.fixture(params=[Kind.PQ, Kind.INT8])
def large(request: pytest.FixtureRequest, folder: Path) -> Iterator[Gallery]:
    with Gallery.open(folder, model=MODEL, create=True) as gallery:
        fill(gallery, range(PEOPLE))
        gallery.make_index(request.param)
        yield gallery


@pytest.mark.parametrize("matching", RULES)
def test_people_are_found_and_every_similarity_is_exact(large: Gallery, matching: Rule) -> None:
    people = range(0, PEOPLE, 3)
    queries = looks(people)
    found = large.search(queries, 3, matching)
    assert kind_in_use(large) in (Kind.PQ, Kind.INT8)
    right = 0
    for person, query, matches in zip(people, queries, found, strict=True):
        truth = slow_best(large, query, matching) if person % 10 == 0 else {}
        right += matches[0].person == f"P{person:05}"
        for match in matches if truth else ():
            assert match.cosine_similarity == pytest.approx(truth[match.person], abs=1e-5)
        assert [m.cosine_similarity for m in matches] == sorted(
            (m.cosine_similarity for m in matches), reverse=True
        )
    assert right == len(people)


def test_one_query_and_many_at_once_find_the_same(large: Gallery) -> None:
    queries = looks(range(0, PEOPLE, 20))
    together = large.search(queries, 2)
    for query, expected in zip(queries, together, strict=True):
        [alone] = large.search(query[np.newaxis], 2)
        assert [m.person for m in alone] == [m.person for m in expected]


@pytest.mark.parametrize("size", [1, 3, 120])
def test_a_filter_finds_what_comparing_all_of_them_finds(large: Gallery, size: int) -> None:
    rng = np.random.default_rng(size)
    with large._views.current() as view:
        everybody = sorted(view.roll.names)
        for person in range(0, PEOPLE, 60):
            among = set(rng.choice(everybody, size, replace=False).tolist())
            query = photographs_of(person, 1, seed=1)[0]
            [match] = view.best_people(query, 1, among=among)
            truth = slow_truth(view.roll, query, among, view.snapshot.embeddings)
            assert match.person == max(truth, key=lambda name: truth[name])
            assert match.cosine_similarity == pytest.approx(truth[match.person], abs=1e-5)


def slow_truth(roll, query, among, read):  # type: ignore[no-untyped-def]
    rows = np.isin(roll.people, list(among))
    values = read(roll.ids[rows]) @ query
    best: dict[str, float] = {}
    for person, value in zip(roll.people[rows].tolist(), values.tolist(), strict=True):
        best[roll.names[person]] = max(best.get(roll.names[person], -2), value)
    return best


@pytest.mark.usefixtures("every_list")
def test_what_is_added_and_removed_is_followed(large: Gallery, folder: Path) -> None:
    large.search(looks(range(1)), 1)
    written = (folder / "index" / "templates.faiss").read_bytes()
    fill(large, range(1000, 1010))
    for person in range(0, 10):
        large.edit.delete(f"P{person:05}")
    large.edit.merge("P00011", "P00012")
    large.edit.rename("P00013", "Thirteen")
    expected = {**{p: f"P{p:05}" for p in range(1000, 1010)}, 11: "P00012", 13: "Thirteen"}

    def ask(gallery: Gallery) -> list[str]:
        names = []
        for person in expected:
            names.append(gallery.search(looks(range(person, person + 1)), 1)[0][0].person)
        gone = gallery.search(looks(range(0, 10)), 1)
        assert not {f"P{p:05}" for p in range(10)} & {m[0].person for m in gone}
        return names

    assert ask(large) == list(expected.values())
    large.close()
    assert (folder / "index" / "templates.faiss").read_bytes() == written  # too little to write
    with Gallery.open(folder, model=MODEL) as again:
        assert ask(again) == list(expected.values())
        kind = kind_in_use(again)
        again.make_index(kind)  # anew
        assert ask(again) == list(expected.values())


def test_it_is_written_anew_when_much_has_changed(large: Gallery, folder: Path) -> None:
    path = folder / "index" / "templates.faiss"
    written = path.read_bytes()
    large.search(looks(range(1)), 1)
    fill(large, range(1000, 1000 + PEOPLE // 5))
    large.search(looks(range(1)), 1)
    large.close()
    assert path.read_bytes() != written


def test_growing_past_the_limit_makes_an_index_while_the_exact_one_answers(folder: Path) -> None:
    with Gallery.open(folder, model=MODEL, create=True) as gallery:
        fill(gallery, range(60))
        assert gallery.search(looks(range(5, 6)), 1)[0][0].person == "P00005"
        assert kind_in_use(gallery) is Kind.FLAT
        fill(gallery, range(60, 120))
        assert gallery.search(looks(range(100, 101)), 1)[0][0].person == "P00100"
        assert gallery._views._builder is not None
        settled(gallery)
        assert kind_in_use(gallery) is Kind.PQ
        assert "pq, more than 500 photographs" in str(gallery.facts()["index"])
        for person in (5, 100):
            found = gallery.search(looks(range(person, person + 1)), 1)
            assert found[0][0].person == f"P{person:05}"


def test_a_gallery_without_an_index_is_searched_exactly(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, real = threading.Event(), builder.train
    monkeypatch.setattr(builder, "train", lambda *arguments: begin.wait(280) and real(*arguments))
    with Gallery.open(folder, model=MODEL, create=True) as gallery:
        fill(gallery, range(PEOPLE))
        queries = looks(range(0, PEOPLE, 30))
        found = gallery.search(queries, 2)
        assert kind_in_use(gallery) is Kind.AUTO
        assert "not made yet" in str(gallery.facts()["index"])
        for query, matches in zip(queries, found, strict=True):
            truth = slow_best(gallery, query, Matching.BEST)
            best = sorted(truth, key=lambda name: -truth[name])[:2]
            assert [m.person for m in matches] == best
        begin.set()
        settled(gallery)
        assert kind_in_use(gallery) is Kind.PQ
    with Gallery.open(folder, model=MODEL) as gallery:
        gallery.search(queries, 1)
        assert kind_in_use(gallery) is Kind.PQ
        assert gallery._views._builder is None


def test_a_gallery_that_shrinks_is_compared_exactly_again(folder: Path) -> None:
    with Gallery.open(folder, model=MODEL, create=True) as gallery:
        fill(gallery, range(120))
        gallery.make_index()
        gallery.search(looks(range(1)), 1)
        for person in range(30):
            gallery.edit.delete(f"P{person:05}")
        settled(gallery)
        assert kind_in_use(gallery) is Kind.PQ  # 450 are not worth another index
        for person in range(30, 75):
            gallery.edit.delete(f"P{person:05}")
        settled(gallery)
        assert kind_in_use(gallery) is Kind.FLAT
        assert gallery.search(looks(range(80, 81)), 1)[0][0].person == "P00080"


def test_a_choice_made_by_another_process_is_taken_up(folder: Path) -> None:
    with (
        Gallery.open(folder, model=MODEL, create=True) as gallery,
        Gallery.open(folder, model=MODEL) as other,
    ):
        fill(gallery, range(120))
        settled(gallery)
        assert kind_in_use(gallery) is Kind.PQ
        other.make_index(Kind.INT8)
        fill(gallery, range(500, 501))
        assert gallery.search(looks(range(500, 501)), 1)[0][0].person == "P00500"
        assert kind_in_use(gallery) is Kind.INT8
        assert gallery._views._builder is None
