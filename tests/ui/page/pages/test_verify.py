import json
from dataclasses import replace

import numpy as np
import pytest

from backbones.pair_unit import PairUnit
from data.errors import GalleryError, ImageError, WeightsError


def verdicts(page):
    elements = [element.proto for element in page.get("bidi_component")]
    return [json.loads(p.json) for p in elements if p.component_name.endswith("verdict")]


def compare(page, first, second):
    page.file_uploader[0].upload("one.png", first, "image/png").run()
    page.file_uploader[1].upload("two.png", second, "image/png").run()


@pytest.mark.parametrize(
    ("similarity", "title"), [(0.62, "The same person"), (0.1, "Two different people")]
)
def test_two_pictures_get_a_verdict_and_a_number(open_page, service, picture, similarity, title):
    service.similarity = similarity
    page = open_page("verify")
    assert not verdicts(page)
    compare(page, picture("red"), picture("blue"))
    assert not page.exception
    (verdict,) = verdicts(page)
    assert verdict["title"] == title
    assert verdict["note"] == f"Similarity {similarity:.2f}, where 0.27 is needed"


@pytest.mark.parametrize(
    ("says", "similarity", "title"),
    [(2.0, 0.1, "The same person"), (-3.0, 0.9, "Two different people")],
)
def test_the_weights_pair_unit_decides_on_the_page_too(
    open_page, service, picture, says, similarity, title
):
    """Against what the threshold of similarities says, until a threshold is chosen by hand."""
    service.similarity = similarity
    service.pair = PairUnit(np.zeros(4), says, {0.01: 1.0})
    page = open_page("verify")
    compare(page, picture("red"), picture("blue"))
    assert not page.exception
    (verdict,) = verdicts(page)
    assert (verdict["title"], verdict["same"]) == (title, says >= 1)
    assert verdict["same"] == (verdict["value"] >= verdict["threshold"]), "the bar contradicts"
    assert all(f"{number:.2f}".replace("-", "−") in verdict["note"] for number in (says, 1.0))
    page.number_input(key="verify-threshold").set_value(0.5).run()
    (verdict,) = verdicts(page)
    assert verdict["same"] == (similarity >= 0.5)
    assert verdict["note"] == f"Similarity {similarity:.2f}, where 0.50 is needed"


def test_the_face_that_counts_is_marked(open_page, picture):
    page = open_page("verify")
    page.file_uploader[0].upload("one.png", picture(), "image/png").run()
    protos = [element.proto for element in page.get("bidi_component")]
    (shown,) = (json.loads(it.json) for it in protos if it.component_name.endswith("faces"))
    assert [box["tone"] for box in shown["boxes"]] == ["known", "faint"]


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_picture_that_cannot_be_read_is_said_once(open_page, picture, broken):
    page = open_page("verify")
    files = [picture(), picture()]
    for place in range(broken):
        files[place] = b"no picture"
    compare(page, *files)
    assert not page.exception
    assert len(page.error) == broken
    assert len(verdicts(page)) == (broken == 0)


def test_what_the_service_refuses_is_one_line(open_page, service, picture):
    service.refusal = ImageError("no face found in image 1: take another photograph")
    page = open_page("verify")
    compare(page, picture("red"), picture("blue"))
    assert not page.exception
    assert len(page.error) == 1
    assert not verdicts(page)


def test_a_file_that_is_no_picture_is_refused_in_one_line(open_page, picture):
    page = open_page("verify")
    page.file_uploader[0].upload("../../one.png", b"GIF89a nonsense", "image/png").run()
    assert not page.exception
    assert len(page.error) == 1


def test_a_gallery_that_cannot_be_read_is_one_line(open_page, service, monkeypatch):
    def refuse(use, **terms):
        raise GalleryError("the gallery is damaged: restore it from a backup")

    monkeypatch.setattr(service, "decision", refuse)
    page = open_page("verify")
    assert not page.exception
    assert len(page.error) == 1


def test_without_weights_the_page_opens_and_says_where_to_get_them(open_page, service, said):
    service.missing_weights = WeightsError("no weights at hand: fetch them")
    assert "no weights yet" in said(open_page("verify"))


