"""Picture files through every door."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from data.errors import AppError, ImageError
from data.images import load_image, save_image
from recognition.results import FailedImage, Identification
from style.config import StyleConfig
from ui.page.fields import PICTURE_KINDS

from ..bench import PERSON, Bench, Trial, line_faults, message_faults
from ..images import Picture
from ..pages import ISOLATES, fill_and_enrol, open_page, receipt_of, sound
from ..pictures import portrait

SMALL = StyleConfig(size=64)


def through_library(
    bench: Bench, items: Sequence[Picture], places: Sequence[Path]
) -> Iterator[str]:
    for item, place in zip(items, places, strict=True):
        path = place / item.name
        with bench.service() as service:
            found, good = service.identify([path, bench.other_photograph])
            if not isinstance(good, Identification) or good.faces[0].person != PERSON:
                yield f"what came behind it was not seen: {good}"
            if not item.accept:
                yield from _refusal(item, found)
                enrolment = service.enroll("New", [path])
                if enrolment.enrolled or len(enrolment.skipped) != 1:
                    yield f"enrolled: {enrolment}"
                yield from _refused_by(lambda path=path: bench.style.draft(path, [path], SMALL))
            elif isinstance(found, FailedImage):
                yield f"refused: {found.error}"
            else:
                if bool(found.warnings) != item.warned:
                    yield f"what is odd about it: {found.warnings}"
                yield from _likeness(bench, item, path)
                if item.clear and not (np.asarray(load_image(path))[:, 0] == 255).all():
                    yield "colour under alpha 0 can be seen"
                painted = bench.style.draft(path, [bench.photograph], SMALL)
                service.enroll("New", [path], any_quality=True)
                save_image(painted, bench.out / "painted.png")
                yield from _leaks(bench, item)


def through_command_line(
    bench: Bench, items: Sequence[Picture], places: Sequence[Path]
) -> Iterator[str]:
    for item, place in zip(items, places, strict=True):
        path, good, out = str(place / item.name), str(bench.other_photograph), bench.out / "o.png"
        seen = bench.say("identify", path, good)
        if f"\t{PERSON}\t" not in seen.out.splitlines()[-1]:
            yield f"what came behind it was not seen: {seen}"
        if not item.accept:
            yield from line_faults(seen, code=1)
            if item.name not in seen.err:
                yield f"the line does not name it: {seen.err!r}"
            yield from line_faults(bench.say("enroll", path, "--name", "New"), code=1)
            yield from line_faults(bench.say("verify", good, path), code=1)
            painted = bench.say("stylize", path, good, "-o", str(out), "--plan")
            yield from line_faults(painted, code=1)
        elif seen.code or not _as_warned(item, seen.err):
            yield f"refused: {seen}"
        elif item.secret:
            bench.say("enroll", path, "--name", "New", "--any-quality")
            words = ("--size", "64", "--steps", "1", "--draft")
            painted = bench.say("stylize", path, good, "-o", str(out), *words)
            if painted.code:
                yield f"not painted: {painted}"
            yield from _leaks(bench, item)


def through_page(bench: Bench, items: Sequence[Picture], places: Sequence[Path]) -> Iterator[str]:
    """Upload all of them at once to be enrolled, and one after the other for something else."""
    # What is called like no picture does not even get to the page.
    names = [
        item.name if item.name.endswith(PICTURE_KINDS) else f"{item.name}.jpg" for item in items
    ]
    uploads = [
        (name, (place / item.name).read_bytes())
        for name, item, place in zip(names, items, places, strict=True)
    ]
    page = open_page("people")
    yield from fill_and_enrol(page, "New", uploads)
    receipt = receipt_of(page)
    refused = [error.value.translate(ISOLATES) for error in page.error]
    for item, name in zip(items, names, strict=True):
        line = receipt.get(name) or next((text for text in refused if name in text), "")
        if not line:
            yield f"{item.name}: no line tells what became of it: {receipt}"
        elif item.accept and "cannot read" in line:
            yield f"{item.name}: refused: {line}"
        elif not item.accept and ":material/block:" not in line and "left out" not in line:
            yield f"{item.name}: not refused: {line}"
    for name in ("verify", "stylize"):
        yield from _shown_on(name, items, uploads)


def _shown_on(
    name: str, items: Sequence[Picture], uploads: Sequence[tuple[str, bytes]]
) -> Iterator[str]:
    """What is wrong with how another page takes them; of those accepted, some are tried."""
    page = open_page(name)
    some = list(zip(items, uploads, strict=True))
    for item, (called, content) in some[:: 12 if items[0].accept else 1]:
        page.file_uploader[0].set_value((called, content, "image/png"))
        errors = [error.value for error in sound(page.run()).error]
        if bool(errors) == item.accept:
            yield f"{item.name}: on the page {name}: {errors}"
        if any("\n" in error for error in errors):
            yield f"{item.name}: on the page {name}, more than one line: {errors}"


DOORS: dict[str, Trial] = {
    "library": through_library,
    "command line": through_command_line,
    "page": through_page,
}


def _as_warned(item: Picture, said: str) -> bool:
    """Whether stderr holds a warning about a picture where there is to be one, and nothing else."""
    lines = said.splitlines()
    about = [line for line in lines if line.startswith("warning: ") and item.name in line]
    return len(lines) == len(about) == item.warned


def _likeness(bench: Bench, item: Picture, path: Path) -> Iterator[str]:
    """What is wrong with the face in a picture, against the one that the picture was made of."""
    if item.likeness is None:
        return
    faces, reference = bench.pipeline.faces([load_image(path), portrait()])
    if len(faces) != 1:
        yield f"{len(faces)} faces found"
    else:
        likeness = float(np.dot(faces[0].embedding, reference[0].embedding))
        if likeness < item.likeness:
            yield f"likeness {likeness:.3f}, expected {item.likeness}"


def _leaks(bench: Bench, item: Picture) -> Iterator[str]:
    """Where bytes are found that should have been left behind."""
    if item.secret is not None:
        for path in (*bench.home.rglob("*"), *bench.out.rglob("*")):
            if path.is_file() and item.secret in path.read_bytes():
                yield f"{item.secret!r} is in {path.name}"


def _refusal(item: Picture, found: object) -> Iterator[str]:
    if not isinstance(found, FailedImage):
        yield f"taken: {found}"
        return
    if item.name not in found.error:
        yield f"the message does not name it: {found.error}"
    yield from message_faults(found.error)


def _refused_by(call: Callable[[], object]) -> Iterator[str]:
    try:
        call()
    except ImageError as error:
        yield from message_faults(str(error))
    except AppError as error:
        yield f"not an error of the picture: {error!r}"
    else:
        yield "painted"
