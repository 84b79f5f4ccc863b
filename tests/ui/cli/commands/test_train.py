"""`train`: flags and recipe reach the trainer, and what cannot be done is refused at once."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import recognition.learning.trainer
from data.folders import Account, LeftOut
from recognition.learning.gradient_check import GradientCheck, TensorCheck
from recognition.learning.reports import EpochReport, TrainingProgress
from recognition.learning.validation import ValidationFigures
from ui.cli.main import main


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, home: Path) -> list[SimpleNamespace]:
    """The runs that would have been made."""
    calls: list[SimpleNamespace] = []

    def train(
        config: Any,
        report: Callable[[EpochReport], None],
        *,
        progress: Callable[[TrainingProgress], None],
        command: str,
    ) -> SimpleNamespace:
        calls.append(SimpleNamespace(config=config, command=command))
        for step in range(1, 11):
            progress(TrainingProgress("epoch 1 of 2", step, 10, 0.5, 120.0, 9.0))
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
            out=config.out,
            epochs=(1, 2),
            measured={"validation": ValidationFigures(0.9, None, None, 3, 4)},
            verdict="Both errors are small.",
            weights=config.out / "best.safetensors",
            best_epoch=1,
            missed=(SimpleNamespace(path=Path("Ann/1.jpg"), reason="no face found"),),
            doubts=("Ann and ann are two people",),
            accounts=(
                Account(config.data.folder, (LeftOut(config.data.folder / "a.dng", ".dng"),)),
            )
            if config.data.folder.name == "sloppy"
            else (),
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


def test_every_option_reaches_its_key_and_the_environment_stands_below(
    runs: list[SimpleNamespace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIKENESS_TRAIN_EPOCHS", "7")
    monkeypatch.setenv("LIKENESS_TRAIN_OPTIMIZER__CLIP", "2")
    monkeypatch.setenv("LIKENESS_TRAIN_TEACHER", str(tmp_path / "teacher.safetensors"))
    flags = ["--optimizer", "nesterov", "--schedule", "cosine", "--warmup", "0.1"]
    flags += ["--precision", "bf16", "--metric", "val_tar", "--patience", "3"]
    flags += ["--set", "optimizer.momentum=0.5", "--set", "losses.triplet.margin=0.3"]
    flags += ["--set", f"data.identities={tmp_path / 'people.txt'}"]
    assert main(["train", "--data", str(tmp_path), "--out", str(tmp_path / "run"), *flags]) == 0
    [call] = runs
    config = call.config
    assert (config.optimizer.name, config.optimizer.momentum) == ("nesterov", 0.5)
    assert (config.schedule.name, config.schedule.warmup) == ("cosine", 0.1)
    assert (config.precision, config.metric, config.patience) == ("bf16", "val_tar", 3)
    assert (config.epochs, config.optimizer.clip) == (7, 2)
    assert config.losses[0].margin == 0.3
    assert call.command.startswith("LIKENESS_TRAIN_EPOCHS=7 LIKENESS_TRAIN_OPTIMIZER__CLIP=2 ")
    assert "--set optimizer.momentum=0.5" in call.command
    assert str(tmp_path) not in call.command
    assert main(["train", "--data", str(tmp_path), "--out", "run", "--epochs", "2"]) == 0
    assert runs[1].config.epochs == 2


def test_an_unknown_variable_is_refused(
    runs: list[SimpleNamespace],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LIKENESS_TRAIN_EPOCH", "7")
    assert main(["train", "--data", str(tmp_path), "--out", str(tmp_path / "run")]) == 2
    assert "LIKENESS_TRAIN_EPOCH: a recipe has no key 'epoch'" in capsys.readouterr().err
    assert runs == []


def test_programs_get_a_line_of_json_each_and_nothing_else(
    runs: list[SimpleNamespace], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--data", str(tmp_path), "--out", str(tmp_path / "run"), "--json-lines"]
    assert main(["train", *flags]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    # Ten steps within a moment: the first and the last.
    assert [line["kind"] for line in lines] == ["progress", "progress", "epoch", "result"]
    assert [line["done"] for line in lines[:2]] == [1, 10]
    assert lines[0]["images_per_second"] == 120
    assert (lines[2]["epoch"], lines[2]["val_tar"]) == (1, None)
    assert lines[3]["weights"] == str(tmp_path / "run" / "best.safetensors")
    assert lines[3]["measured"]["validation"]["auc"] == 0.9
    assert lines[3]["not_used"] == [{"image": "Ann/1.jpg", "error": "no face found"}]


def test_as_json_the_result_is_one_document(
    runs: list[SimpleNamespace], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--data", str(tmp_path), "--out", str(tmp_path / "run"), "--json"]
    assert main(["train", *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["weights"] == str(tmp_path / "run" / "best.safetensors")
    assert found["folders"] == []
    assert main(["train", *flags, "--json-lines"]) == 2


def test_what_was_not_taken_from_the_photographs_is_told_and_fails(
    runs: list[SimpleNamespace], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sloppy"
    folder.mkdir()
    assert main(["train", "--data", str(folder), "--out", str(tmp_path / "run"), "--json"]) == 1
    out, err = capsys.readouterr()
    [told] = json.loads(out)["folders"]
    assert told["not_taken"] == {".dng": 1}
    assert "not taken: 1 .dng (a.dng)" in err


@pytest.mark.parametrize(
    "flags",
    [
        ["--rate", "nan"],
        ["--optimizer", "hope"],
        ["--warmup", "2"],
        ["--set", "epochs"],
        ["--set", "optimizer.rat=1"],
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


@pytest.mark.parametrize(("error", "code"), [(1e-9, 0), (0.3, 1)])
@pytest.mark.parametrize("as_json", [False, True])
def test_the_gradient_is_checked_instead_of_trained(
    runs: list[SimpleNamespace],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    error: float,
    code: int,
    as_json: bool,
) -> None:
    tensors = (TensorCheck("network.a", 1e-12, True), TensorCheck("network.b", error, True))
    found = GradientCheck(1.5, 8, (*tensors, TensorCheck("network.c", 0.0, False)))
    monkeypatch.setattr(
        "recognition.learning.gradient_check.check_gradient", lambda config, tell: found
    )
    command = ["train", f"--data={tmp_path}", f"--out={tmp_path / 'run'}", "--check-gradient"]
    assert main([*command, *(["--json"] if as_json else [])]) == code
    said = capsys.readouterr().out
    assert not runs
    if as_json:
        document = json.loads(said)
        assert document["right"] is (code == 0)
        assert document["worst"]["name"] == "network.b"
        assert len(document["tensors"]) == 3
    else:
        assert "3 parameter tensors on 8 photographs" in said
        assert "the worst is network.b" in said
        assert ("The gradient is wrong" in said) is (code == 1)
