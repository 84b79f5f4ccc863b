from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from data.errors import ArgumentError, WeightsError
from recognition.results import LookAlikes, Quality

Open = Callable[[str], AppTest]
Said = Callable[[AppTest], str]

BLURRED = Quality(size=40.0, sharpness=0.02, turn=0.0, nod=0.0, brightness=0.5)

HOSTILE_NAMES = [
    "<script>alert(1)</script>",
    "'; DROP TABLE people; --",
    "👩‍👩‍👧 Zoë",
    "שלום",
    "![x](http://example.org/x.png)",
    "**Ann** :red[x] $x^2$ :material/face:",
]

ALIKE = LookAlikes(
    person="Ann",
    other="Bob",
    cosine_similarity=0.61,
    photographs=(1, 2),
    share=0.25,
    above=True,
    person_id=101,
    other_id=102,
)

MARKUP = set("<>'[]()*!:$")


def fill(page: AppTest, name: str, files: list[tuple[str, bytes, str]]) -> None:
    page.text_input[0].set_value(name)
    page.file_uploader[0].set_value(files)


def button(page: AppTest, label: str) -> object:
    return next(button for button in page.button if button.label == label)


def test_an_empty_gallery_says_what_to_do(open_page: Open, said: Said) -> None:
    words = said(open_page("people"))
    assert "Nobody is enrolled yet" in words
    assert "no liveness test" in words
    assert "who agree to it" in words


def test_enrolling_hands_over_name_and_photographs_and_reports(open_page, service, picture, said):
    service.skipped, service.faces = {2: "no face found in it"}, 0
    page = open_page("people")
    fill(page, "Ann", [(f"{n}.png", picture(n), "image/png") for n in ("red", "blue")])
    page.run()
    button(page, "Enrol").click().run()
    assert not page.exception
    assert service.enrolments == [("Ann", [picture("red"), picture("blue")], None)]
    words = said(page)
    assert "1 photograph enrolled" in words
    assert "No face found in it" in words
    assert page.text_input[0].value == ""


def test_a_second_click_finds_nothing_to_enrol(open_page, service, picture):
    page = open_page("people")
    fill(page, "Ann", [("a.png", picture(), "image/png")])
    page.run()
    first = button(page, "Enrol")
    first.click().run()
    second = button(page, "Enrol")
    assert second.key != first.key  # what is still on its way to the first finds it gone
    second.click().run()
    assert len(service.enrolments) == 1


def test_a_refused_enrolment_keeps_what_was_filled_in(open_page, service, picture):
    service.refusal = ArgumentError("the name cannot be one: choose another")
    page = open_page("people")
    fill(page, "Ann", [("a.png", picture(), "image/png")])
    page.run()
    button(page, "Enrol").click().run()
    assert [error.value for error in page.error] == [
        "The name cannot be one\\:\u2060 choose another\\."
    ]
    assert page.text_input[0].value == "Ann"
    service.refusal = None
    button(page, "Enrol").click().run()
    assert len(service.enrolments) == 1


def test_enrolling_without_a_photograph_is_refused(open_page, service):
    page = open_page("people")
    page.text_input[0].set_value("Ann").run()
    button(page, "Enrol").click().run()
    assert len(page.error) == 1
    assert not service.enrolments


def test_of_a_hundred_photographs_at_once_the_first_are_enrolled_and_a_line_says_so(
    open_page, service, picture, said
):
    page = open_page("people")
    fill(page, "Ann", [(f"{n}.png", picture(), "image/png") for n in range(100)])
    page.run()
    assert "100 pictures at once: only the first 50 are taken" in said(page)
    button(page, "Enrol").click().run()
    assert not page.exception
    assert len(service.enrolments[0][1]) == 50
    assert "50 photographs enrolled" in said(page)


def test_the_largest_face_is_taken_on_request(open_page, service, picture):
    page = open_page("people")
    fill(page, "Ann", [("a.png", picture(), "image/png")])
    page.checkbox[0].check().run()
    button(page, "Enrol").click().run()
    assert service.enrolments[0][2] == 1


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_are_shown_as_text(open_page, service, picture, name):
    page = open_page("people")
    fill(page, name, [(f"{name}.png", picture(), "image/png")])
    page.run()
    button(page, "Enrol").click().run()
    assert not page.exception
    assert service.enrolments[0][0] == name
    assert name in [text.value for text in page.text]  # st.text shows text as it is
    for element in [*page.markdown, *page.caption, *page.success]:
        assert name not in element.value or not set(name) & MARKUP
    assert not any(element.allow_html for element in [*page.markdown, *page.caption])


