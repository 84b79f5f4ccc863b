"""A gradient that is right passes with every loss and network; one that is wrong is named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backbones.metadata import weights_metadata
from backbones.network import Backbone
from backbones.registry import available, create, register, spec_of
from backbones.spec import BackboneSpec
from backbones.training.optimizers import OptimizerConfig, OptimizerName
from data.tensors import write_tensors
from recognition.learning import fast_layers
from recognition.learning.choices import LossName, MixupPlace, Precision, Targets
from recognition.learning.config import LossConfig, MixupConfig, TeacherConfig, TrainingConfig
from recognition.learning.gradient_check import TOLERANCE, check_gradient


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    network = create("tiny", embedding_size=16, seed=3)
    path = tmp_path / "teacher.safetensors"
    write_tensors(path, network.state_dict(), weights_metadata(network.spec))
    return path


@pytest.mark.parametrize("name", list(LossName))
def test_the_gradient_of_every_loss_is_right(
    config: TrainingConfig, teacher: Path, name: LossName
) -> None:
    views = name is LossName.FEATURES
    run = replace(
        config,
        losses=(LossConfig(name=name, taps=("only",) if views else ()),),
        teachers=(
            (
                TeacherConfig(
                    weights=teacher, targets=Targets.VIEWS if views else Targets.PHOTOGRAPHS
                ),
            )
            if name.needs_teacher
            else ()
        ),
    )
    found = check_gradient(run)
    names = {each.name for each in found.tensors}
    assert {"network.conv.weight", "network.bn.bias", "network.act.weight"} <= names
    assert found.right, found.worst
    assert found.worst.error <= TOLERANCE


def test_what_is_random_is_off_and_regularisation_is_in(config: TrainingConfig) -> None:
    """Twice the same numbers, whatever the run draws; and more loss by λ/2 ‖w‖²."""
    run = replace(
        config,
        losses=(LossConfig(name=LossName.SOFTMAX),),
        dropout=0.5,
        mixup=MixupConfig(where=MixupPlace.INPUT),
        precision=Precision.BF16,
        optimizer=OptimizerConfig(name=OptimizerName.SGD, weight_decay=0.0),
    )
    assert check_gradient(run) == check_gradient(run)
    heavier = replace(run, optimizer=replace(run.optimizer, weight_decay=2.0))
    network = create("tiny", embedding_size=16, seed=run.seed, input_size=(112, 112))
    squares = sum(float(p.detach().square().sum()) for p in network.parameters() if p.ndim > 1)
    found = check_gradient(heavier)
    assert found.loss - check_gradient(run).loss > squares  # and the classifier's
    assert found.right


class Wrong(torch.autograd.Function):
    """The identity, whose gradient is told a per cent too long."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] * 1.01


class Lacking(torch.autograd.Function):
    """The identity, of whose gradient the first row is forgotten."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        kept = gradients[0].clone()
        kept[0] = 0
        return kept


@pytest.mark.parametrize("mistake", [Wrong, Lacking])
@pytest.mark.parametrize("layer", ["conv", "bn"])
def test_a_wrong_gradient_is_found_and_its_tensor_named(
    config: TrainingConfig,
    monkeypatch: pytest.MonkeyPatch,
    mistake: type[torch.autograd.Function],
    layer: str,
) -> None:
    kinds = {"conv": nn.Conv2d, "bn": nn.BatchNorm2d}
    plain = kinds[layer].forward

    def spoilt(self: nn.Module, x: Tensor) -> Tensor:
        weight = self.weight
        self._parameters["weight"] = mistake.apply(weight)
        try:
            return plain(self, x)
        finally:
            self._parameters["weight"] = weight

    monkeypatch.setattr(kinds[layer], "forward", spoilt)
    run = replace(
        config,
        losses=(LossConfig(name=LossName.SOFTMAX),),
        optimizer=OptimizerConfig(weight_decay=0.0),
    )
    found = check_gradient(run)
    assert not found.right
    assert found.worst.name == f"network.{layer}.weight"


class Nested(Backbone):
    """A PReLU inside a block, where `quicken` exchanges it."""

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__(spec)
        self.block = nn.Sequential(nn.Conv2d(3, 8, 16, 16), nn.PReLU(8))
        self.fc = nn.Linear(8 * 49, spec.dimension)
        self.chain({"only": [self.block]}, head=[nn.Flatten(), self.fc])


if "nested" not in available():
    register(replace(spec_of("tiny"), name="nested"))(Nested)


def test_the_quick_layers_are_what_is_checked(
    config: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in the hand-written backward pass of a PReLU does not stay hidden."""
    plain = fast_layers._PReLU.backward

    def spoilt(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        of_x, of_slope = plain(ctx, *gradients)
        return of_x, of_slope * 2

    monkeypatch.setattr(fast_layers._PReLU, "backward", staticmethod(spoilt))
    softmax = (LossConfig(name=LossName.SOFTMAX),)
    found = check_gradient(replace(config, backbone="nested", losses=softmax))
    assert found.worst.name == "network.block.1.weight"
    assert not found.right
