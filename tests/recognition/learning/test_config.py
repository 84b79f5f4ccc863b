import math
from dataclasses import replace
from pathlib import Path

import pytest

from backbones.training.optimizers import OptimizerConfig
from backbones.training.schedule import ScheduleConfig, ScheduleName
from data.errors import ArgumentError
from recognition.learning.choices import LossName, Sampling
from recognition.learning.config import BatchConfig, DataConfig, LossConfig, TrainingConfig

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