def test_a_name_of_a_hundred_thousand_characters_is_refused(open_page, service, picture):
    page = open_page("people")
    fill(page, "x" * 100_000, [("a.png", picture(), "image/png")])
    page.run()
    button(page, "Enrol").click().run()
    assert not page.exception
    assert len(page.error) == 1
    assert len(page.error[0].value) < 300
    assert not service.enrolments


def change(page: AppTest, who: int) -> None:
    """Open the dialog of somebody."""
    page.button(key=f"change-{who}").click().run()
    assert not page.exception


def test_renaming(open_page, service, said):
    service.names = ["Ann", "Bob"]
    page = open_page("people")
    change(page, 101)
    page.text_input(key="rename-to-101").set_value("Anna").run()
    page.button(key="rename-101").click().run()
    assert service.names == ["Anna", "Bob"]
    change(page, 101)
    page.button(key="rename-101").click().run()
    assert "No name yet" in page.error[0].value
    page.text_input(key="rename-to-101").set_value("Bob").run()
    page.button(key="rename-101").click().run()
    assert service.names == ["Anna", "Bob"]
    assert len(page.error) == 1


STALE = {
    "change": lambda page: page.button(key="change-101"),
    "restore": lambda page: page.button(key="restore-103"),
    "erase": lambda page: page.button(key="erase-103"),
    "undo": lambda page: button(page, "Undo"),
    "two people": lambda page: button(page, "They are two people"),
    "give": lambda page: button(page, "Give them"),
}


@pytest.mark.parametrize("which", STALE)
def test_a_button_of_what_another_window_has_changed_says_so(open_page, service, which):
    """Whatever is refused is said, although the button itself is not drawn any more."""
    service.names, service.deleted = ["Ann", "Bob"], ["Cyd"]
    service.done = ["'Cyd' deleted"]
    service.alike = [ALIKE]
    page = open_page("people")
    page.button(key="compare-everybody").click().run()
    page.selectbox(key="whose").set_value(101).run()
    page.multiselect(key="numbers-101").set_value([7]).run()
    page.text_input(key="new-101").set_value("Dan").run()
    clicked = STALE[which](page)
    service.names, service.deleted, service.alike = ["Bob"], [], []
    service.done.append("'Ann' deleted")
    clicked.click().run()
    assert not page.exception
    assert len(page.error) == 1
    assert service.undone == []


def test_what_was_done_last_can_be_undone_in_any_session(open_page, service, said):
    service.names = ["Ann", "Bob"]
    page = open_page("people")
    change(page, 101)
    page.button(key="delete-101").click().run()
    assert service.names == ["Bob"]
    assert "Done last" in said(page)
    another = open_page("people")
    button(another, "Undo").click().run()
    assert service.undone == ["'Ann' deleted"]
    assert "Done last" not in said(another)


def test_two_people_are_made_one(open_page, service):
    service.names = ["Ann", "Bob", "Cyd"]
    page = open_page("people")
    change(page, 102)
    page.selectbox(key="merge-into-102").set_value(101).run()
    page.button(key="merge-102").click().run()
    assert not page.exception
    assert service.done == ["'Bob' merged into 'Ann'"]


def test_photographs_are_shown_with_their_quality_and_given_to_somebody(open_page, service, said):
    service.names = ["Ann", "Bob"]
    service.quality = BLURRED
    page = open_page("people")
    page.selectbox(key="whose").set_value(101).run()
    words = said(page)
    assert "No. 7, closest 0.50" in words
    assert "blurred" in words
    page.multiselect(key="numbers-101").set_value([7]).run()
    page.selectbox(key="to-101").set_value(102).run()
    page.button(key="give-101").click().run()
    page.multiselect(key="numbers-101").set_value([4, 9]).run()
    page.text_input(key="new-101").set_value("Ann's sister").run()
    page.button(key="give-101").click().run()
    assert not page.exception
    assert service.given == [
        ("move", "Ann", [7], "Bob"),
        ("split", "Ann", [4, 9], "Ann's sister"),
    ]


