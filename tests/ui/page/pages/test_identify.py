import json
from dataclasses import replace

import pytest

from data.errors import WeightsError
from recognition.results import Quality

BLURRED = Quality(size=40.0, sharpness=0.02, turn=0.0, nod=0.0, brightness=0.5)


def press(page, label):
    next(button for button in page.button if button.label == label).click().run()
    assert not page.exception


def cards(page):
    elements = [e.proto for e in page.get("bidi_component")]
    return [
        json.loads(proto.json) for proto in elements if proto.component_name.endswith("matches")
    ]


def boxes(page):
    elements = [e.proto for e in page.get("bidi_component")]
    return [json.loads(proto.json) for proto in elements if proto.component_name.endswith("faces")]


def test_with_nobody_enrolled_it_says_so(open_page, said):
    page = open_page("identify")
    assert "Nobody is enrolled yet" in said(page)
    assert "name the faces in it" in said(page)


def test_with_nobody_enrolled_a_face_is_found_and_can_be_named(
    open_page, service, picture, clicked
):
    page = open_page("identify")
    page.file_uploader[0].set_value([("a.png", picture(), "image/png")]).run()
    assert not page.exception
    assert boxes(page)[0]["boxes"][0]["label"] == "1 · unknown"
    assert service.identifications == 0
    clicked("_faces", 0)
    page.run()
    assert not page.exception
    assert [box.options for box in page.selectbox if box.key.startswith("who-")] == [[]]
    assert service.looks == 1


def test_somebody_known_is_named_with_the_number_against_the_threshold(open_page, service, picture):
    service.names = ["Ann", "Bob"]
    page = open_page("identify")
    page.file_uploader[0].set_value([("party.png", picture(), "image/png")]).run()
    assert not page.exception
    (drawn,), (card,) = boxes(page), cards(page)
    assert drawn["boxes"] == [
        {"box": [10, 12, 40, 52], "label": "1 · Ann", "short": "1", "tone": "known"}
    ]
    assert drawn["size"] == [64, 64]
    (face,) = card["cards"]
    assert (face["title"], face["verdict"]) == ("1 · Ann", "0.62, where 0.27 is needed")
    assert [(m["person"], m["text"]) for m in face["matches"]] == [("Ann", "0.62"), ("Bob", "0.62")]


def test_only_people_of_the_groups_chosen_are_asked_for(open_page, service, picture):
    service.names, service.groups = ["Ann", "Bob"], {"Ann": ("family", "staff")}
    page = open_page("identify")
    assert page.multiselect(key="groups").options == ["family", "staff"]
    page.file_uploader[0].set_value([("party.png", picture(), "image/png")]).run()
    assert service.asked_groups == ()
    page.multiselect(key="groups").set_value(["staff"]).run()
    assert not page.exception
    assert service.asked_groups == ("staff",)
    service.groups = {"Bob": ("family",)}  # meanwhile, in another session
    page.run()
    assert not page.exception
    assert service.asked_groups == ()


def test_an_unknown_face_is_shown_as_unknown(open_page, service, picture):
    service.names, service.similarity = ["Ann"], 0.12
    page = open_page("identify")
    page.file_uploader[0].set_value([("party.png", picture(), "image/png")]).run()
    (drawn,), (card,) = boxes(page), cards(page)
    assert drawn["boxes"][0]["label"] == "1 · unknown"
    assert card["cards"][0]["title"] == "1 · Unknown"
    assert card["cards"][0]["verdict"] == "Closest: 0.12, where 0.27 is needed"
    assert not card["cards"][0]["known"]


def test_a_name_that_is_html_goes_to_the_browser_as_data(open_page, service, picture):
    name = "<img src=x onerror=alert(1)>"
    service.names = [name]
    page = open_page("identify")
    page.file_uploader[0].set_value([("a.png", picture(), "image/png")]).run()
    assert boxes(page)[0]["boxes"][0]["label"] == f"1 · {name}"
    for element in page.get("bidi_component"):
        assert name not in element.proto.html_content + element.proto.js_content
        assert "innerHTML" not in element.proto.js_content


