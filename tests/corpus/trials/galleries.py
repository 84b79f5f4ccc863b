"""Broken galleries through every door."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

from data.errors import GalleryError
from recognition.gallery.gallery import Gallery
from ui.page import resources

from ..bench import Bench, Trial, line_faults, message_faults
from ..galleries import Broken, embedding_of, model
from ..pages import open_page, sound


def through_library(bench: Bench, items: Sequence[Broken], places: Sequence[Path]) -> Iterator[str]:
    for item, place in zip(items, places, strict=True):
        folder = place / "gallery"
        try:
            with bench.service(gallery=str(folder)) as service:
                names = tuple(person.name for person in service.people.summaries())
                if names != item.people and item.accept:
                    yield f"{names} are enrolled"
                service.identify([bench.photograph])
            if not item.accept:
                yield "taken"
        except GalleryError as error:
            if item.accept:
                yield f"refused: {error}"
            yield from message_faults(str(error))
        if item.accept:
            yield from _searched(folder, item)
        else:
            yield from _not_enrolled(bench, folder)


def through_command_line(
    bench: Bench, items: Sequence[Broken], places: Sequence[Path]
) -> Iterator[str]:
    for _, (item, place) in enumerate(zip(items, places, strict=True)):
        gallery = ("--gallery", str(place / "gallery"))
        seen = bench.say("identify", str(bench.photograph), *gallery)
        listed = bench.say("people", "list", *gallery)
        checked = bench.say("gallery", "check", *gallery)
        if item.accept:
            if seen.code or seen.err or "unknown" not in seen.out:
                yield f"refused: {seen}"
            if [line.split("\t")[0] for line in listed.out.splitlines()[1:]] != list(item.people):
                yield f"listed: {listed}"
            if checked.code:
                yield f"not sound: {checked}"
            continue
        yield from line_faults(seen, code=1)
        enrolled = bench.say("enroll", str(bench.photograph), "--name", "New", *gallery)
        yield from line_faults(enrolled, code=1)
        for said in (listed, checked):
            if said.code:
                yield from line_faults(said, code=1, lines=len(said.err.splitlines()))


def through_page(bench: Bench, items: Sequence[Broken], places: Sequence[Path]) -> Iterator[str]:
    for item, place in zip(items, places, strict=True):
        with (
            patch.dict(os.environ, {"LIKENESS_GALLERY": str(place / "gallery")}),
            bench.service() as service,
            patch.object(resources, "recognition", lambda service=service: service),
        ):
            refused = bool(open_page("people").error)
            page = open_page("identify")
            if page.file_uploader:
                photograph = ("a.png", bench.photograph.read_bytes(), "image/png")
                page.file_uploader[0].set_value([photograph])
                refused |= bool(sound(page.run()).error)
            refused |= bool(page.error)
        if refused == item.accept:
            yield f"{item.name}: {[error.value for error in page.error]}"


DOORS: dict[str, Trial] = {
    "library": through_library,
    "command line": through_command_line,
    "page": through_page,
}


def _searched(folder: Path, item: Broken) -> Iterator[str]:
    """Whether everybody is found, and nobody taken for another."""
    with Gallery.open(folder) as gallery:
        for name in item.people:
            ((match,),) = gallery.search(embedding_of(name, model().dimension)[None], 1)
            if match.person != name:
                yield f"{name} is taken for {match.person}"


def _not_enrolled(bench: Bench, folder: Path) -> Iterator[str]:
    """Whether somebody could be put into a gallery that is not sound."""
    try:
        with bench.service(gallery=str(folder)) as service:
            service.enroll("New", [bench.photograph])
    except GalleryError as error:
        yield from message_faults(str(error))
    else:
        yield "somebody could be enrolled"
