"""Every configuration refuses what makes no sense, in one line with the key and what is right."""

import dataclasses
import math
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest

from data.augmentation import Augmentation
from data.config import (
    Configuration,
    File,
    Flag,
    Within,
    changed,
    joined,
    read,
    to_toml,
)
from data.errors import ArgumentError
from recognition.detection.training import config as detector
from recognition.detection.training.config import DetectorTrainingConfig
from recognition.learning import config as recogniser
from recognition.learning.config import TrainingConfig
from style.config import StyleConfig
from style.training import config as style
from style.training.config import StyleTrainingConfig

RECIPES = Path(__file__).resolve().parents[2] / "recipes"

REQUIRED: dict[type, dict[str, Any]] = {
    StyleConfig: {},
    Augmentation: {},
    TrainingConfig: {"data": {"folder": "d"}, "out": "r"},
    StyleTrainingConfig: {
        "task": "network",
        "teacher": "vgg19",
        "data": {"photographs": "d"},
        "out": "r",
    },
    DetectorTrainingConfig: {
        "out": "r",
        "teacher": "t",
        "sources": [{"photographs": "d"}],
        "validation": {"photographs": "v", "annotations": "a"},
    },
}


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel(Configuration):
    name: str
    spokes: Annotated[int, Within(1, 100)] = 20
    grip: Annotated[float, Within(0, 1, above=True)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cart(Configuration):
    wheels: tuple[Wheel, ...] = (Wheel(name="front"),)
    best: Wheel = Wheel(name="spare")
    colour: Colour = Colour.RED
    folds: Flag = False
    size: tuple[Annotated[float, Within(0, 10)], Annotated[float, Within(0, 10)]] = (1.0, 2.0)
    plan: File | None = None
    plans: tuple[File, ...] = ()

    def _check(self) -> None:
        if self.folds and len(self.wheels) > 2:
            raise ArgumentError("a cart on more than 2 wheels does not fold")


def test_values_come_out_as_their_types_have_them(tmp_path: Path) -> None:
    cart = read(
        Cart,
        {
            "wheels": [{"name": "front", "grip": 1}, {"name": "back"}],
            "colour": "green",
            "size": [1, 2.5],
            "plan": "below/../plan.txt",
            "plans": ["a", "/b"],
        },
        tmp_path,
    )
    assert cart.wheels == (Wheel(name="front", grip=1.0), Wheel(name="back"))
    assert cart.colour is Colour.GREEN
    assert [type(side) for side in cart.size] == [float, float]
    assert (cart.plan, cart.plans) == (tmp_path / "plan.txt", (tmp_path / "a", Path("/b")))
    assert read(Cart, typing.cast(Any, _table(to_toml(cart))), tmp_path) == cart


def test_python_gets_the_same_checks_and_the_same_types() -> None:
    cart = Cart(colour=typing.cast(Any, "green"), size=typing.cast(Any, [3, 4]))
    assert (cart.colour, cart.size) == (Colour.GREEN, (3.0, 4.0))
    with pytest.raises(ArgumentError, match="does not fold"):
        dataclasses.replace(cart, wheels=(Wheel(name="a"),) * 3, folds=True)
    with pytest.raises(ArgumentError, match="size has 3 values: expected 2"):
        Cart(size=typing.cast(Any, (1, 2, 3)))
    with pytest.raises(ArgumentError, match=r"wheels\.front\.spokes is 0"):
        Cart(wheels=typing.cast(Any, [{"name": "front", "spokes": 0}]))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"colr": "red"}, "a recipe has no key 'colr': did you mean colour? known are best, col"),
        ({"spokes": 3}, "a recipe has no key 'spokes': did you mean best.spokes? known are"),
        ({"best": {"name": "x", "x": 1}}, "[best] has no key 'x': known are grip, name, spokes"),
        ({"best": {"spoke": 1}}, "[best] has no key 'spoke': did you mean spokes? known are"),
        ({"best": {}}, "[best] lacks the key 'name'"),
        ({"best": 3}, "best is 3: expected a table"),
        ({"best": {"name": 3}}, "best.name is 3: expected text"),
        ({"wheels": 3}, "wheels is 3: expected a list"),
        ({"wheels": ["x"]}, "wheels is 'x': expected a table"),
        ({"wheels": [{"name": "a"}, {"name": "b", "spokes": 1.5}]}, "wheels.b.spokes is 1.5: exp"),
        ({"colour": "gren"}, "colour is 'gren': did you mean green? choose from red, green"),
        ({"colour": 3}, "colour is 3: choose from red, green"),
        ({"folds": 1}, "folds is 1: expected true or false"),
        ({"folds": "true"}, "folds is 'true': expected true or false"),
        ({"size": [1]}, "size has 1 values: expected 2"),
        ({"size": [1, 2, 3]}, "size has 3 values: expected 2"),
        ({"size": [1, "2"]}, "size is '2': expected a number from 0 to 10"),
        ({"plan": ""}, "plan is empty: expected a path, or leave it out"),
        ({"plan": 3}, "plan is 3: expected a path"),
        ({"plans": ["a", 3]}, "plans is 3: expected a path"),
        (
            {"best": {"name": "a", "grip": 0}},
            "best.grip is 0: expected a number above 0",
        ),
        ({"best": {"name": "a", "spokes": "{x}\n"}}, r"best.spokes is '{x}\n': expected a whole n"),
        ({"best": {"name": "a", "spokes": "y" * 999}}, f"best.spokes is '{'y' * 79}…: expected"),
    ],
)
def test_a_refusal_names_the_key_the_range_and_the_nearest_key(
    table: dict[str, Any], words: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        read(Cart, table, Path())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_unknown_is_said_before_what_is_missing() -> None:
    with pytest.raises(ArgumentError, match="did you mean name"):
        read(Wheel, {"nam": "front"}, Path())


def test_single_settings_reach_every_table(tmp_path: Path) -> None:
    recipe = tmp_path / "cart.toml"
    recipe.write_text('colour = "red"\nplan = "plan.txt"\n[[wheels]]\nname = "left"\n')
    table = joined(
        Cart,
        recipe,
        prefix="CART_",
        environment={"CART_COLOUR": "green", "CART_BEST__SPOKES": "7", "CART_FOLDS": "", "X": "1"},
        flags={"best.name": "new", "best.grip": None},
        settings=["wheels.left.spokes = 9", "best.spokes=8", "size=[3, 4]"],
    )
    cart = read(Cart, table, tmp_path)
    assert cart.wheels == (Wheel(name="left", spokes=9),)
    assert cart.best == Wheel(name="new", spokes=8)
    assert (cart.colour, cart.size, cart.plan) == (Colour.GREEN, (3, 4), tmp_path / "plan.txt")
    recipe.write_text('plan = "plan.txt"\n[[wheels]]\nname = "one.two.bin"\n')
    dotted = joined(Cart, recipe, prefix="", settings=["wheels.one.two.bin.spokes=9"])
    assert read(Cart, dotted, tmp_path).wheels == (Wheel(name="one.two.bin", spokes=9),)
    for wrong in ("wheels.one.spokes=9", "wheels.one.two.bin=9", "wheels.one.two.bin.spok=9"):
        with pytest.raises(ArgumentError):
            joined(Cart, recipe, prefix="", settings=[wrong])
    usual = read(Cart, joined(Cart, None, prefix="", settings=["wheels.front.grip=0.5"]), tmp_path)
    assert usual.wheels == (Wheel(name="front", grip=0.5),)
    assert changed(cart, {"wheels.left.spokes": 20}).wheels == (Wheel(name="left"),)


# Every configuration that there is.


def test_a_table_of_a_list_that_a_recipe_must_have_is_reached_too() -> None:
    recipe = RECIPES / "detector.toml"
    table = joined(DetectorTrainingConfig, recipe, prefix="", settings=["sources.bsds500.share=7"])
    shares = {Path(one["photographs"]).name: one["share"] for one in table["sources"]}
    assert shares["bsds500"] == 7
    with pytest.raises(ArgumentError, match="there is no x"):
        joined(DetectorTrainingConfig, None, prefix="", settings=["sources.x.share=7"])


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.name)
def test_the_recipes_that_come_with_the_application_are_read_and_repeat_themselves(
    path: Path, tmp_path: Path
) -> None:
    kinds: dict[str, Any] = {"style": style.configure, "detector": detector.configure}
    configure = kinds.get(path.stem.split("-")[0], recogniser.configure)
    config = configure(path)
    written = tmp_path / path.name
    written.write_text(to_toml(config))
    assert configure(written) == config
    assert configure(path, settings=["seed=12345"]).seed == 12345


