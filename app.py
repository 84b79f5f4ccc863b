"""The page's router, which `likeness app` serves."""

import streamlit as st

from ui.page import components, resources, server, session
from ui.page.browser import MARK
from ui.page.language import say
from ui.page.navigation import PAGES, title_of

st.set_page_config(page_title="Likeness", page_icon=MARK, layout="wide")
components.frame()
server.require_gate()
resources.decode_apart()
resources.tidy_daily()
pages = [
    st.Page(
        f"ui/page/pages/{entry.name}.py",
        title=entry.title,
        icon=f":material/{entry.icon}:",
        default=entry is PAGES[0],
    )
    for entry in PAGES
]
page = st.navigation(pages, position="top")
session.note_page(page.title)
if page.title == title_of("stylize"):  # which needs them before its first line
    components.wait_for(resources.load_libraries(), say("Loading the networks"))
page.run()
resources.lock_bar()
resources.load_libraries()
