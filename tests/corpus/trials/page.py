"""What is done with the page; there is one door for it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

from ui.page import resources

from ..bench import Bench, Trial
from ..page import LIMIT, TAKEN, Deed, OnPage, uploads_of
from ..pages import fill, fill_and_enrol, open_page, receipt_of, said_in, sound

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


def _done(deed: Deed, service: object) -> Iterator[str]:
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


def _reloaded(service: object) -> Iterator[str]:
    """Enrol somebody slowly, and open the page anew meanwhile, which waits for its turn."""
    begun, go_on = threading.Event(), threading.Event()
    enroll = service.enroll  # type: ignore[attr-defined]

    def slowly(*given: object, **more: object) -> object:
        begun.set()
        go_on.wait(60)
        return enroll(*given, **more)

    def enrol() -> None:
        faults.extend(fill_and_enrol(open_page("people"), "New", uploads_of(Deed.RELOAD)))

    def caught(do: Callable[[], object]) -> None:
        try:
            do()
        except Exception as error:
            faults.append(f"{type(error).__name__}: {error}")

    faults: list[str] = []
    with patch.object(service, "enroll", slowly):
        threads = [
            threading.Thread(target=caught, args=(do,))
            for do in (enrol, lambda: open_page("people"))
        ]
        threads[0].start()
        if not begun.wait(60):
            yield "nothing was enrolled"
        threads[1].start()
        threads[1].join(0.2)
        go_on.set()
        for thread in threads:
            thread.join(60)
    yield from faults
    if "New" not in said_in(open_page("people")):
        yield "nobody is there after being enrolled"
