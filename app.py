"""The page's router, which `likeness app` serves."""

import streamlit as st

from ui.page import components, resources, server, session
from ui.page.browser import MARK

st.set_page_config(page_title="Likeness", page_icon=MARK, layout="wide")
components.frame()
server.require_gate()
resources.decode_apart()
resources.tidy_daily()
pages = [
    st.Page("ui/page/pages/people.py", title="People", icon=":material/group:", default=True),
    st.Page("ui/page/pages/identify.py", title="Identify", icon=":material/person_search:"),
    st.Page("ui/page/pages/verify.py", title="Verify", icon=":material/compare:"),
    st.Page("ui/page/pages/stylize.py", title="Stylize", icon=":material/palette:"),
    st.Page("ui/page/pages/models.py", title="Models", icon=":material/memory:"),
]
page = st.navigation(pages, position="top")
session.note_page(page.title)
if page.title == "Stylize":  # which needs them before its first line
    components.wait_for(resources.load_libraries(), "Loading the networks")
page.run()
resources.lock_bar()
resources.load_libraries()
