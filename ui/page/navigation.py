"""The pages of the menu, in their order: for the router, and for what is shown before it runs."""

from typing import NamedTuple

from .language import say


class Entry(NamedTuple):
    """A page of the menu.

    `name` is its script in `ui/page/pages` and its address, `title` its heading and its place in
    the menu, `icon` a Material symbol. The first one is the page that opens.
    """

    name: str
    title: str
    icon: str


PAGES = (
    Entry("people", say("People"), "group"),
    Entry("identify", say("Identify"), "person_search"),
    Entry("verify", say("Verify"), "compare"),
    Entry("stylize", say("Stylize"), "palette"),
    Entry("models", say("Models"), "memory"),
)


def title_of(path: str) -> str:
    """The title of the page at a path below the application's own; of the first one otherwise."""
    titles = {entry.name: entry.title for entry in PAGES}
    return titles.get(path.strip("/"), PAGES[0].title)
