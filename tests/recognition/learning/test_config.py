"""x"""

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
from backbones.training.optimizers import OptimizerConfig, OptimizerName
from backbones.training.schedule import ScheduleConfig, ScheduleName
from data.augmentation import Augmentation
from data.config import Within, changed, to_toml
from data.errors import ArgumentError, WeightsError
from recognition.learning.choices import LossName, Mining, Sampling
from recognition.learning.config import (
    BatchConfig,
    DataConfig,
    LossConfig,
    TrainingConfig,
    configure,
)
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
    option = training_options.TRAINING[key]
    [info] = [part for part in _parts(option) if hasattr(part, "param_decls")]
    assert (info.min, info.max) == (low, high)


ROOT = Path(__file__).resolve().parents[3]


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_config_written_and_read_again_is_the_same(tmp_path: Path) -> None:
    config = TrainingConfig(
        data=DataConfig(
            folder=tmp_path / 'a "quoted" \\ ü\x7f folder',
            unlabelled=tmp_path / "unnamed",
            unlabelled_landmarks=((1.0, 2.5), (3.0, 4.0), (5.0, 6.0), (7.0, 8.0), (9.0, 0.5)),
        ),
        out=tmp_path / "run",
        teacher=tmp_path / "teacher.safetensors",
        losses=(
            LossConfig(name=LossName.DISTILL),
            LossConfig(name=LossName.TRIPLET, weight=0.1, mining=Mining.HARD, margin=0.3),
        ),
        batch=BatchConfig(sampling=Sampling.PHOTOGRAPHS),
        augment=Augmentation(mirror=0.25),
        optimizer=OptimizerConfig(rate=1e-5),
        patience=3,
    )
    assert configure(write(tmp_path, to_toml(config))) == config


def test_flags_win_over_the_recipe(tmp_path: Path) -> None:
    recipe = write(
        tmp_path,
        'out = "run"\nepochs = 3\n[data]\nfolder = "photographs"\n[optimizer]\nrate = 1\n'
        '[[losses]]\nname = "softmax"\n',
    )
    assert configure(recipe).data.folder == tmp_path / "photographs"
    config = configure(recipe, epochs=5, rate=0.5, loss="triplet", seed=None, data=tmp_path)
    assert (config.epochs, config.optimizer.rate, config.data.folder) == (5, 0.5, tmp_path)
    assert [term.name for term in config.losses] == [LossName.TRIPLET]


def test_the_recipe_may_be_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = configure(data=Path("photographs"), out=Path("run"), loss=LossName.SOFTMAX)
    assert config.data.folder == tmp_path / "photographs"
    assert config.out == tmp_path / "run"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("epochs = ", "is not TOML"),
        ('out = "r"\n', "no photographs to train on"),
        ('[data]\nfolder = "d"\n', "no folder for the run"),
        (
            'out = "r"\n[data]\nfolder = "d"\nfoldr = 1\n',
            r"\[data\] has no key 'foldr': did you mean folder",
        ),
        ('out = "r"\nepochs = 1.5\n[data]\nfolder = "d"\n', "epochs is 1.5: expected a whole"),
        ('out = "r"\nepochs = true\n[data]\nfolder = "d"\n', "epochs is True: expected a whole"),
        ('out = "r"\nseed = "x"\n[data]\nfolder = "d"\n', "seed is 'x': expected a whole"),
        ('out = "r"\nlosses = 3\n[data]\nfolder = "d"\n', "losses is 3: expected a list"),
        ('out = "r"\n[[losses]]\n[data]\nfolder = "d"\n', r"\[losses\] lacks the key 'name'"),
        (
            'out = "r"\n[[losses]]\nname = "tripel"\n[data]\nfolder = "d"\n',
            "losses.tripel.name is 'tripel': did you mean triplet. choose from triplet",
        ),
        ('out = "r"\n[data]\nfolder = "d"\nsplit = [1, 1]\n', "split has 2 values: expected 3"),
        ('out = "r"\n[data]\nfolder = "d"\n[optimizer]\nrate = nan\n', "rate is nan"),
        (
            'out = "r"\n[data]\nfolder = "d"\n[augment]\nmirror = 2\n',
            "augment.mirror is 2: expected a number from 0 to 1",
        ),
    ],
)
def test_a_bad_recipe_is_refused_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ArgumentError, match=words) as caught:
        configure(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_recipe_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="no recipe at"):
        configure(tmp_path / "missing.toml")
    with pytest.raises(ArgumentError, match="cannot be read"):
        configure(tmp_path)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ArgumentError, match="cannot be read"):
        configure(binary)


# The environment, flags and single settings over a recipe.

