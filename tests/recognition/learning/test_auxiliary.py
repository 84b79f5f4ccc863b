"""Losses half-way through a network, in training alone."""

from dataclasses import replace

import pytest
import torch

from backbones.network import Backbone
from backbones.registry import available, register, spec_of
from data.tensors import read_tensors
from recognition.learning.auxiliary import WEIGHT, AuxiliaryHead
from recognition.learning.choices import LossName
from recognition.learning.config import LossConfig, TrainingConfig
from recognition.learning.distillation import FeatureMaps, Lessons
from recognition.learning.epoch import build_network, build_parts
from recognition.learning.gradient_check import check_gradient
from recognition.learning.reports import EpochReport
from recognition.learning.trainer import train

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def deep(config: TrainingConfig) -> TrainingConfig:
    """A run of a network with an auxiliary loss behind its only tap."""
    if "helped" not in available():
        spec = replace(spec_of("tiny"), name="helped", auxiliary_taps=("only",))

        @register(spec)
        def build(spec: object) -> Backbone:
            from backbones.registry import build as build_by_name

            network = build_by_name(replace(spec, name="tiny"))  # type: ignore[type-var]
            network.spec = spec  # type: ignore[assignment]
            return network

    return replace(config, backbone="helped", losses=(LossConfig(name=LossName.SOFTMAX),))


@pytest.mark.parametrize("side", [1, 3, 4, 9])
def test_a_head_takes_maps_of_every_size(side: int) -> None:
    assert AuxiliaryHead(8, 16)(torch.zeros(3, 8, side, side + 1)).shape == (3, 16)


def test_the_early_loss_counts_less_and_is_of_the_same_kind(deep: TrainingConfig) -> None:
    network = build_network(deep, torch.device("cpu"))
    parts = build_parts(deep, network, Lessons(), people=7)
    parts.objective.eval()  # no dropout
    images = torch.rand(6, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(6)
    embeddings, maps = network.embedding_with_features(images, ["only"])
    total, _ = parts.objective(embeddings, labels, None, FeatureMaps(maps, {}))
    [term] = parts.objective.terms.values()
    early = term(parts.objective.auxiliary["only"](maps["only"]), labels, None)
    expected = term(embeddings, labels, None) + WEIGHT * early
    torch.testing.assert_close(total, expected)
    with pytest.raises(ValueError, match="needs the feature map only"):
        parts.objective(embeddings, labels, None)


def test_a_run_trains_the_heads_and_leaves_them_out_of_the_weights(deep: TrainingConfig) -> None:
    reports: list[EpochReport] = []
    result = train(replace(deep, epochs=1), reports.append)
    assert reports[0].train_loss > sum(reports[0].losses.values()) * 1.05
    assert not [name for name in read_tensors(result.weights).tensors if "auxiliary" in name]
    state = read_tensors(deep.out / "state.safetensors").tensors
    assert [name for name in state if name.startswith("objective.auxiliary.only.")]


def test_their_gradient_is_right(deep: TrainingConfig) -> None:
    found = check_gradient(deep)
    assert "objective.auxiliary.only.layers.1.weight" in {each.name for each in found.tensors}
    assert found.right, found.worst


def test_googlenet_has_two_of_them() -> None:
    taps = spec_of("googlenet").auxiliary_taps
    assert [spec_of("googlenet").tap(tap).channels for tap in taps] == [512, 528]
