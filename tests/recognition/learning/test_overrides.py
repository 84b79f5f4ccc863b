from pathlib import Path

import pytest

from data.errors import ArgumentError
from recognition.learning.choices import LossName, OptimizerName
from recognition.learning.config import TrainingConfig
from recognition.learning.recipe import changed, configure, from_environment, from_setting, override

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
        ("epoch=3", "a recipe has no key 'epoch': known are activation, attention, augment"),
        ("optimizer.rat=3", r"\[optimizer\] has no key 'rat': known are clip"),
        ("epochs.more=3", r"\[epochs\] has no key 'more': it is no table"),
        ("epochs=many", "epochs is 'many': expected a whole number"),
        ("optimizer.rate=-1", "optimizer.rate is -1"),
        ("optimizer.name=hope", "choose from sgd"),
        ("losses.triplet=3", "name a key too, such as losses.triplet.weight"),
        ("losses.arcface.margin=3", "the objective has no loss of that name"),
    ],
)
def test_what_means_nothing_is_refused_in_one_line(recipe: Path, setting: str, words: str) -> None:
    with pytest.raises(ArgumentError, match=words) as caught:
        configure(recipe, settings=[setting])
    assert "\n" not in str(caught.value)


def test_an_unknown_variable_names_itself_and_the_known_keys() -> None:
    with pytest.raises(ArgumentError, match="LIKENESS_TRAIN_OPTIMISER__RATE: a recipe has no key"):
        dict(from_environment({"LIKENESS_TRAIN_OPTIMISER__RATE": "1"}))
    with pytest.raises(ArgumentError, match=r"known are .*optimizer"):
        dict(from_environment({"LIKENESS_TRAIN_X": "1"}))


def test_what_stands_in_the_way_is_no_table() -> None:
    with pytest.raises(ArgumentError, match="optimizer is 3: expected a table"):
        override({"optimizer": 3}, *from_setting("optimizer.rate=1"))


def test_a_changed_config_differs_in_that_alone(config: TrainingConfig) -> None:
    other = changed(config, {"optimizer.rate": 0.5})
    assert other.optimizer.rate == 0.5
    assert changed(other, {"optimizer.rate": config.optimizer.rate}) == config