def test_a_picture_that_cannot_be_read_is_listed_and_the_others_go_on(open_page, service, picture):
    service.names = ["Ann"]
    page = open_page("identify")
    files = [("bad.jpg", b"<html>", "image/jpeg"), ("good.png", picture(), "image/png")]
    page.file_uploader[0].set_value(files).run()
    assert not page.exception
    assert len(page.error) == 1
    assert "bad.jpg" in [text.value for text in page.text]
    assert len(cards(page)) == 1


def test_the_same_question_is_asked_once(open_page, service, picture):
    service.names = ["Ann", "Bob", "Eve"]
    page = open_page("identify")
    page.file_uploader[0].set_value([("a.png", picture(), "image/png")]).run()
    page.run()
    assert service.identifications == 1
    page.slider[0].set_value(2).run()
    assert service.identifications == 2
    assert len(cards(page)[0]["cards"][0]["matches"]) == 2


def test_photographs_and_results_are_there_again_after_another_page(open_page, service, picture):
    service.names = ["Ann"]
    page = open_page("identify")
    page.file_uploader[0].set_value([("a.png", picture(), "image/png")]).run()
    for other in ("verify", "models"):
        page.switch_page(f"ui/page/pages/{other}.py").run()
        page.switch_page("ui/page/pages/identify.py").run()
    assert not page.exception
    assert len(cards(page)) == 1
    assert (service.looks, service.identifications) == (1, 1)
    page.file_uploader[0].set_value([("b.png", picture("red"), "image/png")]).run()
    assert len(cards(page)) == 2
    taken = next(button for button in page.button if (button.key or "").startswith("take-away"))
    taken.click().run()
    assert len(cards(page)) == 1


def test_many_photographs_come_in_pages(open_page, service, picture):
    service.names = ["Ann"]
    page = open_page("identify")
    files = [(f"{n}.png", picture(), "image/png") for n in range(7)]
    page.file_uploader[0].set_value(files).run()
    assert len(cards(page)) == 5
    next(button for button in page.button if button.label == "Show 2 more of 2").click().run()
    assert len(cards(page)) == 7
    assert service.identifications == 1


def test_without_weights_the_page_opens_and_says_where_to_get_them(open_page, service, said):
    service.names = ["Ann"]
    service.missing_weights = WeightsError("no weights at hand: fetch them")
    words = said(open_page("identify"))
    assert "no weights yet" in words


def test_weights_without_a_threshold_ask_for_one_and_then_name_people(
    open_page, service, picture, said
):
    service.names, service.limit = ["Ann"], None
    page = open_page("identify")
    assert page.expander[0].proto.expanded
    page.file_uploader[0].set_value([("a.png", picture(), "image/png")]).run()
    assert "Nothing tells how alike strangers are: choose one" in said(page)
    assert not page.error
    assert service.identifications == 0
    page.number_input(key="threshold").set_value(0.5).run()
    assert not page.exception
    assert "choose one" not in said(page)
    assert cards(page)[0]["cards"][0]["verdict"] == "0.62, where 0.50 is needed"


def test_who_is_enrolled_elsewhere_meanwhile_is_seen(open_page, service, picture):
    service.names, service.similarity = ["Bob"], 0.62
    page = open_page("identify")
    page.file_uploader[0].set_value([("a.png", picture(), "image/png")]).run()
    service.names = ["Ann", "Bob"]
    page.run()
    assert service.identifications == 2
    assert cards(page)[0]["cards"][0]["title"] == "1 · Ann"


def test_of_very_many_photographs_the_first_are_taken_and_a_line_says_so(
    open_page, service, picture
):
    service.names = ["Ann"]
    page = open_page("identify")
    files = [(f"{n}.png", picture(), "image/png") for n in range(100)]
    page.file_uploader[0].set_value(files).run()
    assert not page.exception
    (line,) = (warning.value for warning in page.warning)
    assert "100 pictures at once: only the first 50 are taken" in line
    assert any(button.label == "Show 5 more of 45" for button in page.button)


def test_a_calibrated_gallery_names_by_its_own_threshold_and_says_when_it_is_outgrown(
    open_page, service, picture, calibration, said
):
    service.names = ["Ann", "Bob"]
    service.own = replace(
        calibration, threshold=0.7, doubt="the gallery has grown: calibrate again"
    )
    page = open_page("identify")
    page.file_uploader[0].upload("party.png", picture(), "image/png").run()
    assert not page.exception
    text = said(page)
    assert "The gallery has grown" in text
    assert "Unknown" in text
    assert "99 % likely" in text
    assert "Closest: 0.62, where 0.70 is needed" in text


