"""The pages as visitors see them: no exact similarity, no threshold, no search without measure."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from data.errors import GalleryError
from recognition.results import Calibration, LookAlikes
from ui.audience import BEHIND
from ui.page import resources
from ui.page.limits import MOST_A_MINUTE, Allowance

SIMILARITY, THRESHOLD = 0.6187, 0.2731
OURS = (SIMILARITY, THRESHOLD, 0.281, 0.7049)
NUMBERS = re.compile(r"(?<![\w.])[-−]?[01]?\.\d+(?!\d|\.|\s*%|\s*[GM]B)")
# Of the components' own data: how wide a picture is in its frame, and the bars that show verdicts.
PLAIN = re.compile(r'"(box|size|value|threshold)": (\[[^\]]*\]|0\.5|[01](\.0)?)[,}]')


@pytest.fixture(autouse=True)
def others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page stands behind a proxy, nothing was compared yet, and no allowance comes back."""
    monkeypatch.setenv(BEHIND, "https://faces.example.org")
    allowance = Allowance(MOST_A_MINUTE, 60, lambda: 0.0)
    monkeypatch.setattr(resources, "_allowance", lambda: allowance)


@pytest.fixture
def gallery(service: Any, calibration: Calibration) -> Any:
    """People who are alike, by numbers that would be known again wherever they came up."""
    service.names = ["Ann", "Bob"]
    service.similarity = SIMILARITY
    service.own = replace(
        calibration, threshold=THRESHOLD, doubt=f"the gallery has outgrown {THRESHOLD}"
    )
    service.threshold_provenance = f"x.safetensors says of it: {THRESHOLD} on pairs of LFW"
    service.groups = {"Ann": ("family",)}
    service.notes = (
        "the gallery has grown from 2 to 90 photographs: its threshold was measured anew, "
        f"0.281 in the place of {THRESHOLD:.3f}",
    )
    service.warnings = (
        f"unlike the other photographs of 'Ann' (similarity {SIMILARITY:.2f}, wanted 0.7049): her?",
        f"more like 'Bob' (similarity {SIMILARITY:.2f}): one person under two names?",
    )
    service.alike = [
        LookAlikes(
            person=one,
            other=other,
            cosine_similarity=SIMILARITY,
            photographs=(4, 7),
            share=0.75,
            above=True,
            person_id=service.id_of(one),
            other_id=service.id_of(other),
        )
        for one, other in (("Bob", "Cyd"), ("Ann", "Bob"))
    ]
    return service


def click(page: AppTest, label: str) -> AppTest:
    page = next(button for button in page.button if button.label == label).click().run()
    assert not page.exception
    return page


def everything(page: AppTest, said: Callable[[AppTest], str]) -> str:
    """What reaches the browser besides pictures, and the address."""
    labels = [f"{one.label} {one.help}" for one in (*page.button, *page.text_input)]
    toasts = [str(one.value) for one in page.toast]
    fields = [str(getattr(one, "value", "")) for one in (*page.number_input, *page.slider)]
    told = "\n".join([said(page), *labels, *toasts, *fields, str(page.query_params)])
    return re.sub(r"data:image/[^\"']*", "", told).replace("\\", "")


def exact_in(page: AppTest, said: Callable[[AppTest], str]) -> list[str]:
    """What of a page may be an exact similarity or threshold, or depends on one."""
    told = PLAIN.sub("", everything(page, said))
    ours = {f"{number:.{digits}f}" for number in OURS for digits in (2, 3, 4)}
    return [*NUMBERS.findall(told), *(number for number in ours if number in told)]


def identified(open_page: Any, picture: Any) -> AppTest:
    page = open_page("identify")
    page.file_uploader[0].set_value([("a.png", picture(), "image/png")]).run()
    return page


def verified(open_page: Any, picture: Any) -> AppTest:
    page = open_page("verify")
    page.file_uploader[0].upload("one.png", picture("red"), "image/png").run()
    page.file_uploader[1].upload("two.png", picture("blue"), "image/png").run()
    return page


def enrolled(open_page: Any, picture: Any) -> AppTest:
    page = open_page("people")
    page.text_input[0].set_value("Ann")
    page.file_uploader[0].set_value([("a.png", picture("red"), "image/png")]).run()
    return click(page, "Enrol")


def compared(open_page: Any, picture: Any) -> AppTest:
    return click(open_page("people"), "Compare everybody")


def photographs(open_page: Any, picture: Any) -> AppTest:
    page = open_page("people")
    next(one for one in page.selectbox if one.label == "Whose").select("Ann").run()
    return page


PLACES = (identified, verified, enrolled, compared, photographs)


@pytest.mark.parametrize("similarity", [SIMILARITY, 0.1113])
@pytest.mark.parametrize("place", PLACES)
def test_no_page_tells_a_visitor_an_exact_similarity_or_threshold(
    gallery: Any, open_page: Any, picture: Any, said: Any, place: Any, similarity: float
) -> None:
    gallery.similarity = similarity
    page = place(open_page, picture)
    assert not page.exception
    assert exact_in(page, said) == []


