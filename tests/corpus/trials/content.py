"""Photographs of what is hard to recognise, through every door."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from recognition.results import FailedImage

from ..bench import PERSON, Bench, Trial, line_faults, message_faults
from ..content import Content
from ..pages import fill_and_enrol, open_page, receipt_of, sound


def through_library(
    bench: Bench, items: Sequence[Content], places: Sequence[Path]
) -> Iterator[str]:
    for item, place in zip(items, places, strict=True):
        path = place / "photograph.png"
        with bench.service() as service:
            (found,) = service.identify([path])
            if isinstance(found, FailedImage):
                yield f"refused: {found.error}"
                continue
            yield from _people_faults(item, [face.person for face in found.faces])
            enrolment = service.enroll("New", [path])
            if bool(enrolment.enrolled) != item.accept:
                yield f"enrolled: {enrolment}"
            for skipped in enrolment.skipped:
                if not skipped.reason.isprintable():
                    yield f"no reason of one line: {skipped.reason!r}"
            if not item.accept and not enrolment.skipped:
                yield "left out without a reason"


def through_command_line(
    bench: Bench, items: Sequence[Content], places: Sequence[Path]
) -> Iterator[str]:
    for item, place in zip(items, places, strict=True):
        path = str(place / "photograph.png")
        seen = bench.say("identify", path, "--json")
        if seen.code or seen.err:
            yield f"not looked at: {seen}"
            continue
        yield from _people_faults(item, [f["person"] for f in json.loads(seen.out)[0]["faces"]])
        enrolled = bench.say("enroll", path, "--name", "New")
        if item.accept and enrolled.code:
            yield f"not enrolled: {enrolled}"
        elif not item.accept:
            yield from line_faults(enrolled, code=1)
        if item.faces == (0, 0):
            verified = bench.say("verify", path, str(bench.photograph))
            yield from line_faults(verified, code=1)
            yield from message_faults(verified.err.strip())


def through_page(bench: Bench, items: Sequence[Content], places: Sequence[Path]) -> Iterator[str]:
    files = [
        (f"{number}.png", (place / "photograph.png").read_bytes())
        for number, place in enumerate(places)
    ]
    page = open_page("people")
    yield from fill_and_enrol(page, "New", files)
    for number, item in enumerate(items):
        line = receipt_of(page).get(f"{number}.png", "nothing")
        if (":material/block:" in line) == item.accept:
            yield f"{item.name}: {line}"
    page = open_page("identify")
    page.file_uploader[0].set_value([(name, file, "image/png") for name, file in files])
    sound(page.run())
    if page.error:
        yield f"not looked at: {[error.value for error in page.error]}"


DOORS: dict[str, Trial] = {
    "library": through_library,
    "command line": through_command_line,
    "page": through_page,
}


def _people_faults(item: Content, people: Sequence[str | None]) -> Iterator[str]:
    """What is wrong with who was seen."""
    least, most = item.faces
    if not least <= len(people) <= most:
        yield f"{len(people)} faces found, expected {least} to {most}"
    if item.named and PERSON not in people:
        yield f"not known: {people}"
