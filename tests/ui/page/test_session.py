from streamlit.testing.v1 import AppTest


def counting() -> None:
    import streamlit as st

    from ui.page import session

    calls = st.session_state.setdefault("calls", [])
    key = st.session_state.get("key", 1)
    st.text(session.remembered("slot", key, lambda: calls.append(key) or f"value of {key}"))


def paging() -> None:
    import streamlit as st

    from ui.page import session

    items = list(range(st.session_state.get("count", 25)))
    st.text(str(len(session.first_of(items, key="items", size=10))))
    session.more_button(items, key="items", size=10)


def test_a_value_is_computed_again_only_when_its_key_changes() -> None:
    page = AppTest.from_function(counting).run().run()
    assert (page.text[0].value, page.session_state["calls"]) == ("value of 1", [1])
    page.session_state["key"] = 2
    page.run().run()
    assert (page.text[0].value, page.session_state["calls"]) == ("value of 2", [1, 2])


def test_a_long_list_comes_in_pages() -> None:
    page = AppTest.from_function(paging).run()
    labels = []
    while page.button:
        labels.append(page.button[0].label)
        page.button[0].click().run()
    assert labels == ["Show 10 more of 15", "Show 5 more of 5"]
    assert page.text[0].value == "25"


def test_a_short_list_has_no_button() -> None:
    page = AppTest.from_function(paging)
    page.session_state["count"] = 10
    page.run()
    assert page.text[0].value == "10"
    assert not page.button
