"""Command lines with arguments out of range. All are refused: exit code 2, and nothing is made.

Of their words, `{photo}`, `{data}`, `{recipe}`, `{run}`, `{out}`, `{home}` and `{missing}` stand
for places.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .datasets import make_people
from .item import SEED, Item
from .pictures import encode, portrait

RECIPE = (
    'backbone = "tiny"\nembedding_size = 16\nepochs = 1\n[batch]\npeople = 2\nphotographs = 2\n'
)

_PAINT = "stylize {photo} {photo} -o {out} "
_TRAIN = "train {recipe} --device cpu "
_USUAL_TRAIN = _TRAIN + "--data {data} --out {run} "

OPTIONS = {
    _PAINT: (
        "--steps -1", "--steps 0", "--steps 1000000000000", "--steps one", "--size 0",
        "--size 1000000", "--size -5", "--learning-rate nan", "--learning-rate -1",
        "--learning-rate inf", "--learning-rate 0", "--seed text", "--seed -1",
        "--strength 2", "--strength nan", "--style-weight -1", "--content-weight inf",
        "--tv-weight nan", "--style-scale 0", "--colors hope", "--quality best", "--depth 7",
        "--tile -3", "--memory 0", "--memory nan", "--no-such-flag", "--device tpu",
        "--model no-such-network", "--weights {missing}", "--region {missing}={photo}",
        "--like {missing}", "--grid steps=a:b", "--preview {photo}", "--style-mix nan",
        "--first-scale 0", "--style-taps nowhere", "--style-tap-weights -1",
    ),
    _USUAL_TRAIN: (
        "--epochs -1", "--epochs 0", "--epochs 1000000000000", "--rate nan", "--rate -1",
        "--rate inf", "--rate 0", "--seed text", "--seed -1", "--loss hope",
        "--backbone no-such-network", "--device tpu", "--no-such-flag", "--set batch.people=1000",
        "--set batch.people=0", "--set batch.photographs=1000000", "--set embedding_size=0",
        "--set embedding_size=1000000", "--set nothing", "--set no.such=1", "--warmup 2",
        "--patience -1", "--teacher {missing}", "--init {missing}",
    ),
    "identify {photo} ": (
        "--top-k 0", "--top-k -1", "--threshold 2", "--threshold nan", "--threshold text",
        "--match hope", "--no-such-flag", "--weights {missing}", "--device tpu",
    ),
    "enroll {photo} --name New ": (
        "--face 0", "--face -1", "--face text", "--expires soon", "--expires 1999-01-01",
        "--no-such-flag", "--home {photo}", "--gallery {photo}", "--gallery ftp://host/name",
    ),
    "verify {photo} {photo} ": ("--threshold -2", "--threshold inf"),
    "calibrate ": (
        "--fpir 0", "--fpir 2", "--far nan", "--fpir text", "--prior 1", "--data {missing}",
    ),
    "tune {recipe} --data {data} --out {run} ": (
        "--trials 0", "--trials -1", "--parallel 0", "--search nothing", "--search no.such=1..2",
        "--search optimizer.rate=2..1", "--every 0",
    ),
    "app ": ("--port 0", "--port 99999", "--port text"),
}  # fmt: skip

WHOLE = (
    "no-such-command",
    "enroll",
    "enroll {missing} --name New",
    "enroll {photo}",
    "enroll {missing}",
    "identify {missing}",
    "detect {missing} {photo}",
    "verify {photo}",
    "verify {photo} {missing}",
    "stylize",
    "stylize {photo}",
    "stylize {photo} {photo}",
    "stylize {missing} {photo} -o {out}",
    "stylize {photo} {missing} -o {out}",
    "stylize {photo} preset:hope -o {out}",
    "stylize {photo} {photo} -o {photo}",
    "stylize {photo} {photo} -o {out}.bmp2",
    "stylize {photo} {photo} -o {out}/below/nothing.png",
    "stylize {photo} {photo} -o /proc/painted.png",
    "stylize {photo} {photo} -o {data}",
    _TRAIN + "--data {missing} --out {run}",
    _TRAIN + "--data {data} --out /proc/run",
    _TRAIN + "--data {data} --out {data}",
    _TRAIN + "--data {data} --out {photo}",
    "train {missing} --data {data} --out {run}",
    "train {photo} --data {data} --out {run}",
    "align {missing} {run}",
    "align {data} {data}",
    "align {data} {photo}",
    "align {data} {run} --workers 0",
    "align {data} {run} --format gif",
    "people rename Nobody",
    "gallery restore {missing}",
    "gallery import {missing}",
    "gallery copy {home} nowhere://x",
    "evaluate lfw --data {missing}",
    "evaluate identify {missing}",
    "models download no-such-network --yes",
    "--home {photo} people list",
)

RECIPES = {
    "size 0": "embedding_size = 0",
    "size of a million": "embedding_size = 1000000",
    "more people than there are": "[batch]\npeople = 1000",
    "nobody": "[batch]\npeople = 0",
    "a batch over the data set": "[batch]\npeople = 2\nphotographs = 1000000",
    "quality 0": "[augment]\njpeg_quality = 0",
    "NaN": "[augment]\nwarp = nan",
    "beyond a turn": "[augment]\nrotate = 5",
    "no one kept out": '[data]\nsplit = [1, 0, 0]\nfolder = "{data}"',
    "validated on itself": '[data]\nfolder = "{data}"\nvalidation = "{data}"',
    "validated on nothing": '[data]\nfolder = "{data}"\nvalidation = "/no/such/folder"',
    "people of no list": '[data]\nfolder = "{data}"\nidentities = "/no/such/list"',
    "unknown key": "hope = 1",
    "wrong type": 'epochs = "many"',
    "no TOML": "no toml at all",
    "a key twice": "epochs = 1\nepochs = 2",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line(Item):
    """The words of a command line.

    Attributes:
        words: The words after `likeness`.
        recipe: What its recipe says.
    """

    words: tuple[str, ...]
    recipe: str


def lines(seed: int = SEED) -> Iterator[Line]:
    """Yield every item of this section."""
    for command, options in OPTIONS.items():
        for option in options:
            yield _line(f"{command.split()[0]} {option}", command + option)
    for text in WHOLE:
        yield _line(text, text)
    for name, recipe in RECIPES.items():
        whole = recipe if "[batch]" in recipe else f'backbone = "tiny"\n{recipe}'
        yield _line(f"recipe: {name}", _USUAL_TRAIN, whole)


def _line(name: str, text: str, recipe: str = RECIPE) -> Line:
    def write(folder: Path) -> None:
        (folder / "photograph.png").write_bytes(encode(portrait(), "PNG"))
        (folder / "recipe.toml").write_text(recipe)
        (folder / "line.txt").write_text(f"likeness {text}\n")
        if "{data}" in text + recipe:
            make_people(folder / "people")

    return Line(
        section="command line", name=name, accept=False, why=f"likeness {text}", write=write,
        words=tuple(text.split()), recipe=recipe,
    )  # fmt: skip