def everything(kind: type, above: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The path, the type and the mark of each key whose values are numbers or truth values."""
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        several = get_origin(hint) is tuple
        if several and get_args(hint)[-1] is not Ellipsis:
            continue  # tried above
        for each in (hint, *get_args(hint)):
            if get_origin(each) is Annotated:
                yield above + name, (each.__origin__, several), each.__metadata__[0]
            elif isinstance(each, type) and issubclass(each, Configuration) and not several:
                yield from everything(each, f"{above}{name}.")


KEYS = [(kind, *key) for kind in REQUIRED for key in everything(kind)]


@pytest.mark.parametrize(
    ("kind", "path", "of", "mark"), KEYS, ids=[f"{key[0].__name__}-{key[1]}" for key in KEYS]
)
def test_every_key_of_every_recipe_takes_what_it_says_and_nothing_else(
    kind: type[Configuration], path: str, of: tuple[type, bool], mark: Any
) -> None:
    sort, several = of

    def put(value: object) -> Configuration:
        table = joined(kind, None, prefix="", flags=_flat(REQUIRED[kind]))
        for name, given in {path: (value,) if several else value}.items():
            *tables, key = name.split(".")
            place: Any = table
            for each in tables:
                place = place.setdefault(each, {})
            place[key] = given
        return read(kind, table, Path())

    wrong: list[object] = ["3", [], {}, b"1"]
    if isinstance(mark, Within):
        beyond = (mark.low - 1, mark.high + 1, math.nan, math.inf, -math.inf, True)
        wrong += [*beyond, 1.5] if sort is int else [*beyond]
        wrong += [mark.low] if mark.above else []
    elif sort is bool:
        wrong += [1, 0, 1.0, "true"]
    else:
        wrong = [3, 1.5, "", True]
    for value in wrong:
        with pytest.raises(ArgumentError) as caught:
            put(value)
        message = str(caught.value)
        assert path in message
        assert "\n" not in message
        if isinstance(mark, Within):
            assert f"{mark.high}" in message


def _flat(table: dict[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        inner = isinstance(value, dict)
        found |= _flat(value, f"{above}{key}.") if inner else {f"{above}{key}": value}
    return found


def _table(text: str) -> dict[str, object]:
    import tomllib

    return tomllib.loads(text)
