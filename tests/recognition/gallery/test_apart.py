"""Two people who look alike are known to be two, by faces that are not the other's."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.errors import GalleryError
from recognition.gallery.gallery import Gallery
from recognition.gallery.storage.records import PersonRecord
from recognition.gallery.templates import EmbeddingModel, Template

MakeTemplate = Callable[..., Template]


@pytest.fixture
def twins(gallery: Gallery, make_template: MakeTemplate) -> Gallery:
    """Ann and Bob by two photographs each, of which the second ones are alike; and Cyd."""
    near = make_template(2).embedding + 0.2 * make_template(3).embedding
    near /= np.linalg.norm(near)
    gallery.enrol("Ann", [make_template(1), make_template(2)])
    gallery.enrol("Bob", [make_template(4), replace(make_template(5), embedding=near)])
    gallery.enrol("Cyd", [make_template(6)])
    return gallery


def test_it_is_remembered_undone_and_said_once(twins: Gallery) -> None:
    assert twins.told_apart() == frozenset()
    twins.edit.tell_apart("Bob", "Ann")
    assert twins.told_apart() == {("Ann", "Bob")}
    operations = twins.operations()
    twins.edit.tell_apart("Ann", "Bob")
    assert twins.operations() == operations
    assert {entry.action for entry in twins.audit()[:2]} == {"exclude"}
    assert twins.edit.undo() == "'Bob' and 'Ann' said to be two people"
    assert twins.told_apart() == frozenset()


def test_a_face_said_not_to_be_somebody_s_tells_apart_whoever_it_is_enrolled_as(
    twins: Gallery, make_template: MakeTemplate
) -> None:
    twins.edit.exclude("Cyd", make_template(1))
    twins.edit.exclude("Cyd", make_template(99))  # nobody's
    assert twins.told_apart() == {("Ann", "Cyd")}


def test_a_second_face_of_the_same_photograph_tells_nothing(
    twins: Gallery, make_template: MakeTemplate
) -> None:
    stranger = replace(make_template(70), photograph_sha256=make_template(1).photograph_sha256)
    twins.edit.exclude("Cyd", stranger)
    assert twins.told_apart() == frozenset()


def test_names_change_and_the_knowledge_stays(twins: Gallery) -> None:
    twins.edit.tell_apart("Ann", "Bob")
    twins.edit.rename("Bob", "Rob")
    assert twins.told_apart() == {("Ann", "Rob")}
    twins.edit.merge("Rob", "Cyd")
    assert twins.told_apart() == {("Ann", "Cyd")}
    twins.edit.delete("Cyd")
    assert twins.told_apart() == frozenset()


def test_each_is_still_found_by_their_own_photographs(
    twins: Gallery, make_template: MakeTemplate
) -> None:
    twins.edit.tell_apart("Ann", "Bob")
    for seed, name in ((1, "Ann"), (2, "Ann"), (4, "Bob"), (6, "Cyd")):
        assert twins.search(make_template(seed).embedding[None], 1)[0][0].person == name


def test_whoever_is_merged_after_all_has_every_face_of_both(
    twins: Gallery, make_template: MakeTemplate
) -> None:
    twins.edit.tell_apart("Ann", "Bob")
    twins.edit.merge("Bob", "Ann")
    assert twins.told_apart() == frozenset()
    for seed in (1, 2, 4):
        [[match]] = twins.search(make_template(seed).embedding[None], 1)
        assert (match.person, match.cosine_similarity) == ("Ann", pytest.approx(1))
    twins.edit.undo()
    assert twins.told_apart() == {("Ann", "Bob")}


@pytest.mark.parametrize("gone", ["Ann", "Bob"])
def test_it_is_erased_with_either(twins: Gallery, gone: str) -> None:
    twins.edit.tell_apart("Ann", "Bob")
    twins.erase(gone)
    with twins.records() as records:
        assert [one.exclusions for one in records] == [(), ()]


def test_no_byte_of_a_face_stays_in_what_is_known_of_others(
    folder: Path, model: EmbeddingModel, make_template: MakeTemplate
) -> None:
    with Gallery.open(folder, model=model, create=True) as gallery:
        gallery.enrol("Ann", [make_template(1)])
        gallery.enrol("Bob", [make_template(2)])
        gallery.edit.tell_apart("Ann", "Bob")
        gallery.erase("Bob")
    gone = make_template(2)
    for file in folder.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        assert gone.embedding.tobytes() not in content
        assert gone.photograph_sha256.encode() not in content


def test_one_person_or_nobody_cannot_be_told_apart(twins: Gallery) -> None:
    for pair in (("Ann", "Ann"), ("Ann", "Eve"), ("Eve", "Ann")):
        with pytest.raises(GalleryError):
            twins.edit.tell_apart(*pair)
    assert twins.told_apart() == frozenset()


def test_who_has_no_photograph_cannot_be_told_from_anybody(
    twins: Gallery, make_template: MakeTemplate
) -> None:
    # What is Ann's here is not taken as Zoe's.
    zoe = PersonRecord(
        name="Zoe",
        enrolled_at="2026-01-01T00:00:00+00:00",
        deleted_at=None,
        templates=(make_template(1),),
    )
    with twins.adding() as add:
        add([zoe])
    operations = twins.operations()
    for pair in (("Ann", "Zoe"), ("Zoe", "Ann")):
        with pytest.raises(GalleryError, match="'Zoe' has no photograph"):
            twins.edit.tell_apart(*pair)
    assert twins.operations() == operations
