from dataclasses import replace
from pathlib import Path

import pytest

from data.augmentation import Augmentation
from data.errors import ArgumentError
from data.recipes import to_toml
from recognition.learning.choices import LossName, Mining, Sampling
from recognition.learning.config import (
    BatchConfig,
    DataConfig,
    LossConfig,
    OptimizerConfig,
    TrainingConfig,
)
from recognition.learning.recipe import configure

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
        ('out = "r"\n[data]\nfolder = "d"\nfoldr = 1\n', r"\[data\] has no key 'foldr': known are"),
        ('out = "r"\nepochs = 1.5\n[data]\nfolder = "d"\n', "epochs is 1.5: expected a whole"),
        ('out = "r"\nepochs = true\n[data]\nfolder = "d"\n', "epochs is True: expected a whole"),
        ('out = "r"\nseed = "x"\n[data]\nfolder = "d"\n', "seed is 'x': expected a whole"),
        ('out = "r"\nlosses = 3\n[data]\nfolder = "d"\n', "losses is 3: expected a list"),
        ('out = "r"\n[[losses]]\n[data]\nfolder = "d"\n', r"\[losses\] lacks the key 'name'"),
        (
            'out = "r"\n[[losses]]\nname = "tripel"\n[data]\nfolder = "d"\n',
            "losses.name is 'tripel': choose from triplet",
        ),
        ('out = "r"\n[data]\nfolder = "d"\nsplit = [1, 1]\n', "split has 2 values: expected 3"),
        ('out = "r"\n[data]\nfolder = "d"\n[optimizer]\nrate = nan\n', "rate is nan"),
        (
            'out = "r"\n[data]\nfolder = "d"\n[augment]\nmirror = 2\n',
            r"\[augment\]: expected",
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


_RECIPES = [path for path in (ROOT / "recipes").glob("*.toml") if not path.match("style-*")]


@pytest.mark.parametrize("path", sorted(_RECIPES), ids=lambda p: p.name)
def test_the_recipes_that_come_with_the_application_are_valid(path: Path) -> None:
    config = configure(path)
    assert replace(config, seed=config.seed + 1) != config
