"""A run of steps: the step rule by hand, what is best, going on, and what is no number."""

import copy
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backbones.training.run_folder import RunFolder
from backbones.training.steps import StepReport, StepRun
from data.errors import TrainingError
from data.tensors import read_metadata, read_tensors

RATES = [0.1, 0.05, 0.2, 0.1, 0.05, 0.02, 0.01]
KEPT = ("best.safetensors", "last.safetensors", "state.safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(StepReport):
    figures: dict[str, float]
    speed: float


class Line:
    """y = w x + b, learnt from what the step's number draws; judged by a list of figures."""

    def __init__(self, judged: list[float], spoiled: int | None = None) -> None:
        torch.manual_seed(3)
        self.module = nn.Linear(2, 1)
        self.seen: list[dict[str, Tensor]] = []
        self._judged, self._spoiled = judged, spoiled

    def losses(self, step: int) -> dict[str, Tensor]:
        draws = torch.Generator().manual_seed(step)
        x = torch.randn(8, 2, generator=draws)
        total = (self.module(x)[:, 0] - x.sum(1)).square().mean()
        return {"total": total * math.nan if step == self._spoiled else total}

    def validate(self, module: nn.Module) -> dict[str, float]:
        assert not module.training
        self.seen.append(copy.deepcopy(module.state_dict()))
        return {"figure": self._judged[len(self.seen) - 1], "other": 1.0}

    def weights(self, module: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
        return dict(module.state_dict()), {"of": "a line"}


def run_of(lesson: Line, out: Path, **changes: Any) -> StepRun[Report]:
    settings: dict[str, Any] = {
        "part": "line",
        "steps": len(RATES),
        "every": 3,
        "rate": RATES.__getitem__,
        "weight_decay": 0.1,
        "clip": 0.5,
        "averaging": 0.5,
        "metric": "figure",
        "larger": True,
        "report": lambda facts, figures, speed: Report(**facts, figures=figures, speed=speed),
    }
    folder = RunFolder(out, Report, unit="step")
    return StepRun(lesson, folder, "digest", **(settings | changes))


def go(run: StepRun[Report], reports: list[Report]) -> Any:
    return run.go(run.load(), reports.append, lambda done, total: None)


def test_the_steps_are_those_of_adamw_by_hand(tmp_path: Path) -> None:
    lesson, reports = Line([1.0, 2.0, 3.0]), list[Report]()
    go(run_of(lesson, tmp_path), reports)
    other = Line([])
    kernel, bias = other.module.weight, other.module.bias
    by_hand = torch.optim.AdamW(
        [{"params": [kernel], "weight_decay": 0.1}, {"params": [bias], "weight_decay": 0.0}]
    )
    sums = {name: torch.zeros_like(value) for name, value in other.module.state_dict().items()}
    totals = []
    for step, rate in enumerate(RATES):
        for group in by_hand.param_groups:
            group["lr"] = rate
        by_hand.zero_grad()
        loss = other.losses(step)["total"]
        totals.append(float(loss.detach()))
        loss.backward()
        nn.utils.clip_grad_norm_([kernel, bias], 0.5)
        by_hand.step()
        sums = {k: 0.5 * v + 0.5 * other.module.state_dict()[k] for k, v in sums.items()}
    correction = 1 - 0.5 ** len(RATES)
    for name, value in lesson.seen[-1].items():
        assert torch.allclose(value, sums[name] / correction, atol=1e-6)
    assert [each.step for each in reports] == [3, 6, 7]
    assert [each.rate for each in reports] == [RATES[2], RATES[5], RATES[6]]
    assert reports[0].losses["total"] == pytest.approx(sum(totals[:3]) / 3, rel=1e-5)
    assert all(each.speed > 0 and each.seconds > 0 for each in reports)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [each.as_json() for each in reports]


@pytest.mark.parametrize(
    ("judged", "larger", "best", "at"),
    [
        ([1.0, 3.0, 2.0], True, [True, True, False], 6),
        ([1.0, 3.0, 2.0], False, [True, False, False], 3),
        ([2.0, 2.0, 2.0], True, [True, False, False], 3),  # as good is not better
        ([3.0, 2.0, 1.0], False, [True, True, True], 7),
    ],
)
def test_the_best_is_kept(
    tmp_path: Path, judged: list[float], larger: bool, best: list[bool], at: int
) -> None:
    lesson, reports = Line(judged), list[Report]()
    position = go(run_of(lesson, tmp_path, larger=larger), reports)
    assert [each.best for each in reports] == best
    assert (position.done, position.best_at, position.best) == (7, at, judged[[3, 6, 7].index(at)])
    kept = read_tensors(tmp_path / "best.safetensors").tensors
    expected = lesson.seen[[3, 6, 7].index(at)]
    assert all(torch.equal(kept[name], value) for name, value in expected.items())
    assert read_metadata(tmp_path / "best.safetensors")["step"] == str(at)
    assert read_metadata(tmp_path / "last.safetensors")["of"] == "a line"


def test_a_run_that_goes_on_ends_with_the_same_bytes(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    go(run_of(Line([1.0, 3.0, 2.0]), whole), [])

    def stop(report: Report) -> None:
        raise KeyboardInterrupt

    for judged in ([1.0], [3.0], [2.0]):
        run = run_of(Line(judged), broken)
        with pytest.raises(KeyboardInterrupt):
            run.go(run.load(), stop, lambda done, total: None)
    done = run_of(Line([]), broken)
    assert go(done, []).done == 7  # nothing is left to do
    for name in KEPT:
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name


def test_what_is_no_number_stops_the_run_at_its_last_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the total became nan in step 5"):
        go(run_of(Line([1.0, 2.0], spoiled=4), tmp_path), [])
    assert read_metadata(tmp_path / "last.safetensors")["step"] == "3"
    assert run_of(Line([]), tmp_path).load().done == 3
