"""Two machines serve the page over one gallery on a PostgreSQL server."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from chromium import launched, opened, served, settled, upload

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.postgres,
    pytest.mark.shared,
    pytest.mark.timeout(900),
]


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    """The page Identify of two servers, each with a data folder of its own."""
    from postgres_server import binaries, running

    if binaries() is None:
        pytest.skip("no PostgreSQL server: apt install postgresql, or the wheel pgserver")
    with ExitStack() as stack:
        browser = stack.enter_context(launched())
        server = stack.enter_context(running())
        shown = []
        for name in ("one", "other"):
            home = tmp_path / name / "home"
            home.mkdir(parents=True)
            address = stack.enter_context(
                served(
                    home, "-P", "-m", "ui.cli.main",
                    LIKENESS_GALLERY=server.address("shared"), LIKENESS_HOME=str(home),
                )
            )  # fmt: skip
            page, base = opened(browser, address, viewport={"width": 1280, "height": 900})
            page.goto(f"{base}/identify")
            settled(page)
            shown.append(page)
        yield shown[0], shown[1]


def test_whoever_is_enrolled_on_one_machine_is_named_on_the_other(
    pages: tuple[Any, Any], lfw_photos: Path
) -> None:
    person = next(one for one in sorted(lfw_photos.iterdir()) if len([*one.iterdir()]) > 3)
    first, second = sorted(person.iterdir())[:2]
    one, other = pages
    for page, photograph in ((other, second), (one, first)):
        upload(page, _file(photograph))
        page.get_by_role("button", name="Name:").first.wait_for()
    assert not other.get_by_text("Ann Example").count()
    one.get_by_role("button", name="Name:").first.click()
    one.get_by_role("combobox", name="Name").fill("Ann Example")
    one.keyboard.press("Enter")
    one.get_by_role("dialog").get_by_role("button", name="Enrol this face").click()
    one.get_by_text("Ann Example is enrolled by that face").first.wait_for()
    other.keyboard.press("r")  # the script once more: what has been given is asked for anew
    other.get_by_text("Ann Example").first.wait_for()


def _file(photograph: Path) -> dict[str, Any]:
    content = photograph.read_bytes()
    return {"name": photograph.name, "mimeType": "image/jpeg", "buffer": content}