RECIPE = """
out = "run"
epochs = 3
[data]
folder = "photographs"
[optimizer]
rate = 1
[[losses]]
name = "softmax"
[[losses]]
name = "triplet"
weight = 0.5
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def test_recipe_then_environment_then_flags_then_settings(recipe: Path) -> None:
    environment = {
        "LIKENESS_TRAIN_EPOCHS": "4",
        "LIKENESS_TRAIN_OPTIMIZER__RATE": "0.5",
        "LIKENESS_TRAIN_OPTIMIZER__NAME": "sgd",
        "LIKENESS_TRAIN_SEED": "",
        "LIKENESS_HOME": "elsewhere",
    }
    config = configure(recipe, environment=environment)
    assert (config.epochs, config.optimizer.rate, config.seed) == (4, 0.5, 0)
    assert config.optimizer.name is OptimizerName.SGD
    config = configure(recipe, environment=environment, epochs=5, rate=0.25)
    assert (config.epochs, config.optimizer.rate) == (5, 0.25)
    config = configure(recipe, environment=environment, settings=["epochs=6"], epochs=5)
    assert (config.epochs, config.optimizer.rate) == (6, 0.5)


def test_a_text_needs_no_quotation_marks_and_a_folder_may_be_a_number(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["backbone=resnet18", 'metric="val_auc"', "data.folder=2024", "batch.people = 8"]
    config = configure(recipe, settings=given)
    assert (config.backbone, config.metric, config.batch.people) == ("resnet18", "val_auc", 8)
    assert config.data.folder == tmp_path / "2024"


def test_a_loss_is_named_by_its_name(recipe: Path, tmp_path: Path) -> None:
    config = configure(recipe, settings=["losses.triplet.margin=0.3"])
    assert [(term.name, term.weight, term.margin) for term in config.losses] == [
        (LossName.SOFTMAX, 1, None),
        (LossName.TRIPLET, 0.5, 0.3),
    ]
    default = configure(data=tmp_path, out=tmp_path / "r", settings=["losses.triplet.weight=2"])
    assert [(term.name, term.weight) for term in default.losses] == [(LossName.TRIPLET, 2)]
    whole = configure(recipe, settings=['losses=[{name = "arcface", margin = 20}]'])
    assert [(term.name, term.margin) for term in whole.losses] == [(LossName.ARCFACE, 20)]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("epochs", "has no value: write it as KEY=VALUE"),
        (
            "epoch=3",
            "a recipe has no key 'epoch': did you mean epochs",
        ),
        ("optimizer.rat=3", r"\[optimizer\] has no key 'rat': did you mean rate\? known are clip"),
        ("epochs.more=3", r"\[epochs\] has no key 'more': it is no table"),
        ("rate=3", r"no key 'rate': did you mean optimizer\.rate\?"),
        ("epochs=many", "epochs is 'many': expected a whole number"),
        ("optimizer.rate=-1", "optimizer.rate is -1: expected a number above 0, at most 100"),
        ("optimizer.name=hope", "choose from sgd"),
        ("losses.triplet=3", "name a key too, such as losses.triplet.weight"),
        ("losses.arcface.margin=3", "there is no arcface, only softmax, triplet"),
    ],
)
def test_what_means_nothing_is_refused_in_one_line(recipe: Path, setting: str, words: str) -> None:
    with pytest.raises(ArgumentError, match=words) as caught:
        configure(recipe, settings=[setting])
    assert "\n" not in str(caught.value)


def test_an_unknown_variable_names_itself_and_the_known_keys(recipe: Path) -> None:
    with pytest.raises(ArgumentError, match="LIKENESS_TRAIN_OPTIMISER__RATE: a recipe has no key"):
        configure(recipe, environment={"LIKENESS_TRAIN_OPTIMISER__RATE": "1"})
    with pytest.raises(ArgumentError, match=r"known are .*optimizer"):
        configure(recipe, environment={"LIKENESS_TRAIN_X": "1"})


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("optimizer = 3", "optimizer is 3: expected a table"),
        ("losses = 3", "losses is 3: exp"),
    ],
)
def test_what_stands_in_the_way_is_no_table(tmp_path: Path, written: str, words: str) -> None:
    path = write(tmp_path, f'out = "r"\n{written}\n[data]\nfolder = "d"\n')
    setting = "losses.triplet.weight=1" if "losses" in written else "optimizer.rate=1"
    with pytest.raises(ArgumentError, match=words):
        configure(path, settings=[setting])


def test_a_changed_config_differs_in_that_alone(config: TrainingConfig) -> None:
    other = changed(config, {"optimizer.rate": 0.5})
    assert other.optimizer.rate == 0.5
    assert changed(other, {"optimizer.rate": config.optimizer.rate}) == config
