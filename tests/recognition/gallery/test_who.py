"""Whom a change is about: an id, or a name that is one person's alone, wherever people are kept."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from data.errors import AmbiguousError, ArgumentError, GalleryError
from recognition.gallery.gallery import Gallery
from recognition.gallery.templates import Template
from recognition.results import PersonState

MakeTemplate = Callable[..., Template]


def ids(gallery: Gallery, *, deleted: bool = False) -> dict[int, str]:
    return {one.person_id: one.name for one in gallery.people(deleted=deleted)}


@pytest.fixture
def namesakes(gallery: Gallery, make_template: MakeTemplate) -> list[int]:
    """Three people called Ann: two are deleted, the third is enrolled."""
    found = []
    for seed in (1, 2, 3):
        gallery.enrol("Ann", [make_template(seed)])
        [(person, _)] = ids(gallery).items()
        found.append(person)
        if seed < 3:
            gallery.edit.delete(person)
    return found


def test_whoever_was_deleted_is_erased_and_namesakes_stay(
    gallery: Gallery, namesakes: list[int], make_template: MakeTemplate
) -> None:
    first, second, third = namesakes
    with pytest.raises(AmbiguousError, match=f"--id {first} or {second} or {third}"):
        gallery.erase("Ann")
    gallery.erase(first)
    assert ids(gallery, deleted=True) == {second: "Ann"}
    [[match]] = gallery.search(make_template(3).embedding[None], 1)
    assert (match.person, match.person_id) == ("Ann", third)
    gallery.erase(second)
    gallery.erase("Ann")  # it is one person's name by now
    assert ids(gallery) == ids(gallery, deleted=True) == {}
    with pytest.raises(GalleryError):
        gallery.erase(first)


def test_one_of_several_who_were_deleted_is_restored_by_the_id(
    gallery: Gallery, namesakes: list[int], make_template: MakeTemplate
) -> None:
    first, second, third = namesakes
    with pytest.raises(GalleryError, match="'Ann' is enrolled"):
        gallery.edit.restore(first)
    gallery.edit.rename(third, "Anne")
    with pytest.raises(AmbiguousError, match="2 people called 'Ann' are deleted"):
        gallery.edit.restore("Ann")
    gallery.edit.restore(second)
    assert ids(gallery) == {second: "Ann", third: "Anne"}
    assert gallery.templates_of(second)[0] == [make_template(2).photograph_sha256]
    with pytest.raises(GalleryError):
        gallery.edit.restore(second)


def test_somebody_is_told_of_as_things_stand_with_them(
    gallery: Gallery, namesakes: list[int]
) -> None:
    first, _, third = namesakes
    assert gallery.person("Ann").person_id == third
    assert gallery.person(first, PersonState.DELETED).deleted_at is not None
    assert gallery.person(first, PersonState.KEPT).photographs == 1
    for who, state in (
        (first, PersonState.ENROLLED),
        (third, PersonState.DELETED),
        (9, PersonState.KEPT),
    ):
        with pytest.raises(GalleryError):
            gallery.person(who, state)
    for state in (PersonState.DELETED, PersonState.KEPT):
        with pytest.raises(AmbiguousError):
            gallery.person("Ann", state)
    with pytest.raises(ArgumentError):
        gallery.person("")


CHANGES: dict[str, Callable[[Gallery, int, int, Template], object]] = {
    "rename": lambda gallery, who, other, face: gallery.edit.rename(who, "Zoe"),
    "delete": lambda gallery, who, other, face: gallery.edit.delete(who),
    "merge": lambda gallery, who, other, face: gallery.edit.merge(who, other),
    "merge into": lambda gallery, who, other, face: gallery.edit.merge(other, who),
    "move": lambda gallery, who, other, face: gallery.edit.move(
        who, [gallery.photographs(who)[0].number], other
    ),
    "split": lambda gallery, who, other, face: gallery.edit.split(
        who, [gallery.photographs(who)[0].number], "Zoe"
    ),
    "exclude": lambda gallery, who, other, face: gallery.edit.exclude(who, face),
    "tell apart": lambda gallery, who, other, face: gallery.edit.tell_apart(other, who),
    "group": lambda gallery, who, other, face: gallery.edit.group([who], add=["staff"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_by_the_id_is_of_that_person_whatever_they_are_called(
    gallery: Gallery, make_template: MakeTemplate, change: str
) -> None:
    """Between looking and changing, Ann was renamed, and somebody else was enrolled as Ann."""
    gallery.enrol("Ann", [make_template(1), make_template(2)])
    [(meant, _)] = ids(gallery).items()
    gallery.enrol("Bob", [make_template(3)])
    gallery.edit.rename(meant, "Anna")
    gallery.enrol("Ann", [make_template(4), make_template(5)])
    [other] = [who for who, name in ids(gallery).items() if name == "Bob"]
    [namesake] = [who for who, name in ids(gallery).items() if name == "Ann"]
    before = gallery.person(namesake), gallery.photographs(namesake)
    CHANGES[change](gallery, meant, other, make_template(9))
    assert (gallery.person(namesake), gallery.photographs(namesake)) == before
    assert gallery.audit()[0].person_id != namesake
    assert meant in {entry.person_id for entry in gallery.audit()[:2]}


@pytest.mark.parametrize("change", CHANGES)
def test_whoever_is_gone_meanwhile_is_not_changed_and_nor_is_anybody_else(
    gallery: Gallery, make_template: MakeTemplate, change: str
) -> None:
    for seed, name in enumerate(("Ann", "Bob", "Cyd"), 1):
        gallery.enrol(name, [make_template(seed)])
    ann, bob, _ = sorted(ids(gallery))
    gallery.edit.delete(ann)
    gallery.enrol("Ann", [make_template(7)])
    before = gallery.people(), gallery.people(deleted=True)
    with pytest.raises(GalleryError, match=f"person {ann} is not enrolled"):
        CHANGES[change](gallery, ann, bob, make_template(9))
    assert (gallery.people(), gallery.people(deleted=True)) == before


def test_only_the_latest_operation_is_undone_where_it_is_the_one_that_was_meant(
    gallery: Gallery, make_template: MakeTemplate
) -> None:
    gallery.enrol("Ann", [make_template(1)])
    gallery.edit.rename("Ann", "Anne")
    shown = gallery.operations()[0].number
    gallery.edit.rename("Anne", "Anna")
    with pytest.raises(GalleryError, match="something else was done since"):
        gallery.edit.undo(shown)
    assert [one.name for one in gallery.people()] == ["Anna"]
    gallery.edit.undo(gallery.operations()[0].number)
    assert gallery.edit.undo(shown) == "'Ann' renamed 'Anne'"
    numbers = [one.number for one in gallery.operations()]
    assert all(a > b for a, b in pairwise(numbers))


ASKED_BY_NAME: dict[str, Callable[[Gallery, str, Template], object]] = {
    "renamed": lambda gallery, name, _: gallery.edit.rename(name, "Bo"),
    "deleted": lambda gallery, name, _: gallery.edit.delete(name),
    "restored": lambda gallery, name, _: gallery.edit.restore(name),
    "erased": lambda gallery, name, _: gallery.erase(name),
    "excluded": lambda gallery, name, template: gallery.edit.exclude(name, template),
    "told apart": lambda gallery, name, _: gallery.edit.tell_apart("Ann", name),
    "shown": lambda gallery, name, _: gallery.photographs(name),
    "a group": lambda gallery, name, _: gallery.members([name]),
}


@pytest.mark.parametrize("name", ["\n", "\n/../\n", "a\rb", "a\u2028b", "a\x85/\x85", "\x1b[2Ja"])
@pytest.mark.parametrize("asked", ASKED_BY_NAME)
def test_whatever_is_in_a_name_that_nobody_has_the_answer_is_one_line(
    gallery: Gallery, make_template: MakeTemplate, asked: str, name: str
) -> None:
    gallery.enrol("Ann", [make_template(1)])
    with pytest.raises((ArgumentError, GalleryError)) as refused:
        ASKED_BY_NAME[asked](gallery, name, make_template(2))
    assert str(refused.value).isprintable()
    assert ids(gallery) == {1: "Ann"}
