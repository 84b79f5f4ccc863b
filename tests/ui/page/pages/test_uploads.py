"""Uploads: their bytes are held once, where they are counted, and let go when nobody needs them."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from streamlit.testing.v1 import AppTest

SESSION = "test session id"


def bytes_in(value: object, depth: int = 0) -> int:
    """How many bytes an object holds, whatever it is made of."""
    if isinstance(value, bytes | bytearray | memoryview):
        return len(value)
    if depth > 12:
        return 0
    if isinstance(value, Mapping):
        return sum(bytes_in(one, depth + 1) for pair in value.items() for one in pair)
    if isinstance(value, list | tuple | set | frozenset):
        return sum(bytes_in(one, depth + 1) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        return sum(bytes_in(getattr(value, one.name, None), depth + 1) for one in fields(value))
    return 0


def kept(page: AppTest) -> int:
    """How many bytes a session keeps besides its fields' own."""
    state = page.session_state._state.filtered_state
    return sum(bytes_in(value) for key, value in state.items() if not key.startswith("$$"))


def held(uploaded: Any) -> int:
    """How many bytes are counted."""
    return sum(len(file.data) for file in uploaded.file_storage[SESSION].values())


def large(picture: Any, colour: str) -> bytes:
    content: bytes = picture(colour, (300, 200))
    return content + bytes(100_000)


def test_what_outlives_a_page_is_held_where_it_is_counted_and_nowhere_else(
    service: Any, open_page: Any, picture: Any, uploaded: Any
) -> None:
    page, names = open_page("identify"), ("people", "verify", "stylize", "identify")
    contents = [large(picture, colour) for colour in ("red", "blue")]
    page.file_uploader[0].set_value(
        [(f"{number}.png", content, "image/png") for number, content in enumerate(contents)]
    ).run()
    for name in names:
        page.switch_page(f"ui/page/pages/{name}.py").run()
        assert not page.exception
        assert kept(page) < 20_000  # two crops, and nothing as large as the pictures
        assert held(uploaded) == sum(map(len, contents))
    taken = [button for button in page.button if (button.key or "").startswith("take-away")]
    assert len(taken) == 2
    taken[0].click().run()
    assert held(uploaded) == len(contents[1])


def test_what_a_browser_takes_back_by_itself_is_gone_from_every_page(
    service: Any, open_page: Any, picture: Any, uploaded: Any
) -> None:
    """A browser may ask for that at any time, so that it may upload again."""
    page = open_page("verify")
    page.file_uploader[0].upload("one.png", large(picture, "red"), "image/png").run()
    page.switch_page("ui/page/pages/people.py").run()
    for _ in range(3):
        uploaded.remove_session_files(SESSION)
        page.switch_page("ui/page/pages/verify.py").run()
        assert not page.exception
        assert not [one for one in page.button if (one.key or "").startswith("take-away")]
        assert kept(page) < 20_000
        page.switch_page("ui/page/pages/people.py").run()


def test_one_picture_in_the_place_of_another_leaves_nothing_of_that(
    service: Any, open_page: Any, picture: Any, uploaded: Any
) -> None:
    page = open_page("stylize")
    page.file_uploader[0].upload("one.png", large(picture, "red"), "image/png").run()
    page.switch_page("ui/page/pages/people.py").run()
    page.switch_page("ui/page/pages/stylize.py").run()
    new = large(picture, "blue")
    page.file_uploader[0].upload("two.png", new, "image/png").run()
    assert held(uploaded) == len(new)


def test_enrolled_photographs_are_let_go_and_those_left_out_when_they_are_done_with(
    service: Any, open_page: Any, picture: Any, uploaded: Any
) -> None:
    page = open_page("people")
    left = large(picture, "blue")
    service.skipped = {2: "the face is blurred"}
    page.text_input[0].set_value("Ann")
    page.file_uploader[0].set_value(
        [("a.png", large(picture, "red"), "image/png"), ("b.png", left, "image/png")]
    ).run()
    next(button for button in page.button if button.label == "Enrol").click().run()
    assert not page.exception
    assert held(uploaded) == len(left)
    assert kept(page) < 20_000
    next(button for button in page.button if button.label == "Close").click().run()
    assert held(uploaded) == 0


def test_a_session_remembers_so_many_values_and_those_used_last(home: Any) -> None:
    def page() -> None:
        import streamlit as st

        from ui.page import session

        for number in range(500):
            session.remembered("often", 1, lambda: "often")
            session.remembered(f"slot {number}", number, lambda number=number: number)
        st.text(str(len(st.session_state["memory"])))
        st.text("often" in st.session_state["memory"])

    run = AppTest.from_function(page).run()
    assert int(run.text[0].value) <= 128
    assert run.text[1].value == "True"
