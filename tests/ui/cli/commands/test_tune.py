"""`tune`: the search reaches the tuner, and what cannot be searched is refused at once."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import recognition.learning.hyperparameter_search
from recognition.learning.hyperparameter_search import Candidate, NursingResult, Trial, TuningResult
from ui.cli.main import main

TRIALS = (
    Trial(1, {"optimizer.rate": 0.0123456}, 0.98765, 2, 3, None),
    Trial(0, {"optimizer.rate": 50.0}, None, None, None, "the loss is nan"),
)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, home: Path) -> list[SimpleNamespace]:
    """The searches and nursed runs that would have been made."""
    made: list[SimpleNamespace] = []

    def tune(config: Any, space: Any, **options: Any) -> TuningResult:
        made.append(SimpleNamespace(config=config, space=space, **options))
        for trial in reversed(TRIALS):
            options["report"](trial)
        return TuningResult(
            TRIALS, Path("best.toml"), Path("best.safetensors"), {"optimizer.rate": 1.0}
        )

    def nurse(config: Any, **options: Any) -> NursingResult:
        made.append(SimpleNamespace(config=config, **options))
        candidate = Candidate(1, 0.002, 0.9, True, None)
        if options["report"]:
            options["report"](candidate)
        return NursingResult((candidate,), Path("round"), Path("best.safetensors"), 1, 0.9)

    monkeypatch.setattr(recognition.learning.hyperparameter_search, "tune", tune)
    monkeypatch.setattr(recognition.learning.hyperparameter_search, "nurse", nurse)
    return made


def command(folder: Path, *flags: str) -> list[str]:
    return ["tune", "--data", str(folder), "--out", str(folder / "search"), *flags]


def test_the_search_reaches_the_tuner_and_the_table_the_user(
    calls: list[SimpleNamespace], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--search", "optimizer.rate=1e-4..1e-1:log", "--search", "augment.crop=0..0.3"]
    flags += ["--trials", "7", "--sampler", "tpe", "--parallel", "2", "--epochs", "3"]
    assert main(command(tmp_path, *flags)) == 0
    [call] = calls
    assert [dimension.path for dimension in call.space] == ["optimizer.rate", "augment.crop"]
    assert (call.trials, call.sampler, call.parallel, call.config.epochs) == (7, "tpe", 2, 3)
    assert call.command.startswith("likeness tune ")
    assert capsys.readouterr().out.splitlines() == [
        "trial 0: optimizer.rate 50: the loss is nan",
        "trial 1: optimizer.rate 0.01235: 98.77 %",
        "trial\tval_auc\toptimizer.rate\tbest epoch\terror",
        "1\t98.77 %\t0.01235\t2 of 3\t",
        "0\t–\t50\t–\tthe loss is nan",
        "how much of the difference each makes: optimizer.rate 100 %",
        "best.toml: the best trial's recipe; best.safetensors: its weights",
    ]


def test_json_is_one_document(
    calls: list[SimpleNamespace], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(tmp_path, "--search", "epochs=1..3", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert [trial["name"] for trial in found["trials"]] == ["trial-001", "trial-000"]
    assert found["trials"][1]["metric"] is None
    assert main(command(tmp_path, "--nurse", "--json")) == 0
    assert json.loads(capsys.readouterr().out)["candidates"][0]["rate"] == 0.002


def test_one_run_is_nursed(
    calls: list[SimpleNamespace], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(tmp_path, "--nurse", "--every", "3")) == 0
    [call] = calls
    assert (call.every, call.parallel) == (3, 1)
    assert call.command.endswith(" --nurse")
    assert capsys.readouterr().out.splitlines() == [
        "round 1, rate 0.002: 90.00 %, goes on",
        "best.safetensors: from epoch 1, val_auc 90.00 %",
    ]


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--search", "optimizer.rate"],
        ["--search", "optimizer.rate=2..1"],
        ["--search", "out=a,b"],
        ["--search", "epochs=1..2", "--nurse"],
        ["--search", "epochs=1..2", "--every", "2"],
        ["--search", "epochs=1..2", "--sampler", "grid"],
        ["--search", "epochs=1..2", "--trials", "many"],
        ["--search", "epochs=1..2", "--weights", "w.safetensors"],
    ],
)
def test_a_senseless_search_is_refused_and_nothing_is_made(
    calls: list[SimpleNamespace],
    tmp_path: Path,
    flags: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(command(tmp_path, *flags)) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert calls == []
    assert list(tmp_path.iterdir()) == []
