"""Files of weights through every door."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

from backbones.weights import load_backbone
from data.errors import AppError, WeightsError
from recognition.service import RecognitionService
from ui.page import resources

from ..bench import REFUSALS, Bench, Trial, line_faults, message_faults
from ..checkpoints import PAYLOAD, Checkpoint
from ..pages import fill_and_enrol, open_page, said_in

_FOR_PICTURES = "for-pictures.safetensors"  # good weights, yet for no face


def through_library(
    bench: Bench, items: Sequence[Checkpoint], places: Sequence[Path]
) -> Iterator[str]:
    for item, place in zip(items, places, strict=True):
        path = place / item.name
        if item.name != _FOR_PICTURES:
            yield from _refused(item, lambda path=path: load_backbone(None, weights=path))
        with RecognitionService(home=bench.home, weights=path, device="cpu") as service:
            yield from _refused(item, lambda s=service: s.enroll("New", [bench.other_photograph]))
        yield from _payloads()


def through_command_line(
    bench: Bench, items: Sequence[Checkpoint], places: Sequence[Path]
) -> Iterator[str]:
    good, out = str(bench.other_photograph), str(bench.out / "o.png")
    for item, place in zip(items, places, strict=True):
        weights = ("--weights", str(place / item.name))
        seen = bench.say("identify", good, *weights)
        if item.accept:
            if seen.code:
                yield f"refused: {seen}"
            continue
        yield from line_faults(seen, code=REFUSALS)
        yield from line_faults(bench.say("verify", good, good, *weights), code=REFUSALS)
        enrolled = bench.say("enroll", good, "--name", "New", *weights)
        yield from line_faults(enrolled, code=REFUSALS)
        if item.name != _FOR_PICTURES:
            painted = bench.say("stylize", good, good, "-o", out, "--plan", *weights)
            yield from line_faults(painted, code=REFUSALS)
        yield from _payloads()


def through_page(
    bench: Bench, items: Sequence[Checkpoint], places: Sequence[Path]
) -> Iterator[str]:
    for item, place in zip(items, places, strict=True):
        service = RecognitionService(home=bench.home, weights=place / item.name, device="cpu")
        with service, patch.object(resources, "recognition", lambda service=service: service):
            page = open_page("people")
            said = said_in(page)
            photograph = ("a.png", bench.other_photograph.read_bytes())
            yield from fill_and_enrol(page, "New", [photograph])
        if bool(page.error) == item.accept:
            yield f"{item.name}: {said[-300:]}"
        yield from _payloads()


DOORS: dict[str, Trial] = {
    "library": through_library,
    "command line": through_command_line,
    "page": through_page,
}


def _refused(item: Checkpoint, call: Callable[[], object]) -> Iterator[str]:
    try:
        call()
    except AppError as error:
        if item.accept:
            yield f"refused: {error}"
        if not isinstance(error, WeightsError) and error.exit_code != 2:
            yield f"no error of weights: {error!r}"
        yield from message_faults(str(error))
    else:
        if not item.accept:
            yield "taken"


def _payloads() -> Iterator[str]:
    if Path(PAYLOAD).exists():
        Path(PAYLOAD).unlink()
        yield "the payload ran"
