"""What is done with the page; there is one door for it."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

from recognition.service import RecognitionService
from ui.page import resources

from ..bench import Bench, Trial
from ..page import LIMIT, TAKEN, Deed, OnPage, uploads_of
from ..pages import fill, open_page, receipt_of, said_in, sound

_PHOTOGRAPHS = {Deed.MANY: TAKEN, Deed.TWINS: 2, Deed.OVERSIZE: 0, Deed.NOBODY: 0}


def through_page(bench: Bench, items: Sequence[OnPage], places: Sequence[Path]) -> Iterator[str]:
    for item in items:
        with (
            bench.service() as service,
            patch.object(resources, "recognition", lambda s=service: s),
        ):
            yield from _done(item.deed, service)
            photographs = {person.name: person.photographs for person in service.people.summaries()}
        if photographs.get("New", 0) != _PHOTOGRAPHS.get(item.deed, 1):
            yield f"enrolled: {photographs}"


DOORS: dict[str, Trial] = {"page": through_page}


def _done(deed: Deed, service: RecognitionService) -> Iterator[str]:
    """Do it, and look at the page; no deed of these makes it fail."""
    if deed is Deed.RELOAD:
        yield from _reloaded(service)
        return
    page = open_page("people")
    if page.file_uploader[0].proto.max_upload_size_mb != LIMIT:
        yield f"{page.file_uploader[0].proto.max_upload_size_mb} MB may be uploaded"
    fill(page, "New", uploads_of(deed))
    if deed is Deed.MANY and f"only the first {TAKEN} are taken" not in said_in(page):
        yield "no line says that the rest is not taken"
    first = next(button for button in page.button if button.label == "Enrol")
    for _ in range(1 + (deed is Deed.DOUBLE_CLICK)):  # the same button, which is gone by then
        first.click()
        sound(page.run())
    if deed is Deed.NAMES and not any("<b>" in name for name in receipt_of(page)):
        yield f"the name is not shown as it is: {receipt_of(page)}"
    if deed is Deed.NOBODY and len(page.error) != 1:
        yield "no line says that a photograph is missing"


def _reloaded(service: RecognitionService) -> Iterator[str]:
    """Open the page anew while somebody is being enrolled, which waits for its turn.

    The first look is what its page does, without the page: Streamlit's AppTest puts its own
    stand-ins into modules that all sessions of a process share, so two of them at a time pull them
    away from each other.
    """
    begun, go_on = threading.Event(), threading.Event()
    photographs = [content for _, content in uploads_of(Deed.RELOAD)]

    def enrol() -> None:
        try:
            with resources.turn():
                begun.set()
                go_on.wait(280)
                service.enroll("New", service.look(photographs))
        except Exception as error:
            faults.append(f"{type(error).__name__}: {error}")

    faults: list[str] = []
    enrolling = threading.Thread(target=enrol)
    enrolling.start()
    begun.wait(280)
    soon = threading.Timer(0.2, go_on.set)
    soon.start()
    page = open_page("people")
    for thread in (soon, enrolling):
        thread.join(280)
    yield from faults
    if "New" not in said_in(page.run()):
        yield "nobody is there after being enrolled"