def test_those_who_look_alike_are_listed_on_request(open_page, service, said):
    service.names = ["Ann", "Bob"]
    service.alike = [ALIKE]
    page = open_page("people")
    assert "0.61" not in said(page)
    page.button(key="compare-everybody").click().run()
    assert not page.exception
    assert "0.61, alike: 25 % of their pairs" in said(page)
    button(page, "They are two people").click().run()
    assert not page.exception
    assert service.done == ["'Ann' and 'Bob' said to be two people"]
    assert "Nobody is so alike that it would not be by chance" in said(page)


def test_groups_are_shown_edited_and_looked_through(open_page, service, said):
    service.names = ["Ann", "Bob"]
    service.groups = {"Ann": ("family",)}
    page = open_page("people")
    assert "family" in said(page)

    change(page, 102)
    page.multiselect(key="groups-102").set_value(["family", "new"]).run()
    assert not page.exception
    assert service.groups["Bob"] == ("family", "new")  # at once, without another button
    change(page, 101)
    assert page.multiselect(key="groups-101").value == ["family"]
    page.multiselect(key="groups-101").set_value([]).run()
    assert service.groups["Ann"] == ()
    page.multiselect(key="in-groups").set_value(["family"]).run()
    assert "1 person" in said(page)
    change(page, 102)
    page.multiselect(key="groups-102").set_value([]).run()
    page.run()
    assert not page.exception
    assert "2 people" in said(page)


def test_what_is_odd_about_a_photograph_is_said_on_the_receipt(open_page, service, picture, said):
    service.warnings = ("unlike the other photographs",)
    page = open_page("people")
    fill(page, "Ann", [("a.png", picture(), "image/png")])
    page.checkbox[1].check().run()
    button(page, "Enrol").click().run()
    assert service.any_quality
    assert "Unlike the other photographs" in said(page)
    service.warnings = ()
    fill(page, "Bob", [("b.png", picture(), "image/png")])
    page.run()
    button(page, "Enrol").click().run()
    assert "good" in said(page)


def test_the_deleted_can_be_restored_or_erased_once_it_is_said_what_goes(open_page, service, said):
    service.deleted = ["Ann", "Bob"]
    page = open_page("people")
    words = said(page)
    assert "Nobody else of this name is touched" in words
    assert "2 photographs enrolled since 2025-03-01" in words
    page.button(key="restore-101").click().run()
    page.button(key="erase-102").click().run()
    assert (service.names, service.deleted) == (["Ann"], [])
    assert not page.exception


def test_another_tab_s_list_that_has_shifted_changes_whoever_was_shown(open_page, service):
    service.names = ["Ann"]
    service.deleted = ["Bob", "Cyd", "Dan"]
    page = open_page("people")
    buttons = {key: page.button(key=key) for key in ("erase-103", "erase-104")}
    service.deleted.remove("Bob")  # by another tab: everybody moves up by one
    buttons["erase-103"].click().run()
    assert service.deleted == ["Dan"]
    service.deleted = []
    service.names.append("Dan")  # restored by another tab: the click finds its button gone
    buttons["erase-104"].click().run()
    assert any("not deleted any more" in error.value for error in page.error)
    assert service.names == ["Ann", "Dan"]
    assert not page.exception


def test_undo_takes_back_what_was_shown_and_nothing_that_was_done_since(open_page, service):
    service.names = ["Ann", "Bob", "Cyd"]
    page = open_page("people")
    change(page, 101)
    page.button(key="delete-101").click().run()
    shown = button(page, "Undo")
    service.people.edit.delete(102)  # by another tab
    shown.click().run()
    assert service.undone == []
    assert service.deleted == ["Ann", "Bob"]


def test_many_people_come_in_pages_and_can_be_searched(open_page, service):
    service.names = [f"Person {n:03}" for n in range(60)]
    page = open_page("people")

    def shown() -> int:
        return sum(text.value.startswith("Person") for text in page.text)

    assert shown() == 24
    button(page, "Show 24 more of 36").click().run()
    assert shown() == 48
    page.text_input(key="find").set_value("person 01").run()
    assert shown() == 10


def test_without_weights_the_page_opens_and_says_where_to_get_them(open_page, service, said):
    service.missing_weights = WeightsError("no weights for inception_resnet_v1 at hand: fetch them")
    page = open_page("people")
    words = said(page)
    assert "no weights yet" in words
    assert "fetch them" in words
    assert page.get("page_link")


def test_where_nothing_can_be_done_about_any_photograph_the_form_stays_filled_in(
    open_page, service, picture
):
    service.skipped, service.faces = {1: "no face found in it"}, 0
    page = open_page("people")
    fill(page, "Ann", [("a.png", picture(), "image/png")])
    page.run()
    button(page, "Enrol").click().run()
    assert len(page.warning) == 1
    assert page.text_input[0].value == "Ann"


