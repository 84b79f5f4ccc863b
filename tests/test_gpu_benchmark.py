"""The script for a GPU is rehearsed on a processor: it runs, agrees with itself, and is honest."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_rehearsal_runs_every_path(gpu: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--rehearse", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    names = [row["name"] for row in told["paths"]]
    for path in ("embedding", "detection", "training", "style", "search"):
        assert any(name.startswith(path) for name in names), path
    assert {"detection, mtcnn", "detection, one_stage"} <= set(names)
    assert told["left_out"] == []
    for row in told["paths"]:
        assert row["agrees"]
        assert row["per_second"] > 0
        assert row["repeats"] >= 1
        assert row["difference"] == pytest.approx(0, abs=1e-5)  # the same processor twice
    faces = next(row for row in told["paths"] if row["name"] == "detection, mtcnn")
    assert faces["unit"] == "photographs"


def test_what_has_no_time_left_is_said(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "SMALL", replace(gpu.SMALL, limit=0.0))
    assert gpu.main(["--rehearse"]) == 1
    assert "| search | no time left |" in capsys.readouterr().out


@pytest.mark.parametrize("difference", [0.2, float("nan"), float("inf")])
def test_numbers_that_differ_fail(
    gpu: ModuleType,
    difference: float,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = gpu.Row(
        name="search",
        unit="queries",
        per_second=1.0,
        repeats=3,
        difference=difference,
        tolerance=0.1,
    )
    monkeypatch.setattr(gpu, "run_all", lambda *_: iter([row]))
    assert gpu.main(["--rehearse"]) == 1
    assert "**differs**" in capsys.readouterr().out


def test_without_a_gpu_only_the_rehearsal_runs(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 2
    assert "--rehearse" in capsys.readouterr().err
