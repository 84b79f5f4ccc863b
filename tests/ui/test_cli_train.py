"""`train`: flags and recipe reach the trainer, and what cannot be done is refused at once."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import recognition.learning.trainer
from recognition.learning.reports import EpochReport, Progress
from ui.cli import main


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, home: Path) -> list[SimpleNamespace]:
    """The runs that would have been made."""
    calls: list[SimpleNamespace] = []

    def train(
        config: Any,
        report: Callable[[EpochReport], None],
        *,
        progress: Callable[[Progress], None],
        command: str,
    ) -> SimpleNamespace:
        calls.append(SimpleNamespace(config=config, command=command))
        progress(Progress("epoch 1 of 2", 1, 10))
        report(
            EpochReport(
                epoch=1,
                epochs=2,
                train_loss=0.25,
                losses={"triplet": 0.25},
                val_auc=0.971,
                val_tar=None,
                learning_rate=0.001,
                seconds=3.0,
                images_per_second=120.0,
                best=True,
            )
        )
        return SimpleNamespace(
            verdict="Both errors are small.",
            weights=config.out / "best.safetensors",
            best_epoch=1,
            missed=(SimpleNamespace(path=Path("Ann/1.jpg"), reason="no face found"),),
            doubts=("Ann and ann are two people",),
        )

    monkeypatch.setattr(recognition.learning.trainer, "train", train)
    return calls


def test_flags_reach_the_trainer_and_the_report_the_user(
    runs: list[SimpleNamespace], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "runs" / "first"
    flags = ["--loss", "softmax", "--epochs", "2", "--rate", "0.01", "--seed", "5"]
    flags += ["--backbone", "resnet18", "--device", "cpu", "--home", str(tmp_path / "h")]
    assert main(["train", "--data", str(tmp_path / "people"), "--out", str(run), *flags]) == 0
    [call] = runs
    config = call.config
    assert config.data.folder == tmp_path / "people"
    assert config.data.cache == tmp_path / "h" / "aligned"
    assert config.out == run
    assert [term.name for term in config.losses] == ["softmax"]
    assert (config.epochs, config.optimizer.rate, config.seed) == (2, 0.01, 5)
    assert (config.backbone, config.device) == ("resnet18", "cpu")
    assert call.command.startswith("likeness train --data people --out first --loss softmax ")
    assert str(tmp_path) not in call.command
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "epoch 1 of 2: loss 0.250, held-out AUC 97.1 %, TAR at FAR 1 % –, 120 photographs/s, "
        "the best so far",
        "Both errors are small.",
        f"{run / 'best.safetensors'}: from epoch 1",
    ]
    assert err.splitlines() == [
        "warning: Ann and ann are two people",
        "warning: not used: Ann/1.jpg: no face found",
    ]


def test_flags_win_over_the_recipe(runs: list[SimpleNamespace], tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('out = "run"\nepochs = 9\ndevice = "cpu"\n[data]\nfolder = "people"\n')
    assert main(["train", str(recipe), "--epochs", "3", "--allow-corrupt"]) == 0
    [call] = runs
    assert (call.config.epochs, call.config.device) == (3, "cpu")
    assert call.config.out == tmp_path / "run"
    assert call.config.data.allow_corrupt
    assert call.command == "likeness train recipe.toml --epochs 3"


@pytest.mark.parametrize(
    "flags",
    [
        ["--rate", "nan"],
        ["--rate", "-1"],
        ["--rate", "inf"],
        ["--epochs", "0"],
        ["--epochs", "-1"],
        ["--epochs", "1000000000000"],
        ["--seed", "text"],
        ["--loss", "hope"],
        ["--loss", "distill"],
        ["--device", "tpu"],
        ["--weights", "some.safetensors"],
        ["no-recipe.toml"],
        ["--no-such-flag"],
    ],
)
def test_senseless_settings_are_refused_and_nothing_is_made(
    runs: list[SimpleNamespace],
    tmp_path: Path,
    home: Path,
    flags: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["train", "--data", str(tmp_path), "--out", str(tmp_path / "run"), *flags]
    assert main(command) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert runs == []
    assert list(tmp_path.iterdir()) == []


def test_data_and_a_place_for_the_run_are_needed(
    runs: list[SimpleNamespace], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["train", "--out", str(tmp_path / "run")]) == 2
    assert main(["train", "--data", str(tmp_path)]) == 2
    blocked = str(tmp_path / "file" / "run")
    assert main(["train", "--data", str(tmp_path), "--out", blocked]) == 2
    assert runs == []


@pytest.mark.parametrize("people", [0, 1])
def test_a_data_set_of_nobody_or_one_is_refused(
    tmp_path: Path, home: Path, people: int, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "people"
    data.mkdir()
    for number in range(people):
        (data / f"Ann{number}").mkdir()
        (data / f"Ann{number}" / "1.jpg").write_bytes(b"")
    run = tmp_path / "run"
    assert main(["train", "--data", str(data), "--out", str(run), "--device", "cpu"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not run.exists()
    assert not home.exists()
