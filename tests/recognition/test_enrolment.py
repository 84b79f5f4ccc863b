"""x"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from corpus.pictures import face_crop
from PIL import Image

from recognition.enrolment import EnrolmentTerms, Watch, enrol, joined, noticed
from recognition.gallery.gallery import Gallery
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.photographs import Seen
from recognition.results import (
    Enrolled,
    Enrolment,
    Face,
    FailedImage,
    PersonSummary,
    Quality,
    Skipped,
)

LANDMARKS = ((38.0, 52.0), (74.0, 52.0), (56.0, 72.0), (42.0, 92.0), (71.0, 92.0))


def terms(face: int | None = None, *, any_quality: bool = False) -> EnrolmentTerms:
    """Terms that look at nobody else."""
    return EnrolmentTerms(
        face=face, any_quality=any_quality, watch=Watch(threshold=None, others=False)
    )


@dataclass(frozen=True)
class StandInFace:
    """As much of a face as is kept; `number` tells one from another."""

    number: int
    picture: None = None

    @property
    def embedding(self) -> np.ndarray:
        return np.eye(8, dtype=np.float32)[self.number]

    @property
    def face(self) -> Face:
        return Face((30.0, 30.0, 80.0, 100.0), 0.9, LANDMARKS)

    @property
    def crop(self) -> np.ndarray:
        return face_crop(self.number)


class StandInGallery:
    """Remembers what it is asked to enrol, and leaves out some."""

    def __init__(self, left_out: dict[int, str] | None = None) -> None:
        self.left_out = left_out or {}
        self.asked: list[tuple[str, list[Template]]] = []

    def __call__(self) -> "StandInGallery":
        return self

    def enrol(
        self, person: str, templates: Sequence[Template], consent: object, groups: object
    ) -> dict[int, str]:
        self.asked.append((person, list(templates)))
        return self.left_out

    def person(self, name: str) -> PersonSummary:
        return PersonSummary(
            person_id=1, name=name, photographs=1, enrolled_at="2026-01-01T00:00:00+00:00"
        )

    def templates_of(self, person: str) -> tuple[list[str], np.ndarray]:
        [templates] = [templates for name, templates in self.asked if name == person]
        kept = [one for place, one in enumerate(templates) if place not in self.left_out]
        digests = [one.photograph_sha256 for one in kept]
        return digests, np.stack([one.embedding for one in kept])


def seen(name: str, *numbers: int) -> Seen[StandInFace]:
    return Seen(name=name, sha256=name * 64, faces=tuple(StandInFace(n) for n in numbers))


def test_the_only_face_of_each_photograph_becomes_a_template() -> None:
    gallery = StandInGallery()
    enrolment = enrol(gallery, "Ann", [seen("a", 1), seen("b", 2)], terms())
    assert (enrolment.enrolled, enrolment.skipped) == ((Enrolled("Ann", 2),), ())
    assert [(kept.image, kept.person) for kept in enrolment.kept] == [("a", "Ann"), ("b", "Ann")]
    [(person, templates)] = gallery.asked
    assert person == "Ann"
    assert [int(t.embedding.argmax()) for t in templates] == [1, 2]
    assert [t.photograph_sha256 for t in templates] == ["a" * 64, "b" * 64]


def test_the_crop_is_kept_without_loss() -> None:
    gallery = StandInGallery()
    enrol(gallery, "Ann", [seen("a", 5)], terms())
    crop = gallery.asked[0][1][0].crop
    assert crop is not None
    with Image.open(io.BytesIO(crop)) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), StandInFace(5).crop)


def test_what_is_skipped_is_told_in_the_order_given() -> None:
    gallery = StandInGallery(left_out={1: "Ann"})
    photographs = [
        FailedImage("broken", "cannot be read"),
        seen("a", 1),
        seen("nobody"),
        seen("b", 2),
        seen("group", 3, 4, 5),
    ]
    enrolment = enrol(gallery, "Ann", photographs, terms())
    assert enrolment.enrolled == (Enrolled("Ann", 1),)
    assert enrolment.skipped == (
        Skipped("broken", "cannot be read"),
        Skipped("nobody", "no face found in it"),
        Skipped("b", "this photograph is enrolled already as 'Ann'", enrolled_before=True),
        Skipped("group", "3 faces in it: choose one of them (--face N; 1 is the largest)"),
    )


def test_a_face_enrolled_as_somebody_else_is_another_matter_than_one_enrolled_before() -> None:
    [skipped] = enrol(StandInGallery(left_out={0: "Bob"}), "Ann", [seen("a", 1)], terms()).skipped
    assert skipped == Skipped("a", "this face of this photograph is enrolled already as 'Bob'")
    assert not skipped.enrolled_before


@pytest.mark.parametrize(("face", "chosen"), [(1, 3), (2, 4), (3, 5)])
def test_the_face_that_is_meant_is_taken(face: int, chosen: int) -> None:
    gallery = StandInGallery()
    enrol(gallery, "Ann", [seen("group", 3, 4, 5)], terms(face))
    assert [int(t.embedding.argmax()) for t in gallery.asked[0][1]] == [chosen]


def test_a_face_that_is_not_there_is_skipped() -> None:
    gallery = StandInGallery()
    enrolment = enrol(gallery, "Ann", [seen("pair", 3, 4), seen("nobody")], terms(3))
    assert enrolment.skipped == (
        Skipped("pair", "2 face(s) in it, so there is no face 3"),
        Skipped("nobody", "no face found in it"),
    )
    assert enrolment.enrolled == ()


def test_a_gallery_is_not_even_opened_for_nothing() -> None:
    def no_gallery() -> StandInGallery:
        raise AssertionError

    assert enrol(no_gallery, "Ann", [seen("nobody")], terms()).enrolled == ()
    assert enrol(no_gallery, "Ann", [], terms()) == Enrolment(enrolled=(), skipped=())


def test_enrolments_are_joined_in_order() -> None:
    parts = [
        Enrolment(enrolled=(Enrolled("Ann", 1),), skipped=(Skipped("a", "why"),)),
        Enrolment(enrolled=(), skipped=()),
        Enrolment(enrolled=(Enrolled("Bob", 2),), skipped=(Skipped("b", "why"),)),
    ]
    assert joined(parts) == Enrolment(
        enrolled=(Enrolled("Ann", 1), Enrolled("Bob", 2)),
        skipped=(Skipped("a", "why"), Skipped("b", "why")),
    )


def test_a_face_too_poor_is_left_out_unless_any_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    dark = np.zeros((112, 112, 3), np.uint8)
    monkeypatch.setattr(StandInFace, "crop", dark)
    gallery = StandInGallery()
    [skipped] = enrol(gallery, "Ann", [seen("a", 1)], terms()).skipped
    assert skipped.reason.startswith(
        "the face is blurred (sharpness 0.000; 0.07 or more is needed), too dark"
    )
    assert "--any-quality" in skipped.reason
    assert gallery.asked == []
    [kept] = enrol(gallery, "Ann", [seen("a", 1)], terms(any_quality=True)).kept
    assert [line.split(" (")[0] for line in kept.warnings] == [
        "the face is blurred",
        "the face is too dark",
    ]


WATCH = Watch(threshold=0.4, others=True)
POOR = Quality(size=40.0, sharpness=0.01, turn=0.0, nod=0.0, brightness=0.5)


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    model = EmbeddingModel(model_id="m", weights_digest="ab" * 32, dimension=4)
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as opened:
        yield opened


def template(number: int, *vector: float) -> Template:
    unit = np.array(vector) / np.linalg.norm(vector)
    return Template(embedding=unit.astype(np.float32), photograph_sha256=f"{number:064x}")


def told(gallery: Gallery, name: str, *templates: Template, watch: Watch = WATCH) -> list[str]:
    """Enrol, and say what was noticed, the lines of each photograph joined."""
    assert gallery.enrol(name, templates) == {}
    return [" | ".join(one.lines) for one in noticed(gallery, name, templates, watch)]


def test_photographs_of_one_person_are_nothing_odd(gallery: Gallery) -> None:
    assert told(gallery, "Ann", template(1, 1, 0, 0, 0), template(2, 1, 0.5, 0, 0)) == ["", ""]
    assert told(gallery, "Ann", template(3, 1, 0.2, 0.4, 0)) == [""]
    assert told(gallery, "Bob", template(4, 0, 0, 0, 1)) == [""]


def test_a_photograph_unlike_the_others_is_noticed(gallery: Gallery) -> None:
    told(gallery, "Ann", template(1, 1, 0, 0, 0), template(2, 1, 0.5, 0, 0))
    [line] = told(gallery, "Ann", template(3, 0, 0, 1, 0))
    assert "unlike the other photographs of 'Ann' (similarity 0.00" in line
    assert told(
        gallery, "Ann", template(4, 0, 0, 0, 1), watch=Watch(threshold=None, others=True)
    ) == [""]


def test_almost_the_same_picture_is_noticed_where_it_comes_second(gallery: Gallery) -> None:
    first, second, third = told(
        gallery,
        "Ann",
        template(1, 1, 0, 0, 0),
        template(2, 1, 0.05, 0, 0),
        template(3, 1, 0.5, 0, 0),
    )
    assert (first, third) == ("", "")
    assert "almost the same picture" in second
    assert "almost the same picture" in told(gallery, "Ann", template(4, 1, 0.01, 0, 0))[0]


def test_somebody_enrolled_under_another_name_is_noticed(gallery: Gallery) -> None:
    told(gallery, "Ann", template(1, 1, 0, 0, 0))
    [line] = told(gallery, "A.", template(2, 1, 0.3, 0, 0))
    assert line.startswith("like 'Ann' (similarity 0.96)")
    [line] = told(gallery, "A.", template(3, 0.7, -0.7, 0, 0))
    assert "more like 'Ann'" in line
    quiet = Watch(threshold=0.4, others=False)
    assert told(gallery, "B.", template(4, 1, 0.3, 0.1, 0), watch=quiet) == [""]


def test_a_poor_face_is_noticed(gallery: Gallery) -> None:
    [line] = told(gallery, "Ann", replace(template(1, 1, 0, 0, 0), quality=POOR))
    assert line.startswith("the face is blurred")
