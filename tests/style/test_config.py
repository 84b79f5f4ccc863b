"""The configuration refuses nonsense in one line, and tells itself as JSON."""

import json
import math
from itertools import permutations

import pytest

from data.errors import ArgumentError
from style.config import (
    ColorMethod,
    Colors,
    InitialImage,
    Optimizer,
    PaintingQuality,
    Region,
    RegionManner,
    StyleConfig,
    settings_of,
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("steps", value) for value in (-1, 0, 10**12, 1.5, True, "many")],
        *[("size", value) for value in (-1, 0, 10**6, 63, 512.0)],
        *[("seed", value) for value in (-1, 2**63, 0.5, "seven")],
        *[("first_scale", value) for value in (0, -128, 10**6)],
        *[("learning_rate", value) for value in (math.nan, -1, 0, math.inf, 1.01)],
        *[("content_weight", value) for value in (math.nan, -1, math.inf, None, True)],
        *[("style_weight", value) for value in (math.nan, -1, 0, math.inf)],
        *[("tv_weight", value) for value in (math.nan, -1, math.inf)],
        *[("strength", value) for value in (math.nan, -0.1, 1.1, math.inf, None)],
        *[("style_scale", value) for value in (math.nan, 0, -1, math.inf, 100)],
        *[("averaging", value) for value in (math.nan, -0.1, 1, math.inf)],
        *[("scale_factor", value) for value in (math.nan, 1, 0.5, -2, math.inf)],
        *[("style_mix", value) for value in ((1, math.nan), (0.0, 1.0), (-1,), ("a",))],
        *[("style_tap_weights", value) for value in ((1, 0), (math.inf,), ("a",))],
        *[("content_tap_weights", value) for value in ((-1,), (math.nan,))],
        *[(name, value) for name in ("content_detail", "keep_identity") for value in (1, "yes")],
        ("style_loss", "l1"),
        ("pooling", "min"),
        ("precision", "float8"),
        ("colors", "grey"),
        ("color_method", "magic"),
        ("optimizer", "sgd"),
        ("initial_image", "grey"),
    ],
)
def test_nonsense_is_refused_in_one_line_that_names_it(name: str, value: object) -> None:
    with pytest.raises(ArgumentError) as refusal:
        StyleConfig(**{name: value})  # type: ignore[arg-type]
    message = str(refusal.value)
    assert name in message
    assert "\n" not in message


def test_a_refused_choice_lists_the_known_ones() -> None:
    with pytest.raises(ArgumentError, match=r"optimizer is 'sgd': .*choose from adam, lbfgs"):
        StyleConfig(optimizer="sgd")  # type: ignore[arg-type]


def test_choices_may_be_named() -> None:
    named = {"optimizer": "lbfgs", "initial_image": "noise"}
    named |= {"colors": "content", "color_method": "lab"}
    config = StyleConfig(**named)  # type: ignore[arg-type]
    assert config.colors is Colors.CONTENT
    assert config.color_method is ColorMethod.LAB
    assert config.optimizer is Optimizer.LBFGS
    assert config.initial_image is InitialImage.NOISE


def test_settings_survive_json_and_make_the_same_configuration() -> None:
    config = StyleConfig(
        size=300,
        style_mix=(1, 2.5),
        style_taps=("relu1_1", "relu2_1"),
        style_tap_weights=(2, 1),
        optimizer=Optimizer.LBFGS,
        seed=7,
    )
    told = json.loads(json.dumps(config.settings()))
    assert told == config.settings()
    assert StyleConfig(**told) == config


@pytest.mark.parametrize("strength", [math.nan, -0.1, 1.1, "much"])
def test_a_region_refuses_a_strength_out_of_range(strength: float) -> None:
    with pytest.raises(ArgumentError, match="strength of a region"):
        Region(mask=0, style=RegionManner.MAIN, strength=strength)


def test_a_region_that_stays_takes_no_strength() -> None:
    with pytest.raises(ArgumentError, match="no strength"):
        Region(mask=0, style=RegionManner.NONE, strength=0.5)
    assert Region(mask=0, style=RegionManner.NONE).strength is None


@pytest.mark.parametrize("quality", PaintingQuality)
def test_every_quality_makes_a_config(quality: PaintingQuality) -> None:
    settings = settings_of(quality)
    config = StyleConfig(**settings)  # type: ignore[arg-type]
    assert {"size", "steps"} <= set(settings)
    assert {name: getattr(config, name) for name in settings} == settings


def test_balanced_is_what_is_painted_without_a_word() -> None:
    assert StyleConfig(**settings_of(PaintingQuality.BALANCED)) == StyleConfig()  # type: ignore[arg-type]


def test_each_takes_more_than_the_one_before() -> None:
    work = [settings_of(q)["size"] ** 2 * settings_of(q)["steps"] for q in PaintingQuality]
    assert work == sorted(set(work))


@pytest.mark.parametrize(("one", "other"), list(permutations(PaintingQuality, 2)))
def test_a_quality_undoes_what_another_one_had_set(
    one: PaintingQuality, other: PaintingQuality
) -> None:
    both = {**settings_of(one), **settings_of(other)}
    assert StyleConfig(**both) == StyleConfig(**settings_of(other))  # type: ignore[arg-type]
