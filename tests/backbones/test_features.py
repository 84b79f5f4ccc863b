import gc
import weakref

import pytest
import torch

from backbones.features import FeatureExtractor
from backbones.registry import create
from data.errors import ArgumentError

TAPS = ("relu2_1", "relu1_1")


def _images() -> torch.Tensor:
    return torch.rand(2, 3, 48, 40, generator=torch.Generator().manual_seed(1))


def test_features_are_those_of_the_whole_network() -> None:
    network = create("vgg19_quarter", seed=0)
    expected = network.features(_images(), TAPS)
    found = FeatureExtractor(network, TAPS)(_images())
    assert list(found) == list(TAPS)
    for tap in TAPS:
        assert torch.equal(found[tap], expected[tap])


def test_what_lies_behind_the_last_tap_is_let_go() -> None:
    network = create("vgg19_quarter", seed=0)
    last = weakref.ref(network.conv51.weight)
    first = weakref.ref(network.conv11.weight)
    extractor = FeatureExtractor(network, TAPS)
    held = sum(parameter.numel() for parameter in extractor.parameters())
    assert held < sum(parameter.numel() for parameter in network.parameters()) / 10
    del network
    gc.collect()
    assert last() is None
    assert first() is not None


def test_it_is_frozen_and_stays_in_eval_mode() -> None:
    network = create("resnet18", seed=0).train()
    extractor = FeatureExtractor(network, ["layer1"])
    extractor.train()
    statistics = network.get_buffer("bn1.running_mean").clone()
    images = _images().requires_grad_()
    extractor(images)["layer1"].mean().backward()
    assert torch.equal(network.get_buffer("bn1.running_mean"), statistics)
    assert not any(parameter.requires_grad for parameter in extractor.parameters())
    assert images.grad is not None


@pytest.mark.parametrize("taps", [(), ("relu1_1", "relu7_7")])
def test_unknown_taps_are_refused(taps: tuple[str, ...]) -> None:
    with pytest.raises(ArgumentError, match="choose from relu1_1"):
        FeatureExtractor(create("vgg19_quarter", seed=0), taps)
