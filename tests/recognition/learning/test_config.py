import dataclasses
import math
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from backbones.metadata import parse_metadata, weights_metadata
from backbones.registry import spec_of
from backbones.shelf import widened
from backbones.spec import BackboneSpec
from backbones.training.optimizers import OptimizerConfig
from backbones.training.schedule import ScheduleConfig, ScheduleName
from data.config import Within
from data.errors import ArgumentError, WeightsError
from recognition.learning.choices import LossName, Sampling
from recognition.learning.config import BatchConfig, DataConfig, LossConfig, TrainingConfig
from ui.cli.commands import training_options

DATA = DataConfig(folder=Path("photographs"))


def run(**changes: object) -> TrainingConfig:
    return TrainingConfig(**{"data": DATA, "out": Path("run"), **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [math.nan, -1.0, 0.0, math.inf, -math.inf])
def test_a_rate_that_is_no_positive_finite_number_is_refused(rate: float) -> None:
    with pytest.raises(ArgumentError, match=r"rate is .*: expected a number above 0, at most 100"):
        OptimizerConfig(rate=rate)


@pytest.mark.parametrize("epochs", [-1, 0, 10**12])
def test_an_impossible_number_of_epochs_is_refused(epochs: int) -> None:
    with pytest.raises(
        ArgumentError, match=f"epochs is {epochs}: expected a whole number from 1 to 100000"
    ):
        run(epochs=epochs)


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        (DataConfig, {"folder": Path("x"), "split": (0.0, 1.0, 1.0)}, "above 0"),
        (DataConfig, {"folder": Path("x"), "split": (1.0, math.nan, 1.0)}, "is nan"),
        (BatchConfig, {"people": 1, "photographs": 1}, "cannot be normalised"),
        (BatchConfig, {"people": 0}, "people is 0"),
        (LossConfig, {"name": LossName.TRIPLET, "weight": 0.0}, "weight is 0"),
        (LossConfig, {"name": LossName.ARCFACE, "margin": math.nan}, "margin is nan"),
        (LossConfig, {"name": LossName.ARCFACE, "scale": -1.0}, "scale is -1"),
        (OptimizerConfig, {"weight_decay": -0.1}, "weight_decay"),
        (OptimizerConfig, {"momentum": 1.0}, "momentum"),
        (OptimizerConfig, {"clip": math.nan}, "clip"),
        (ScheduleConfig, {"warmup": 1.0}, "warmup"),
        (ScheduleConfig, {"name": ScheduleName.STEP, "decay": 1.5}, "decay"),
        (ScheduleConfig, {"every": 0}, "every"),
    ],
)
def test_each_table_checks_its_ranges(kind: type, values: dict[str, object], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        kind(**values)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"losses": ()}, "choose from triplet, contrastive"),
        ({"losses": (LossConfig(name=LossName.PAIR),) * 2}, "once"),
        ({"losses": (LossConfig(name=LossName.DISTILL),)}, "needs a teacher"),
        ({"batch": BatchConfig(photographs=1)}, "2 photographs of each"),
        ({"batch": BatchConfig(people=1)}, "needs 2 of them"),
        ({"seed": -1}, "seed"),
        ({"averaging": 1.0}, "averaging"),
        ({"patience": 0}, "patience"),
        ({"embedding_size": 1}, "embedding_size"),
        ({"out": Path("photographs")}, "another folder"),
        ({"data": replace(DATA, unlabelled=Path("u"))}, "distill, relational"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        run(**changes)


def test_nameless_photographs_need_epochs_of_photographs() -> None:
    taught = {
        "data": replace(DATA, unlabelled=Path("u")),
        "teacher": Path("teacher"),
        "losses": (LossConfig(name=LossName.DISTILL),),
    }
    with pytest.raises(ArgumentError, match=r"batch\.sampling"):
        run(**taught)
    assert run(**taught, batch=BatchConfig(sampling=Sampling.PHOTOGRAPHS)).batch.size_of(100) == 64


def test_every_refusal_is_one_line() -> None:
    with pytest.raises(ArgumentError) as caught:
        run(losses=())
    assert "\n" not in str(caught.value)


def test_a_batch_takes_16_people_or_everybody_unless_told_otherwise() -> None:
    assert [BatchConfig().people_of(count) for count in (3, 16, 500)] == [3, 16, 16]
    assert BatchConfig(people=20).people_of(3) == 20
    assert [BatchConfig().size_of(count) for count in (10, 500)] == [10, 64]
    assert BatchConfig(people=20).size_of(10) == 80


def test_the_parts_have_different_folders() -> None:
    DataConfig(folder=Path("a"), validation=Path("b"), test=Path("c"), split=(1.0, 0.0, 0.0))
    for own in ({"validation": Path("a")}, {"validation": Path("b"), "test": Path("b")}):
        with pytest.raises(ArgumentError, match="different folders"):
            DataConfig(folder=Path("a"), **own)


NETWORK_KEYS = sorted(
    {field.name for field in dataclasses.fields(BackboneSpec)}
    & {field.name for field in dataclasses.fields(TrainingConfig)}
)
"""What a recipe says of its network, which the weights file has to say after it."""


def _parts(hint: Any) -> list[Any]:
    """A hint and all that it is made of."""
    return [hint, *(part for argument in get_args(hint) for part in _parts(argument))]


def _range(hint: Any) -> Within | None:
    return next((part for part in _parts(hint) if isinstance(part, Within)), None)


def _ends(key: str) -> list[Any]:
    """The least and the most that a recipe takes, or each of its choices."""
    hint = get_type_hints(TrainingConfig, include_extras=True)[key]
    if (limits := _range(hint)) is not None:
        assert not limits.above, f"{key} has no least value to try"
        kind = int if int in _parts(hint) else float
        return [kind(limits.low), kind(limits.high)]
    [kind] = {part for part in _parts(hint) if isinstance(part, type)} - {type(None)}
    return list(kind) if issubclass(kind, StrEnum) else [False, True]


def _with(key: str, value: object) -> BackboneSpec:
    spec = spec_of("mobilenet_v1")
    return widened(spec, value) if key == "width" else replace(spec, **{key: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("key", NETWORK_KEYS)
def test_the_whole_range_of_every_network_key_is_read_back_from_a_file(key: str) -> None:
    assert {"norm", "attention", "stn", "width", "resolution", "cardinality"} <= {*NETWORK_KEYS}
    for value in _ends(key):
        assert getattr(run(**{key: value}), key) == value
        spec = _with(key, value)
        assert getattr(spec, key) == value
        written = weights_metadata(spec)
        assert parse_metadata(written).adapt(spec_of("mobilenet_v1")) == spec, (key, value)


@pytest.mark.parametrize("key", ["width", "resolution", "cardinality"])
def test_beyond_its_range_a_network_key_is_refused_by_recipe_option_and_file(key: str) -> None:
    low, high = _ends(key)
    step: Callable[[float, float], Any] = math.nextafter
    if isinstance(low, int):
        step = lambda value, towards: value + (1 if towards > value else -1)  # noqa: E731
    for outside in (step(low, -math.inf), step(high, math.inf)):
        with pytest.raises(ArgumentError, match=f"{key} is"):
            run(**{key: outside})
        with pytest.raises(WeightsError, match=f"{key} is"):
            parse_metadata({key: repr(outside)})
        if key != "cardinality":  # which only the family that has one counts
            with pytest.raises(ArgumentError, match=f"{key} is"):
                _with(key, outside)
    option = getattr(training_options, f"{key.title()}Option")
    [info] = [part for part in _parts(option) if hasattr(part, "param_decls")]
    assert (info.min, info.max) == (low, high)