def test_other_pages_tell_of_none_either(
    gallery: Any, open_page: Any, picture: Any, said: Any
) -> None:
    """They have other numbers with a point: settings, and sizes of networks."""
    for name in ("stylize", "models"):
        told = everything(open_page(name), said)
        assert f"{THRESHOLD:.2f}" not in told
        assert f"{SIMILARITY:.2f}" not in told


def test_the_owner_is_told_them(
    gallery: Any, open_page: Any, picture: Any, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the test above would find one."""
    monkeypatch.delenv(BEHIND)
    for place in (identified, verified, enrolled, compared, photographs):
        page = place(open_page, picture)
        assert exact_in(page, said), place


def test_an_error_tells_a_visitor_no_number(
    gallery: Any, open_page: Any, picture: Any, said: Any
) -> None:
    gallery.refusal = GalleryError(f"no face is as alike as {THRESHOLD}: the closest is .62")
    for place in (verified, enrolled):
        page = place(open_page, picture)
        assert page.error
        assert exact_in(page, said) == []


def test_choosing_groups_moves_no_visitor_s_threshold_and_the_owner_s(
    gallery: Any, open_page: Any, picture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for is_owner in (False, True):
        if is_owner:
            monkeypatch.delenv(BEHIND)
        gallery.decided_for.clear()
        page = identified(open_page, picture)
        before = gallery.identifications
        page.multiselect[0].select("family").run()
        page.run()
        assert gallery.asked_groups == ("family",)
        assert gallery.identifications > before
        assert (("family",) in gallery.decided_for) is is_owner


def test_what_an_enrolment_tells_of_others_is_metered_and_logged(
    gallery: Any, open_page: Any, picture: Any
) -> None:
    page = enrolled(open_page, picture)
    assert page.success
    assert gallery.searches == [sorted([gallery.id_of("Ann"), 999])]
    resources.allow_search(MOST_A_MINUTE - 1)
    page = enrolled(open_page, picture)
    assert "in a minute" in page.error[0].value
    assert len(gallery.enrolments) == 1


def test_naming_a_face_and_settling_what_was_left_out_are_metered_and_logged(
    gallery: Any, open_page: Any, picture: Any, clicked: Any
) -> None:
    clicked("_matches", 0)
    page = identified(open_page, picture)
    page.selectbox[0].select("Bob").run()
    gallery.searches.clear()
    page = click(page, "Enrol this face")
    assert gallery.searches[0] == sorted([gallery.id_of("Bob"), 999])
    gallery.faces = 2
    gallery.skipped = {1: "2 faces in it: choose one of them (--face N; 1 is the largest)"}
    gallery.searches.clear()
    page = enrolled(open_page, picture)
    assert gallery.searches == []  # nobody was compared yet
    gallery.skipped = {}
    clicked("_faces", 1)
    page.run()
    assert gallery.searches == [sorted([gallery.id_of("Ann"), 999])]
    # A search, and three photographs that were enrolled or tried to be.
    resources.allow_search(MOST_A_MINUTE - 4)
    with pytest.raises(Exception, match="in a minute"):
        resources.allow_search(1)


def test_comparing_everybody_is_metered_and_logged_and_done_when_it_is_asked_for_alone(
    gallery: Any, open_page: Any, picture: Any
) -> None:
    page = compared(open_page, picture)
    assert gallery.comparisons == 1
    told = {gallery.id_of(name) for name in ("Ann", "Bob", "Cyd")}
    assert gallery.searches == [sorted(told)]
    for _ in range(3):
        page.run()
    assert gallery.comparisons == 1
    pairs = [one.value for one in page.markdown if " and " in one.value]
    assert ["Ann" in pairs[0], "Cyd" in pairs[1]] == [True, True]  # by name, not by likeness
    click(page, "They are two people")
    assert gallery.comparisons == 1
    assert len([one for one in page.button if one.label == "They are two people"]) == 1
    resources.allow_search(MOST_A_MINUTE - 2)
    page = click(page, "Compare everybody")
    assert "in a minute" in page.error[0].value
    assert gallery.comparisons == 1


def test_a_large_gallery_can_be_compared_by_a_visitor_too(
    gallery: Any, open_page: Any, picture: Any
) -> None:
    gallery.names = [f"Somebody {number}" for number in range(3 * MOST_A_MINUTE)]
    gallery.alike = []
    assert not compared(open_page, picture).error
    with pytest.raises(Exception, match="in a minute"):
        resources.allow_search(MOST_A_MINUTE // 2 + 1)


def test_visitors_are_not_told_which_regions_carry_a_verdict(
    open_page: Any, picture: Any, others: None
) -> None:
    page = verified(open_page, picture)
    assert not page.exception
    assert not [toggle for toggle in page.toggle if toggle.key == "explain"]
