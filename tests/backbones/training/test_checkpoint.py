"""A run that goes on from its checkpoint ends as one that never stopped, whatever it trains."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from backbones.training.averaging import WeightAverage
from backbones.training.checkpoint import STATE, Checkpoint, Position, TrainingState
from backbones.training.optimizers import OptimizerConfig, OptimizerName, build_optimizer
from data.errors import TrainingError, WeightsError
from data.tensors import read_metadata


def parts(name: OptimizerName, *, averaged: bool = True) -> TrainingState:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2))
    head = nn.Linear(2, 3)
    network(torch.zeros(2, 3, 5, 5))
    optimizer = build_optimizer(OptimizerConfig(name=name), [network, head])
    average = WeightAverage(network, 0.9) if averaged else None
    return TrainingState({"network": network, "head": head}, optimizer, average)


def steps(state: TrainingState, numbers: range) -> None:
    for number in numbers:
        x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(number))
        state.optimizer.zero_grad()
        state.modules["head"](state.modules["network"](x)).square().mean().backward()
        state.optimizer.step()
        if state.average is not None:
            state.average.update(state.modules["network"])


@pytest.mark.parametrize("averaged", [True, False])
@pytest.mark.parametrize("name", list(OptimizerName))
def test_a_run_that_goes_on_ends_with_the_same_numbers(
    tmp_path: Path, name: OptimizerName, averaged: bool
) -> None:
    whole = parts(name, averaged=averaged)
    steps(whole, range(7))
    place = Checkpoint(folder=tmp_path, digest="x", unit="step")
    begun = parts(name, averaged=averaged)
    assert place.load(begun) == Position()
    steps(begun, range(3))
    place.save(begun, Position(3, 0.5, 2))
    again = parts(name, averaged=averaged)
    assert place.load(again) == Position(3, 0.5, 2)
    steps(again, range(3, 7))
    for part, module in whole.modules.items():
        for key, value in module.state_dict().items():
            assert torch.equal(value, again.modules[part].state_dict()[key]), key
    if whole.average is not None and again.average is not None:
        assert whole.average.steps == again.average.steps == 7
        for key, value in whole.average.sums.items():
            assert torch.equal(value, again.average.sums[key])


@pytest.mark.parametrize("unit", ["epoch", "step"])
def test_what_is_written_names_what_it_counts(tmp_path: Path, unit: str) -> None:
    state = parts(OptimizerName.ADAM)
    Checkpoint(folder=tmp_path, digest="x", unit=unit).save(state, Position(4, None, 0))
    told = json.loads(read_metadata(tmp_path / STATE)["state"])
    assert (told[unit], told["best"], told[f"best_{unit}"], told["config"]) == (4, None, 0, "x")
    assert json.loads((tmp_path / "state.json").read_text()) == told


def test_another_run_s_state_is_refused_and_can_be_taken_over(tmp_path: Path) -> None:
    state = parts(OptimizerName.ADAM)
    steps(state, range(2))
    mine = Checkpoint(folder=tmp_path, digest="mine", unit="epoch")
    mine.save(state, Position(2, 0.25, 1))
    with pytest.raises(TrainingError, match="a run with other settings"):
        Checkpoint(folder=tmp_path, digest="other", unit="epoch").load(parts(OptimizerName.ADAM))
    (tmp_path / "other").mkdir()
    other = Checkpoint(folder=tmp_path / "other", digest="other", unit="epoch")
    other.copy(tmp_path)
    assert other.load(parts(OptimizerName.ADAM)) == Position(2, 0.25, 1)


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    state = parts(OptimizerName.SGD)
    place = Checkpoint(folder=tmp_path, digest="x", unit="epoch")
    place.save(state, Position(1, 0.5, 1))
    whole = (tmp_path / STATE).read_bytes()
    (tmp_path / STATE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError):
        place.load(state)