@pytest.mark.parametrize("component", ["_faces", "_matches"])
def test_a_wrong_name_is_taken_back_for_that_face(open_page, service, picture, clicked, component):
    service.names = ["Ann", "Bob"]
    page = open_page("identify")
    page.file_uploader[0].set_value([("a.png", picture(), "image/png")])
    page.run()
    clicked(component, 0)
    page.run()
    next(button for button in page.button if button.key.startswith("not-")).click().run()
    assert not page.exception
    assert service.excluded == [("Ann", 1)]
    assert service.identifications == 2  # asked again, now that it is another question
    assert service.looks == 1  # without looking at the photograph again


def test_faces_are_numbered_as_one_reads_and_enrolled_as_the_service_counts(
    open_page, service, picture, clicked
):
    service.names, service.faces, service.similarity = ["Ann", "Bob"], 3, 0.1
    page = open_page("identify")
    page.file_uploader[0].set_value([("a.png", picture(), "image/png")])
    page.run()
    assert [box["box"][0] for box in boxes(page)[0]["boxes"]] == [2, 44, 10]
    clicked("_matches", 1)
    page.run()
    who = next(box for box in page.selectbox if box.key.startswith("who-"))
    who.set_value("Bob").run()
    press(page, "Enrol this face")
    assert service.enrolments == [("Bob", [picture()], 2)]


def test_a_face_without_a_name_is_not_enrolled(open_page, service, picture, clicked):
    service.names, service.similarity = ["Ann"], 0.1
    page = open_page("identify")
    page.file_uploader[0].set_value([("a.png", picture(), "image/png")])
    page.run()
    clicked("_faces", 0)
    page.run()
    press(page, "Enrol this face")
    assert "No name yet" in page.error[0].value
    assert not service.enrolments


def test_a_poor_face_is_enrolled_only_all_the_same(open_page, service, picture, clicked):
    service.names, service.similarity, service.quality = ["Ann", "Bob"], 0.1, BLURRED
    service.skipped = {1: "the face is blurred: take another photograph"}
    page = open_page("identify")
    page.file_uploader[0].set_value([("a.png", picture(), "image/png")])
    page.run()
    clicked("_faces", 0)
    page.run()
    next(box for box in page.selectbox if box.key.startswith("who-")).set_value("Bob").run()
    press(page, "Enrol this face")
    assert "blurred" in page.warning[0].value
    service.skipped = {}
    press(page, "Enrol it all the same")
    assert service.any_quality
    assert service.enrolments[-1] == ("Bob", [picture()], 1)


@pytest.mark.parametrize("said_by_browser", [-1, 1, 7.0, "0", None, True, [0]])
def test_what_a_browser_says_was_clicked_may_be_anything(
    open_page, service, picture, clicked, said_by_browser
):
    service.names = ["Ann"]
    page = open_page("identify")
    page.file_uploader[0].set_value([("a.png", picture(), "image/png")])
    page.run()
    clicked("_faces", said_by_browser)
    page.run()
    assert not page.exception
    assert not [box for box in page.selectbox if box.key.startswith("who-")]


def test_a_poor_face_is_called_so(open_page, service, picture, said):
    service.names = ["Ann"]
    service.quality = BLURRED
    page = open_page("identify")
    page.file_uploader[0].set_value([("a.png", picture(), "image/png")])
    page.run()
    assert "blurred" in said(page)


def test_how_many_strangers_would_be_named_is_said_of_every_threshold(
    open_page, service, picture, said
):
    service.names = ["Ann"]
    page = open_page("identify")
    text = said(page).replace("\\", "").replace("\u2060", "")
    assert "Threshold 0.27 (by the weights): 1.2 % of strangers would be named" in text
    assert "[0.4 %, 3 %]" in text
    page.number_input(key="threshold").set_value(0.9).run()
    text = said(page).replace("\\", "").replace("\u2060", "")
    assert "Threshold 0.90 (by hand)" in text
    assert "beyond what was counted" in text
