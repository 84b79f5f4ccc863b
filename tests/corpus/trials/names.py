"""Names of people through every door."""

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from streamlit.testing.v1 import AppTest

from data.errors import ArgumentError
from ui import wording

from ..bench import PERSON, Bench, Trial, line_faults, message_faults
from ..names import Name
from ..pages import ISOLATES, fill_and_enrol, open_page

_MARKUP = set("<>[]()*!:$`{}_~#")


def through_library(bench: Bench, items: Sequence[Name], places: Sequence[Path]) -> Iterator[str]:
    for item in items:
        with bench.service() as service:
            try:
                service.enroll(item.text, [bench.other_photograph])
                service.people.edit.rename(_kept(item), "Bob")
                service.people.edit.rename("Bob", item.text)
                if _kept(item) not in [person.name for person in service.people.summaries()]:
                    yield f"not enrolled: {service.people.summaries()}"
                service.people.edit.delete(item.text)
                service.people.erase(item.text)
                if not item.accept:
                    yield "taken"
            except ArgumentError as error:
                if item.accept:
                    yield f"refused: {error}"
                yield from message_faults(str(error))
            if not item.accept:
                yield from _not_renamed(bench, item)
    yield from _strays(bench)


def through_command_line(
    bench: Bench, items: Sequence[Name], places: Sequence[Path]
) -> Iterator[str]:
    for item in items:
        enrolled = bench.say("enroll", str(bench.other_photograph), f"--name={item.text}")
        if not item.accept:
            yield from line_faults(enrolled, code=2)
            yield from line_faults(bench.say("people", "rename", PERSON, "--", item.text), code=2)
            continue
        if enrolled.code or enrolled.out.count("\n") != 1:
            yield f"not enrolled: {enrolled}"
        listed = json.loads(bench.say("people", "list", "--json").out)
        if _kept(item) not in [person["name"] for person in listed]:
            yield f"not listed: {listed}"
        table = bench.say("people", "list").out
        if table.count("\n") != 1 + len(listed) or "\x1b" in table:
            yield f"no line a person: {table!r}"
        erased = bench.say("people", "erase", "--yes", "--", item.text)
        if erased.code or erased.err:
            yield f"not erased: {erased}"
    yield from _strays(bench)


def through_page(bench: Bench, items: Sequence[Name], places: Sequence[Path]) -> Iterator[str]:
    """Type all of them into one page, one after the other."""
    page = open_page("people")
    for item in items:
        if not _can_be_sent(item.text):
            continue
        with bench.service() as service:
            before = {person.name for person in service.people.summaries()} - {_kept(item)}
        named = f"{item.text[:50]}.png".replace("\0", "").replace("/", "")
        photograph = bench.photographs(len(before))
        yield from fill_and_enrol(page, item.text, [(named, photograph)])
        if item.accept == bool(page.error):
            yield f"{item.name}: {[error.value for error in page.error]}"
        yield from (f"{item.name}: {fault}" for fault in _markup_faults(page, item.text))
        with bench.service() as service:
            after = {person.name for person in service.people.summaries()}
        if after - before != ({_kept(item)} if item.accept else set()):
            yield f"{item.name}: enrolled {after - before}"
    yield from _strays(bench)


DOORS: dict[str, Trial] = {
    "library": through_library,
    "command line": through_command_line,
    "page": through_page,
}


def _kept(item: Name) -> str:
    return unicodedata.normalize("NFC", item.text).strip()


def _can_be_sent(text: str) -> bool:
    """Whether a browser can send a text at all."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _markup_faults(page: AppTest, text: str) -> Iterator[str]:
    """Where a name is not shown as it was typed."""
    # A colon that a blank follows, and a parenthesis behind one, are the page's own: "(good)".
    shown, marks = wording.shorten(text), _MARKUP.intersection(text)
    own = {":": r":(?=\S)", "(": r"(?<!\s)\(", ")": r"(?<!\w)\)"}
    active = re.compile("|".join(own.get(mark, re.escape(mark)) for mark in marks) or "$^")
    for element in [*page.markdown, *page.caption, *page.success, *page.error, *page.warning]:
        if getattr(element, "allow_html", False):
            yield f"HTML is allowed: {element.value[:200]!r}"
        value = re.sub(r"^:material/\w+: ", "", element.value)
        if shown in value.translate(ISOLATES) and active.search(re.sub(r"\\.", "", value)):
            yield f"not shown as text: {element.value[:200]!r}"


def _not_renamed(bench: Bench, item: Name) -> Iterator[str]:
    """Whether somebody can get the name afterwards."""
    with bench.service() as service:
        try:
            service.people.edit.rename(PERSON, item.text)
        except ArgumentError as error:
            yield from message_faults(str(error))
        else:
            yield "given to somebody"


def _numbers_alone(rows: list[list[object]]) -> bool:
    """Whether each row of a journal of the erased is a gallery's origin, a kind and a number."""
    return all(
        isinstance(origin, str)
        and re.fullmatch(r"[0-9a-f-]{8,40}", origin)
        and kind in ("person", "template")
        and type(row) is int
        for origin, kind, row in rows
    )


def _strays(bench: Bench) -> Iterator[str]:
    """Files that a name has made."""
    known = {"gallery", "gallery/gallery.sqlite", "gallery/index", "jobs"}
    known |= {"gallery/erased.json"}  # the numbers of whom was erased, and no name
    for path in bench.home.rglob("*"):
        name = path.relative_to(bench.home).as_posix()
        if name not in known and "/index/" not in name and not name.endswith(("-wal", "-shm")):
            yield f"a file of the name {name!r}"
    journal = bench.home / "gallery" / "erased.json"
    if journal.exists() and not _numbers_alone(json.loads(journal.read_text())):
        yield f"more than numbers of the erased: {journal.read_text()[:200]!r}"
