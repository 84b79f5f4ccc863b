"""A network with other attention, activations, pooling or first weights than its paper's."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from backbones.metadata import parse_metadata, weights_metadata
from backbones.network import Backbone
from backbones.registry import build, create, spec_of
from backbones.shelf import lightest
from backbones.spec import Activation, Attention, HeadPooling, WeightInit
from backbones.weights import initialise, load_backbone
from data.errors import ArgumentError, WeightsError
from data.tensors import write_tensors

WITHOUT_EXCHANGE = {"dlib_resnet", "googlenet", "inception_v3", "lenet5"}
WITHOUT_AVERAGE = {"iresnet_se", "mobilefacenet"}


def _shapes(name: str, **changes: Any) -> Backbone:
    with torch.device("meta"):
        return build(replace(spec_of(name), **changes)).to("meta")


@pytest.mark.parametrize("name", lightest())
def test_every_network_takes_each_option_or_says_why_not(name: str) -> None:
    spec = spec_of(name)
    changes: dict[str, Any] = {"attention": Attention.SE}
    if name in WITHOUT_AVERAGE:
        with pytest.raises(ArgumentError, match="leave head_pooling at own"):
            _shapes(name, head_pooling=HeadPooling.ATTENTION)
    else:
        changes["head_pooling"] = HeadPooling.ATTENTION
    if name in WITHOUT_EXCHANGE:
        with pytest.raises(ArgumentError, match="leave activation at own"):
            _shapes(name, activation=Activation.TANH)
    else:
        changes["activation"] = Activation.TANH
    network = _shapes(name, **changes)
    keys = network.state_dict().keys()
    added = {key.split(".")[1] for key in keys if key.startswith("attention.")}
    assert added == {tap.name for tap in spec.taps[1:]}
    assert not any(key.startswith("attention.") for key in network.trunk_keys())
    assert sum("query" in key for key in keys) == ("head_pooling" in changes)
    if "activation" in changes:
        network.attention = nn.ModuleDict()  # it has rectifiers of its own
        assert not any(type(it) in (nn.ReLU, nn.GELU, nn.ReLU6) for it in network.modules())
    size = (96, 96) if spec.embedding_size is None else spec.input_size
    assert network(torch.empty(2, 3, *size, device="meta")).shape == (2, spec.dimension)


@pytest.mark.parametrize("attention", [kind for kind in Attention if kind is not Attention.NONE])
@pytest.mark.parametrize("pooling", [HeadPooling.GENERALISED_MEAN, HeadPooling.ATTENTION])
def test_every_number_that_is_added_learns(attention: Attention, pooling: HeadPooling) -> None:
    network = create("squeezenet1_1", attention=attention, head_pooling=pooling, seed=0).train()
    images = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    for module in network.modules():
        if type(module).__name__ == "NonLocal":
            module.gain.data.fill_(0.5)  # at 0 nothing behind it learns yet
        if type(module).__name__ == "AttentionPooling":
            module.query.data.fill_(0.1)
    network(images).square().sum().backward()
    for name, parameter in network.named_parameters():
        if "attention." in name or "head_pooling" in name or "head.0" in name:
            assert parameter.grad is not None, name
            if "key.bias" not in name:  # alike for all places, so softmax does not see it
                assert parameter.grad.abs().sum() > 0, name


def test_a_network_computes_with_its_new_activations() -> None:
    images = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    network = create("vgg_slim", activation=Activation.TANH, seed=0)
    found = network.features(images, ["relu1_1"])["relu1_1"]
    plain = create("vgg_slim", seed=0)
    before = plain.convolutions[0](plain.normalise(images))
    torch.testing.assert_close(found, before.tanh())


def test_a_weights_file_says_what_its_network_has(tmp_path: Path) -> None:
    network = create(
        "squeezenet1_1",
        attention=Attention.ECA,
        activation=Activation.LEAKY_RELU,
        head_pooling=HeadPooling.GENERALISED_MEAN,
        seed=0,
    )
    path = tmp_path / "own.safetensors"
    write_tensors(path, network.state_dict(), weights_metadata(network.spec))
    loaded = load_backbone(None, weights=path).backbone
    assert loaded.spec == network.spec
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loaded(images), network(images), rtol=1e-4, atol=1e-4)
    assert not {"attention", "activation", "head_pooling"} & set(
        weights_metadata(spec_of("squeezenet1_1"))
    )
    with pytest.raises(WeightsError, match="attention"):
        parse_metadata({"attention": "much"})


def test_published_weights_begin_a_network_with_attention(tmp_path: Path) -> None:
    plain = create("squeezenet1_1", seed=1)
    path = tmp_path / "plain.safetensors"
    write_tensors(path, plain.state_dict(), weights_metadata(plain.spec))
    network = create("squeezenet1_1", attention=Attention.SE, embedding_size=8, seed=0)
    added = network.attention["fire5"].squeeze.weight.detach().clone()
    assert not initialise(network, path)
    key = "convolutions.0.weight"
    assert torch.equal(network.state_dict()[key], plain.state_dict()[key])
    assert torch.equal(network.attention["fire5"].squeeze.weight, added)


@pytest.mark.parametrize(
    ("kind", "spread"),
    [
        (WeightInit.KAIMING, lambda inputs, outputs: (2 / inputs) ** 0.5),
        (WeightInit.XAVIER, lambda inputs, outputs: (2 / (inputs + outputs)) ** 0.5),
        (WeightInit.UNIFORM, lambda inputs, outputs: (1 / (3 * inputs)) ** 0.5),
    ],
)
def test_weights_have_the_spread_of_their_kind(kind: WeightInit, spread: Any) -> None:
    network = create("vgg_slim", weight_init=kind, seed=0)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 4000:
            inputs, outputs = 9 * layer.in_channels, 9 * layer.out_channels
            assert float(layer.weight.detach().std()) == pytest.approx(
                spread(inputs, outputs), rel=0.05
            )
            assert layer.bias is None or not layer.bias.any()
            if kind is WeightInit.UNIFORM:
                assert float(layer.weight.detach().abs().max()) <= inputs**-0.5
    again = create("vgg_slim", weight_init=kind, seed=0)
    assert torch.equal(next(again.parameters()), next(network.parameters()))
