from pathlib import Path

import pytest

from backbones.training.optimizers import OptimizerConfig, OptimizerName
from data.augmentation import Augmentation
from data.config import changed, to_toml
from data.errors import ArgumentError
from recognition.learning.choices import LossName, Mining, Sampling
from recognition.learning.config import (
    BatchConfig,
    DataConfig,
    LossConfig,
    TrainingConfig,
    configure,
)

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
