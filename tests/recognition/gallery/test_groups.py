"""People are in groups, and a search may be among some of them alone."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from data.clock import today
from data.errors import ArgumentError, GalleryError
from recognition.gallery.gallery import Gallery
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.matching import Matching
from recognition.results import Consent
from recognition.template_attention import Rule, TemplateAttention

RULES: tuple[Rule, ...] = (
    Matching.BEST,
    Matching.MEAN,
    Matching.TRIMMED,
    TemplateAttention(np.float32(2 * np.random.default_rng(5).normal(size=16))),
)


MakeTemplate = Callable[..., Template]

SECRET = "f" * 64


@pytest.fixture
def four(gallery: Gallery, make_template: MakeTemplate) -> Gallery:
    """Ann and Bob of the family, Bob and Cyd of the staff, Dan of none; two photographs each."""
    groups = {"Ann": ["family"], "Bob": ["family", "staff"], "Cyd": ["staff"], "Dan": []}
    for number, (name, own) in enumerate(groups.items()):
        some = [make_template(2 * number), make_template(2 * number + 1)]
        gallery.enrol(name, some, groups=own)
    return gallery


def groups_of(gallery: Gallery) -> dict[str, tuple[str, ...]]:
    return {person.name: person.groups for person in gallery.people()}


def names_of(gallery: Gallery, *groups: str) -> set[str]:
    ids = gallery.members(groups)
    return {person.name for person in gallery.people() if person.person_id in ids}


def test_they_are_told_of_everybody(four: Gallery) -> None:
    assert groups_of(four) == {
        "Ann": ("family",), "Bob": ("family", "staff"), "Cyd": ("staff",), "Dan": ()
    }  # fmt: skip
    assert names_of(four, "family") == {"Ann", "Bob"}
    assert names_of(four, "family", "staff") == {"Ann", "Bob", "Cyd"}


@pytest.mark.parametrize("matching", RULES)
def test_a_search_among_a_group_is_a_search_in_a_gallery_of_them_alone(
    four: Gallery, make_template: MakeTemplate, matching: Rule
) -> None:
    queries = np.stack([make_template(seed).embedding for seed in range(20)])
    among = four.members(["staff"])
    expected = [
        [match for match in matches if match.person in ("Bob", "Cyd")][:2]
        for matches in four.search(queries, 4, matching)
    ]
    assert four.search(queries, 2, matching, among) == expected
    assert four.search(queries, 2, matching, frozenset()) == [[]] * len(queries)
    assert {match.person for [match] in four.search(queries, 1, matching, among)} == {"Bob", "Cyd"}


def test_whoever_is_deleted_or_past_consent_is_in_none(four: Gallery) -> None:
    four.edit.delete("Bob")
    assert names_of(four, "family") == {"Ann"}
    four.edit.restore("Bob")
    assert groups_of(four)["Bob"] == ("family", "staff")
    four.edit.consent("Ann", Consent(until=today() + timedelta(days=1)))
    assert names_of(four, "family") == {"Ann", "Bob"}


def test_a_group_is_there_while_somebody_is_in_it(four: Gallery) -> None:
    four.erase("Ann")
    four.edit.group(["Bob"], remove=["family"])
    with pytest.raises(GalleryError, match="nobody who is enrolled is in the group 'family'"):
        four.members(["family"])
    assert four.edit.undo() == "'Bob' taken out of 'family'"
    assert names_of(four, "family") == {"Bob"}


def test_several_people_are_put_into_groups_and_taken_out_at_once(four: Gallery) -> None:
    before = groups_of(four)
    four.edit.group(["Ann", "Cyd", "Ann"], add=[" friends "], remove=["family"])
    assert groups_of(four) == before | {"Ann": ("friends",), "Cyd": ("friends", "staff")}
    assert four.audit()[0].action == "group"
    assert {entry.person_id for entry in four.audit()[:2]} == set(four.members(["friends"]))
    people = {entry.person_id for entry in four.audit()[:2]}
    assert four.edit.undo() == "2 people put into 'friends', taken out of 'family'"
    assert {(entry.action, entry.person_id) for entry in four.audit()[:2]} == {
        ("undo", person) for person in people
    }
    assert groups_of(four) == before
    with pytest.raises(GalleryError, match="'friends'"):
        four.members(["friends"])


@pytest.mark.parametrize(
    ("names", "add", "remove", "error"),
    [
        (["Ann"], [], [], ArgumentError),
        (["Ann"], ["x"], ["x"], ArgumentError),
        (["Ann"], ["a\nb"], [], ArgumentError),
        (["Ann"], [" "], [], ArgumentError),
        (["Ann"], ["x" * 201], [], ArgumentError),
        (["Ann"], ["\u202efamily"], [], ArgumentError),
        (["Ann", "Eve"], ["x"], [], GalleryError),
        (["Ann"], ["x"], ["staff"], GalleryError),
        ([], ["x"], [], ArgumentError),
    ],
)
def test_what_cannot_be_changes_nothing(
    four: Gallery, names: list[str], add: list[str], remove: list[str], error: type[Exception]
) -> None:
    before, log = groups_of(four), four.audit()
    with pytest.raises(error):
        four.edit.group(names, add=add, remove=remove)
    assert (groups_of(four), four.audit()) == (before, log)


def test_one_name_however_its_letters_are_composed(four: Gallery) -> None:
    four.edit.group(["Ann"], add=["Z\u00fcrich"])
    four.edit.group(["Bob"], add=["Zu\u0308rich"])
    assert names_of(four, " Zu\u0308rich") == {"Ann", "Bob"}


def test_two_who_become_one_are_in_the_groups_of_both_and_undo_parts_them(
    four: Gallery,
) -> None:
    before = groups_of(four)
    four.edit.merge("Cyd", "Ann")
    assert groups_of(four) == {"Ann": ("family", "staff"), "Bob": before["Bob"], "Dan": ()}
    four.edit.merge("Bob", "Ann")
    assert groups_of(four) == {"Ann": ("family", "staff"), "Dan": ()}
    four.edit.undo()
    four.edit.undo()
    assert groups_of(four) == before
    assert names_of(four, "staff") == {"Bob", "Cyd"}


def test_whoever_is_split_off_is_in_the_same_groups(four: Gallery) -> None:
    number = four.photographs("Bob")[0].number
    four.edit.split("Bob", [number], "Rob")
    assert groups_of(four)["Rob"] == groups_of(four)["Bob"] == ("family", "staff")
    four.edit.move("Ann", [four.photographs("Ann")[0].number], "Dan")
    assert groups_of(four)["Dan"] == ()
    four.edit.undo()
    four.edit.undo()
    assert "Rob" not in groups_of(four)


def test_enrolling_again_joins_more_and_undo_takes_that_back(
    four: Gallery, make_template: MakeTemplate
) -> None:
    four.enrol("Ann", [make_template(50)], groups=["friends", "family"])
    assert groups_of(four)["Ann"] == ("family", "friends")
    four.edit.undo()
    assert groups_of(four)["Ann"] == ("family",)
    four.enrol("Ann", [make_template(0)], groups=["friends"])  # known already: nothing is done
    assert groups_of(four)["Ann"] == ("family",)
    with pytest.raises(ArgumentError):
        four.enrol("Ann", [make_template(51)], groups=["\x00"])
    assert four.size == (4, 8)


def test_a_row_of_an_encrypted_gallery_given_to_somebody_else_is_refused(
    folder: Path, model: EmbeddingModel, make_template: MakeTemplate
) -> None:
    with Gallery.open(folder, model=model, create=True, find_secret=lambda _: SECRET) as gallery:
        gallery.encrypt(SECRET)
        gallery.enrol("Ann", [make_template(1)], groups=["family"])
        gallery.enrol("Bob", [make_template(2)])
        with gallery._store._changing() as connection:
            connection.execute("UPDATE membership SET person_id = 2")
        with pytest.raises(GalleryError, match="altered"):
            gallery.people()
        assert any("membership" in fault for fault in gallery.faults())


@pytest.fixture
def crowd(folder: Path, model: EmbeddingModel, make_template: MakeTemplate) -> Iterator[Gallery]:
    with Gallery.open(folder, model=model, create=True) as gallery:
        for number in range(30):
            gallery.enrol(f"p{number}", [make_template(number)], groups=[f"g{number % 7}"])
        yield gallery


def test_a_change_of_groups_by_another_process_counts_with_the_next_search(
    crowd: Gallery, folder: Path, make_template: MakeTemplate
) -> None:
    query = make_template(0).embedding[None]
    assert crowd.search(query, 1, among=crowd.members(["g0"]))[0][0].person == "p0"
    with Gallery.open(folder) as other:
        other.edit.group(["p0"], remove=["g0"])
    assert crowd.search(query, 1, among=crowd.members(["g0"]))[0][0].person != "p0"


def test_whoever_is_in_a_group_already_leaves_nothing_to_undo(four: Gallery) -> None:
    before = four.operations()
    four.edit.group(["Ann", "Bob"], add=["family"])
    assert four.operations() == before
    four.edit.group(["Ann", "Bob"], add=["family", "staff"])  # Bob is in both, Ann in one
    assert len(four.operations()) == len(before) + 1
    four.edit.undo()
    assert groups_of(four)["Ann"] == ("family",)
    assert groups_of(four)["Bob"] == ("family", "staff")
