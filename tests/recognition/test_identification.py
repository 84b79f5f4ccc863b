from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
from corpus.pictures import face_crop
from hypothesis import given
from hypothesis import strategies as st

from recognition.faces.pipeline import DetectedFace
from recognition.identification import Question, name_faces
from recognition.matching import Matching
from recognition.photographs import Seen
from recognition.results import Decision, Face, IdentifiedFace, Match, Use

LANDMARKS = ((38.0, 52.0), (74.0, 52.0), (56.0, 72.0), (42.0, 92.0), (71.0, 92.0))


class StandInGallery:
    """Knows how alike each face is to each person, and is asked by the face's number."""

    def __init__(self, similarities: Sequence[dict[str, float]]) -> None:
        self.similarities = similarities
        self.asked: list[tuple[int, Matching]] = []

    def search(
        self, vectors: np.ndarray, k: int, matching: Matching, among: object
    ) -> list[list[Match]]:
        self.asked.append((k, matching))
        ranked = [
            sorted(self.similarities[int(v[0])].items(), key=lambda item: (-item[1], item[0]))
            for v in vectors
        ]
        return [[Match(name, value) for name, value in one[:k]] for one in ranked]


def named(
    similarities: Sequence[dict[str, float]], *, top_k: int = 5, repeats: bool = False
) -> list[IdentifiedFace]:
    crop = face_crop()
    face = Face((0.0, 0.0, 112.0, 112.0), 0.9, LANDMARKS)
    faces = tuple(
        DetectedFace(face, np.array([number], np.float32), crop)
        for number in range(len(similarities))
    )
    decision = Decision(
        use=Use.IDENTIFY, threshold=0.3, origin="given", wanted=None, strangers=None
    )
    question = Question(top_k=top_k, decision=decision, calibration=None, repeats=repeats)
    seen = Seen(name="party.jpg", sha256="ab" * 32, faces=faces)
    return list(name_faces(StandInGallery(similarities), seen, question).faces)  # type: ignore[arg-type]


def test_in_one_photograph_the_face_most_like_somebody_has_the_name() -> None:
    first, second, third = named([{"Ann": 0.5, "Bob": 0.1}, {"Ann": 0.8}, {"Ann": 0.2}])
    assert [f.person for f in (first, second, third)] == [None, "Ann", None]
    # It is said why a face so like Ann has no name; a stranger's needs no such word.
    assert [f.named_elsewhere for f in (first, second, third)] == ["Ann", None, None]
    assert [m.person for m in first.matches] == ["Ann", "Bob"]


def test_the_next_person_is_taken_where_the_closest_is_another_face() -> None:
    first, second = named([{"Ann": 0.9, "Bob": 0.2}, {"Ann": 0.6, "Bob": 0.5}])
    assert (first.person, second.person) == ("Ann", "Bob")
    assert second.named_elsewhere == "Ann"


def test_one_asked_for_is_enough_to_find_the_next() -> None:
    faces = named([{"Ann": 0.9}, {"Ann": 0.8, "Bob": 0.7}], top_k=1)
    assert [face.person for face in faces] == ["Ann", "Bob"]
    assert [len(face.matches) for face in faces] == [1, 1]


def test_in_a_collage_somebody_may_be_twice() -> None:
    faces = named([{"Ann": 0.9}, {"Ann": 0.5}], repeats=True)
    assert [(face.person, face.named_elsewhere) for face in faces] == [("Ann", None)] * 2


def test_each_face_has_its_quality() -> None:
    [face] = named([{"Ann": 0.9}])
    assert face.quality is not None
    assert face.quality.turn == pytest.approx(0, abs=0.05)


@given(
    table=st.lists(
        st.dictionaries(st.sampled_from("ABCD"), st.floats(-1, 1), max_size=4),
        min_size=1,
        max_size=4,
    )
)
def test_names_are_given_once_and_nobody_would_rather_swap(table: list[dict[str, float]]) -> None:
    faces = named(table)
    given_names = [face.person for face in faces if face.person is not None]
    assert len(given_names) == len(set(given_names))
    for number, face in enumerate(faces):
        if face.person is not None:
            assert table[number][face.person] >= 0.3
        # Whoever is more like this face than its own name has a face that is as like them.
        own = table[number][face.person] if face.person is not None else 0.3
        for name, value in table[number].items():
            if value > own:
                holder = next(n for n, other in enumerate(faces) if other.person == name)
                assert table[holder][name] >= value


@given(
    table=st.lists(
        st.fixed_dictionaries({name: st.floats(0.31, 1) for name in "AB"}), min_size=2, max_size=2
    )
)
def test_the_order_of_the_faces_does_not_matter(table: list[dict[str, float]]) -> None:
    if len({value for row in table for value in row.values()}) < 4:
        return
    outcomes = set()
    for order in permutations(range(2)):
        faces = named([table[n] for n in order])
        outcomes.add(tuple(faces[order.index(n)].person for n in range(2)))
    assert len(outcomes) == 1