def test_whose_face_is_meant_is_clicked_where_it_is_asked(
    open_page, service, picture, said, clicked
):
    service.skipped, service.faces = {2: "3 faces in it: choose one of them"}, 3
    page = open_page("people")
    fill(page, "Ann", [(f"{n}.png", picture(n), "image/png") for n in ("red", "blue")])
    page.run()
    button(page, "Enrol").click().run()
    assert page.text_input[0].value == ""
    words = said(page)
    assert "shows 3 faces" in words
    service.skipped = {}
    clicked("_faces", 1)
    page.run()
    assert not page.exception
    assert service.enrolments[1:] == [("Ann", [picture("blue")], 2)]
    assert "2 photographs enrolled" in said(page)
    assert "Left out" not in said(page)


def test_a_face_may_be_clicked_again_where_the_first_click_was_refused(
    open_page, service, picture, said, clicked
):
    service.skipped, service.faces = {1: "3 faces in it: choose one of them"}, 3
    page = open_page("people")
    fill(page, "Ann", [("a.png", picture(), "image/png")])
    page.run()
    button(page, "Enrol").click().run()
    service.skipped, service.refusal = {}, ArgumentError("more than 60 photographs in a minute")
    clicked("_faces", 1)
    page.run()
    assert [error.value for error in page.error if "in a minute" in error.value]
    assert "shows 3 faces" in said(page.run())
    service.refusal = None
    clicked("_faces", 2)
    page.run()
    assert not page.exception
    assert service.enrolments[-1][2] == 3
    assert "1 photograph enrolled" in said(page)


def test_a_poor_face_is_enrolled_all_the_same_where_it_is_said(open_page, service, picture, said):
    service.skipped, service.quality = {2: "the face is blurred: --any-quality"}, BLURRED
    page = open_page("people")
    fill(page, "Ann", [(f"{n}.png", picture(n), "image/png") for n in ("red", "blue")])
    page.run()
    button(page, "Enrol").click().run()
    assert "The face is blurred" in said(page)
    assert "--any" not in said(page)
    service.skipped = {}
    button(page, "Enrol it all the same").click().run()
    assert not page.exception
    assert service.any_quality
    assert "2 photographs enrolled" in said(page)
    button(page, "Close").click().run()
    assert "enrolled." not in said(page)


def test_of_many_left_out_each_is_told_and_what_can_be_settled_comes_first(
    open_page, service, picture, said
):
    """What cannot be read can never be settled, and may not stand before what can."""
    reason = "cannot read this picture"
    service.skipped = dict.fromkeys(range(1, 15), reason) | {15: "the face is blurred"}
    service.quality = BLURRED
    page = open_page("people")
    files = [(f"broken{n}.png", b"no picture", "image/png") for n in range(14)]
    fill(page, "Ann", [*files, ("blurred.png", picture("blue"), "image/png")])
    page.run()
    button(page, "Enrol").click().run()
    words = said(page).replace("\\", "")
    assert [n for n in range(14) if f"broken{n}.png" not in words] == []
    service.skipped = {}
    button(page, "Enrol it all the same").click().run()
    assert not page.exception
    assert "1 photograph enrolled" in said(page)


@pytest.mark.parametrize("gone", ["merged", "deleted", "renamed"])
def test_a_receipt_goes_when_it_is_no_longer_true(open_page, service, picture, said, gone):
    service.names = ["Bob"]
    page = open_page("people")
    fill(page, "Ann", [("a.png", picture(), "image/png")])
    page.run()
    button(page, "Enrol").click().run()
    assert "1 photograph enrolled" in said(page)
    service.names = {"merged": ["Bob"], "deleted": ["Bob"], "renamed": ["Anna", "Bob"]}[gone]
    page.run()
    assert not page.exception
    assert "1 photograph enrolled" not in said(page)


def test_a_photograph_that_is_enrolled_already_is_no_failure(open_page, service, picture, said):
    service.skipped = {1: "this photograph is enrolled already"}
    page = open_page("people")
    fill(page, "Ann", [("a.png", picture(), "image/png")])
    page.run()
    button(page, "Enrol").click().run()
    words = said(page)
    assert "every photograph is enrolled already" in words
    assert ":material/block:" not in words
