"""Command lines; there is one door for them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..bench import Bench, Trial, line_faults
from ..lines import Line
from .training import tiny_network


def through_command_line(
    bench: Bench, items: Sequence[Line], places: Sequence[Path]
) -> Iterator[str]:
    for item, place in zip(items, places, strict=True):
        recipe = bench.out / "recipe.toml"
        words = {
            "{photo}": place / "photograph.png",
            "{data}": place / "people",
            "{recipe}": recipe,
            "{run}": bench.out / "run",
            "{out}": bench.out / "painted.png",
            "{home}": bench.home / "gallery",
            "{missing}": place / "missing",
        }

        def put_in(text: str, words: dict[str, Path] = words) -> str:
            for word, path in words.items():
                text = text.replace(word, str(path))
            return text

        recipe.write_text(put_in(item.recipe))
        with tiny_network():
            said = bench.say(*map(put_in, item.words))
        recipe.unlink()
        yield from line_faults(said, code=2)
        if said.out:
            yield f"printed: {said.out[:200]!r}"


DOORS: dict[str, Trial] = {"command line": through_command_line}
