"""Data sets through the library and the command line; nobody trains from the page."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from data.errors import DatasetError

from ..bench import Bench, Trial, line_faults, message_faults
from ..datasets import Dataset
from ..lines import RECIPE
from .training import tiny_network

_SEARCHED = ("one photograph each, a loss of pairs", "over a fifth corrupt", "one person")
"""Some of those refused, on which a search is tried as well."""


def through_library(
    bench: Bench, items: Sequence[Dataset], places: Sequence[Path]
) -> Iterator[str]:
    """There is no face on any photograph: nobody may be enrolled, and each is listed."""
    for place in places:
        before = bench.state()
        try:
            with bench.service() as service:
                enrolment = service.enroll_folder(place / "people")
            if enrolment.enrolled:
                yield f"enrolled: {enrolment.enrolled}"
            for skipped in enrolment.skipped:
                if not skipped.reason.isprintable():
                    yield f"no reason of one line: {skipped.reason!r}"
        except DatasetError as error:
            yield from message_faults(str(error))
        if bench.state() != before:
            yield "something has been changed"


def through_command_line(
    bench: Bench, items: Sequence[Dataset], places: Sequence[Path]
) -> Iterator[str]:
    for item, place in zip(items, places, strict=True):
        recipe, run = bench.out / "recipe.toml", bench.out / "run"
        recipe.write_text(RECIPE)
        with tiny_network():
            said = bench.say(
                "train", str(recipe), "--data", str(place / "people"), "--out", str(run),
                "--device", "cpu", *item.words,
            )  # fmt: skip
            if not item.accept:
                yield from line_faults(said, code=2)
            if item.name in _SEARCHED:
                searched = bench.say(
                    "tune", str(recipe), "--data", str(place / "people"), "--out", str(run),
                    "--search", "optimizer.rate=0.001..0.1", "--trials", "1", "--device", "cpu",
                )  # fmt: skip
                yield from line_faults(searched, code=2)
        recipe.unlink()
        if not item.accept:
            continue
        if said.code or not (run / "best.safetensors").is_file():
            yield f"not trained on: {said}"
        if item.said not in said.err:
            yield f"{item.said!r} is not said: {said.err}"
        if not all(line.startswith("warning: ") for line in said.err.splitlines()):
            yield f"more than warnings: {said.err!r}"


DOORS: dict[str, Trial] = {"library": through_library, "command line": through_command_line}