def test_weights_without_a_threshold_ask_for_one_and_then_give_a_verdict(
    open_page, service, picture, said
):
    service.limit = None
    page = open_page("verify")
    assert page.expander[0].proto.expanded
    compare(page, picture("red"), picture("blue"))
    assert "Nothing tells how alike strangers are: choose one" in said(page)
    assert not page.error
    assert not verdicts(page)
    page.number_input(key="verify-threshold").set_value(0.7).run()
    assert not page.exception
    assert "choose one" not in said(page)
    (verdict,) = verdicts(page)
    assert verdict["title"] == "Two different people"
    page.number_input(key="verify-threshold").set_value(0.6).run()
    (verdict,) = verdicts(page)
    assert verdict["title"] == "The same person"
    assert verdict["note"] == "Similarity 0.62, where 0.60 is needed"


def test_a_measured_threshold_is_out_of_the_way_and_can_be_overruled(open_page, service, picture):
    page = open_page("verify")
    assert not page.expander[0].proto.expanded
    assert page.number_input(key="verify-threshold").placeholder.startswith("0.27")
    compare(page, picture("red"), picture("blue"))
    page.number_input(key="verify-threshold").set_value(0.9).run()
    assert verdicts(page)[0]["title"] == "Two different people"


def test_a_calibrated_gallery_s_threshold_and_probability_are_shown(
    open_page, service, picture, calibration, said
):
    service.own = replace(calibration, threshold=0.7)
    page = open_page("verify")
    assert "the gallery’s own, for 1 %" in page.number_input[0].placeholder
    compare(page, picture("red"), picture("blue"))
    assert not page.exception
    (verdict,) = verdicts(page)
    assert verdict["title"] == "Two different people"
    assert verdict["note"] == (
        "Similarity 0.62, where 0.70 is needed; one person’s with probability 99 %"
    )


@pytest.mark.parametrize(
    ("similarity", "excluded", "title"),
    [(0.62, False, "Ann <b>"), (0.1, False, "Not Ann <b>"), (0.9, True, "Not Ann <b>")],
)
def test_a_photograph_is_held_against_somebody_enrolled(
    open_page, service, picture, said, similarity, excluded, title
):
    service.names, service.similarity, service.excluding = ["Ann <b>", "Bob"], similarity, excluded
    page = open_page("verify")
    page.segmented_control(key="against").set_value("Somebody enrolled").run()
    assert len(page.file_uploader) == 1
    page.file_uploader[0].upload("one.png", picture("red"), "image/png").run()
    assert not verdicts(page)
    chooser = page.selectbox(key="whose-face")
    assert chooser.options == ["Ann <b>", "Bob"]
    chooser.select_index(0).run()
    assert not page.exception
    assert "the closest counts" in said(page)
    (verdict,) = verdicts(page)
    assert verdict["title"] == title
    assert ("known not to be theirs" in verdict["note"]) is excluded


def test_with_nobody_enrolled_there_is_only_the_other_photograph(open_page):
    page = open_page("verify")
    assert page.segmented_control(key="against").disabled
    assert len(page.file_uploader) == 2


def test_a_calibrated_gallery_s_probability_is_that_person_s(
    open_page, service, picture, calibration
):
    service.names, service.own = ["Ann"], calibration
    page = open_page("verify")
    page.segmented_control(key="against").set_value("Somebody enrolled").run()
    page.file_uploader[0].upload("one.png", picture("red"), "image/png").run()
    page.selectbox(key="whose-face").select_index(0).run()
    assert verdicts(page)[0]["note"].endswith("Ann’s with probability 99 %")


def test_the_regions_that_carry_a_verdict_are_drawn_once_they_are_asked_for(
    open_page, service, picture
):
    page = open_page("verify")
    compare(page, picture("red"), picture("blue"))
    assert service.explained == 0
    page.toggle(key="explain").set_value(True).run()
    assert not page.exception
    assert len(page.get("image")) == 2  # each face with its own evidence
    page.run()
    assert service.explained == 1
