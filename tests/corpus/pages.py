"""The page without a browser: opened, filled in, clicked, and read."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from streamlit.testing.v1 import AppTest

from ui.page.navigation import PAGES

from .bench import UnforeseenError

_APP = Path(__file__).resolve().parents[2] / "app.py"
ISOLATES = str.maketrans("", "", "\u2068\u2069\u2060\\")


def open_page(name: str) -> AppTest:
    """Open one page of the whole application.

    Raises:
        UnforeseenError: It failed.
    """
    page = AppTest.from_file(_APP, default_timeout=280)
    if name != PAGES[0].name:  # which the address without a name opens
        page.switch_page(f"ui/page/pages/{name}.py")
    return sound(page.run())


def sound(page: AppTest) -> AppTest:
    """The page, if it did not fail.

    Raises:
        UnforeseenError: It failed.
    """
    if page.exception:
        raise UnforeseenError("; ".join(str(element.value) for element in page.exception))
    return page


def fill(page: AppTest, name: str, files: Sequence[tuple[str, bytes]]) -> None:
    """Fill in the form of the page for people."""
    page.text_input[0].set_value(name)
    page.file_uploader[0].set_value([(n, content, "image/png") for n, content in files])
    sound(page.run())


def fill_and_enrol(page: AppTest, name: str, files: Sequence[tuple[str, bytes]]) -> Iterator[str]:
    """Fill in the form of the page for people, and click; yields what is wrong with its errors."""
    fill(page, name, files)
    next(button for button in page.button if button.label == "Enrol").click()
    sound(page.run())
    for error in page.error:
        if "\n" in error.value or len(error.value) > 1000:
            yield f"an error of more than one line: {error.value[:200]!r}"


def receipt_of(page: AppTest) -> dict[str, str]:
    """What the page says of each file that was to be enrolled: its name → a mark, and the words.

    The mark is `:material/block:` for what was left out, whether or not it can be settled.
    """
    lines, left = {}, ""
    for element in page.main:
        text = str(getattr(element, "value", "")).translate(ISOLATES)
        if element.type == "text":  # the name of what was left out; its reason stands below
            left = text
        elif element.type in ("caption", "markdown") and left:
            lines[left], left = f":material/block: {text}", ""
        elif text.startswith(":material/groups:") and " shows " in text:
            name, _, rest = text.partition(" ")[2].partition(" shows ")
            lines[name] = f":material/block: shows {rest}"
        elif text.startswith((":material/block:", ":material/check:", ":material/warning:")):
            mark, _, rest = text.partition(" ")
            name, _, outcome = rest.partition(" – ")
            lines[name.partition(" (")[0]] = f"{mark} {outcome}"
    return lines


def said_in(page: AppTest) -> str:
    """Everything that a page says in words."""
    kinds = ("markdown", "caption", "text", "error", "success", "warning", "info")
    return "\n".join(str(element.value) for kind in kinds for element in page.get(kind))
