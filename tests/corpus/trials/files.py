"""Odd and bad files through the library and the command line; to the page come bytes alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from data.errors import AppError
from data.images import find_images
from recognition.results import FailedImage, Identification

from ..bench import PERSON, REFUSALS, Bench, Trial, line_faults, message_faults
from ..files import File
from .images import SMALL


def through_library(bench: Bench, items: Sequence[File], places: Sequence[Path]) -> Iterator[str]:
    for item, place in zip(items, places, strict=True):
        path = place / item.path
        with bench.service() as service:
            found, good = service.identify([path, bench.other_photograph])
            if not isinstance(good, Identification) or good.faces[0].person != PERSON:
                yield f"what came behind it was not seen: {good}"
            if not item.accept:
                if not isinstance(found, FailedImage):
                    yield f"taken: {found}"
                else:
                    yield from message_faults(found.error)
                if service.enroll("New", [path]).enrolled:
                    yield "enrolled"
                yield from _not_painted(bench, path)
            elif not path.is_dir() and isinstance(found, FailedImage):
                yield f"refused: {found.error}"
            elif path.is_dir() and len(find_images([path])) != 1:
                yield f"{find_images([path])} found"


def through_command_line(
    bench: Bench, items: Sequence[File], places: Sequence[Path]
) -> Iterator[str]:
    for item, place in zip(items, places, strict=True):
        path, good, out = str(place / item.path), str(bench.other_photograph), bench.out / "o.png"
        seen = bench.say("identify", path)
        if item.accept:
            if seen.code or seen.out.count("\n") != 2 or PERSON not in seen.out:
                yield f"refused, or not a line: {seen}"
            enrolled = bench.say("enroll", path, "--name", "New", "--any-quality")
            if "already" not in enrolled.err and enrolled.code:
                yield f"not enrolled: {enrolled}"
            continue
        yield from line_faults(seen, code=item.code)
        yield from line_faults(bench.say("enroll", path, "--name", "New"), code=item.code)
        yield from line_faults(bench.say("verify", path, good), code=REFUSALS)
        painted = bench.say("stylize", path, good, "-o", str(out), "--plan")
        yield from line_faults(painted, code=REFUSALS)
        yield from _among_others(bench, item, path, good)


DOORS: dict[str, Trial] = {"library": through_library, "command line": through_command_line}


def _among_others(bench: Bench, item: File, path: str, good: str) -> Iterator[str]:
    """Whether the rest goes on where the path is there, and nothing begins where it is not."""
    both = bench.say("identify", path, good)
    if item.code == 1 or item.name == "folder":
        yield from line_faults(both, code=1)
        if PERSON not in both.out:
            yield f"what came behind it was not seen: {both}"
    else:
        yield from line_faults(both, code=2)


def _not_painted(bench: Bench, path: Path) -> Iterator[str]:
    try:
        bench.style.draft(path, [path], SMALL)
    except AppError as error:
        yield from message_faults(str(error))
    else:
        yield "painted"
