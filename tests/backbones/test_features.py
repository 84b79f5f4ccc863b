import gc
import weakref

import pytest
import torch

from backbones.features import FeatureExtractor
from backbones.registry import create
from backbones.spec import Pooling
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


def test_pooling_and_precision_are_the_extractor_s_own() -> None:
    network = create("vgg19_quarter", seed=0)
    expected = network.features(_images(), TAPS)
    altered = FeatureExtractor(network, TAPS, pooling=Pooling.AVERAGE)(_images())
    assert torch.equal(altered["relu1_1"], expected["relu1_1"])  # no pooling before it
    assert not torch.allclose(altered["relu2_1"], expected["relu2_1"], rtol=0.01)
    half = FeatureExtractor(network, TAPS, dtype=torch.bfloat16)(_images())
    for tap in TAPS:
        assert half[tap].dtype == torch.bfloat16
        error = (half[tap].float() - expected[tap]).norm() / expected[tap].norm()
        assert error < 0.02
    for tap, features in network.features(_images(), TAPS).items():
        assert torch.equal(features, expected[tap])  # the network itself is as it was


def test_pictures_are_continued_under_the_first_convolution() -> None:
    network = create("vgg19_quarter", seed=0)
    images = _images()
    seen = FeatureExtractor(network, ["relu1_1"], continued=True)(images)["relu1_1"]
    larger = torch.nn.functional.pad(images, (1, 1, 1, 1), mode="replicate")
    expected = network.features(larger, ["relu1_1"])["relu1_1"][..., 1:-1, 1:-1]
    torch.testing.assert_close(seen, expected)
