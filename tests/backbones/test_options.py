"""A network with other attention, activations, pooling or first weights than its paper's."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from families import lightest
from torch import nn

from backbones.metadata import parse_metadata, weights_metadata
from backbones.network import Backbone
from backbones.networks.resnet import width_per_group
from backbones.registry import build, create, spec_of
from backbones.spec import (
    Activation,
    Attention,
    Convolution,
    HeadPooling,
    Norm,
    WeightInit,
)
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
    for name, parameter in network.named_parameters():
        if name.endswith("gain"):
            parameter.data.fill_(0.05)  # at 0 nothing behind it learns yet
        if name.endswith(".query"):
            parameter.data.fill_(0.1)
    network(images).square().sum().backward()
    for name, parameter in network.named_parameters():
        if "attention." in name or "head_pooling" in name or "head.0" in name:
            assert parameter.grad is not None, name
            # Alike for all places, so softmax does not see it; of `queries` it is a third.
            if "key.bias" not in name:
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


ODD = {
    "conv": Convolution.DILATED,
    "stn": True,
    "resolution": 0.75,
    "head_pooling": HeadPooling.GLOBAL_DEPTHWISE,
    "norm": Norm.SWITCHABLE,
    "attention": Attention.SELF,
    "input_size": (96, 80),
}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", ODD),
        ("mobilenet_v1", {"width": 0.6, "resolution": 0.5}),
        ("mobilenet_v1_x0_5", {"width": 1.3, "stn": True}),
        ("mobilenet_v2", {"width": 0.35, "attention": Attention.SK}),
        ("resnext50_32x4d", {"cardinality": 8, "conv": Convolution.DILATED}),
        ("lenet5", {"resolution": 32 / 112, "input_size": (112, 112)}),
    ],
)
def test_a_weights_file_alone_rebuilds_every_option(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    network = create(name, **options, seed=0).requires_grad_(False)
    if network.spec.stn:
        network.stn.places.bias.copy_(torch.tensor([0.9, 0.1, 0, 0, 1, 0.1]))
    path = tmp_path / "own.safetensors"
    write_tensors(path, network.state_dict(), weights_metadata(network.spec))
    loaded = load_backbone(None, weights=path).backbone
    assert loaded.spec == network.spec
    size = network.spec.input_size
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loaded(images), network(images), rtol=1e-3, atol=1e-3)
    assert parse_metadata(weights_metadata(network.spec)).adapt(spec_of(name)) == network.spec


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"width": "much"}, "width is 'much', expected a number, 0.1 to 4"),
        ({"resolution": "0"}, "resolution is '0', expected"),
        ({"resolution": "1e400"}, "resolution is '1e400', expected"),
        ({"cardinality": "-3"}, "cardinality is '-3', expected how many groups, 1 to 64"),
        ({"stn": "perhaps"}, "stn is 'perhaps', expected yes or no"),
        ({"conv": "deep"}, "conv is 'deep', expected standard or grouped or"),
    ],
)
def test_options_that_are_not_understood_are_named(fields: dict[str, str], said: str) -> None:
    with pytest.raises(WeightsError, match=said):
        parse_metadata(fields)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("resnet18", {"width": 0.5}, "comes in one width: leave width at 1"),
        ("resnet18", {"cardinality": 4}, "has no groups to count: leave cardinality out"),
        ("resnext50_32x4d", {"cardinality": 65}, "cardinality is 65: give 1 to 64"),
        ("mobilenet_v1", {"width": 9.0}, "width is 9: give at least 0.1 and at most 4"),
        ("mobilenet_v1", {"resolution": 0.0}, "resolution is 0: give at least 0.01 and at most 1"),
        ("mobilefacenet", {"resolution": 0.5}, "fits one size of image: leave resolution at 1"),
        ("lenet5", {"resolution": 0.1}, "takes no images of 3x3 pixels"),
        ("squeezenet1_1", {"norm": Norm.SWITCHABLE}, "leave norm at batch"),
        ("mobilefacenet", {"head_pooling": HeadPooling.GLOBAL_DEPTHWISE}, "leave head_pooling"),
        (
            "lenet5_modern",
            {"attention": Attention.NON_LOCAL, "input_size": (512, 512)},
            "has no map of at most 1024 places",
        ),
    ],
)
def test_an_option_that_does_not_fit_is_refused_in_one_line(
    name: str, options: dict[str, Any], said: str
) -> None:
    with torch.device("meta"), pytest.raises(ArgumentError, match=said) as caught:
        create(name, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", lightest())
def test_every_network_takes_each_kind_of_convolution_or_says_why_not(name: str) -> None:
    plain = {key: tensor.shape for key, tensor in _shapes(name).state_dict().items()}
    said = list[str]()
    for kind in (Convolution.GROUPED, Convolution.SEPARABLE, Convolution.DILATED):
        try:
            network = _shapes(name, conv=kind)
        except ArgumentError as error:
            said.append(str(error))
            continue
        images = torch.empty(2, 3, *network.spec.input_size, device="meta")
        assert network.eval()(images).shape == (2, network.spec.dimension)
        changed = {key: tensor.shape for key, tensor in network.state_dict().items()}
        assert (changed != plain) == (kind != Convolution.DILATED)
    assert all(re.fullmatch(".* has no convolution that could be .*", text) for text in said)


@pytest.mark.parametrize("resolution", [1.0, 0.6, 0.3])
@pytest.mark.parametrize("pooling", [HeadPooling.OWN, HeadPooling.GLOBAL_DEPTHWISE])
@pytest.mark.parametrize(
    "name", ["alexnet", "dlib_resnet", "lenet5_modern", "mobilenet_v2", "squeezenet1_1", "zfnet"]
)
def test_what_is_built_embeds_its_images_and_what_is_too_small_is_refused(
    name: str, pooling: HeadPooling, resolution: float
) -> None:
    """The head may have a window of its own before it averages."""
    sides = (5, 8, 16, 33, 60, 90, spec_of(name).input_size[0])
    built, said = set[int](), list[str]()
    for side in sides:
        changes = {"input_size": (side, side), "head_pooling": pooling, "resolution": resolution}
        try:
            network = _shapes(name, **changes)
        except ArgumentError as error:
            said.append(str(error))
            continue
        built.add(side)
        found = network.eval()(torch.empty(2, 3, side, side, device="meta"))
        assert found.shape == (2, network.spec.dimension)
    assert built == {side for side in sides if side >= min(built, default=math.inf)}
    assert built or resolution < 1
    expected = r"takes no images of \d+x\d+ pixels.*|.* needs sides of .*"
    assert all(re.fullmatch(f"{name} ({expected})|{expected}", text) for text in said)


def test_a_file_of_weights_whose_images_are_too_small_is_refused(tmp_path: Path) -> None:
    network = create("squeezenet1_1", head_pooling=HeadPooling.GLOBAL_DEPTHWISE, seed=0)
    path = tmp_path / "small.safetensors"
    metadata = weights_metadata(network.spec) | {"input_size": "8x8"}
    write_tensors(path, network.state_dict(), metadata)
    with pytest.raises(WeightsError, match="takes no images of 8x8 pixels"):
        load_backbone(None, weights=path)


@pytest.mark.parametrize(
    ("cardinality", "width"), [(1, 64), (2, 40), (4, 24), (8, 14), (16, 8), (32, 4)]
)
def test_every_cardinality_costs_what_resnet_50_does(cardinality: int, width: int) -> None:
    """Table 2 of Xie et al. 2017, and a width between for 16."""
    assert width_per_group(cardinality) == width
    with torch.device("meta"):
        split, plain = create("resnext50_32x4d", cardinality=cardinality), create("resnet50")
    counts = [sum(p.numel() for p in network.parameters()) for network in (split, plain)]
    assert counts[0] == pytest.approx(counts[1], rel=0.05)
    if cardinality in (1, 32):
        with torch.device("meta"):
            same = create("resnet50" if cardinality == 1 else "resnext50_32x4d")
        assert counts[0] == sum(p.numel() for p in same.parameters())


def test_a_registered_width_is_the_same_as_the_option() -> None:
    for name, width in (("mobilenet_v1_x0_5", 0.5), ("mobilenet_v1_x0_25", 0.25)):
        with torch.device("meta"):
            named, asked = create(name), create("mobilenet_v1", width=width)
        assert named.spec.taps == asked.spec.taps
        shapes = [{k: v.shape for k, v in each.state_dict().items()} for each in (named, asked)]
        assert shapes[0] == shapes[1]


@pytest.mark.parametrize("width", [0.35, 0.5, 0.75, 1.0, 1.4])
@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2"])
def test_taps_of_every_width_are_what_the_network_gives(name: str, width: float) -> None:
    with torch.device("meta"):
        network = create(name, width=width).to("meta")
    found = network.features(
        torch.empty(1, 3, 64, 64, device="meta"), [tap.name for tap in network.spec.taps]
    )
    assert [each.shape[1] for each in found.values()] == [t.channels for t in network.spec.taps]
    published = {0.5: 1_968_680, 1.4: 6_108_776}  # of v2, with its classifier
    if name == "mobilenet_v2" and width in published:
        classifier = (network.spec.taps[-1].channels + 1) * 1000
        assert sum(p.numel() for p in network.parameters()) + classifier == published[width]


def test_a_resolution_is_the_image_scaled_before() -> None:
    small = create("mobilenet_v1_x0_25", resolution=0.5, seed=0).requires_grad_(False)
    plain = create("mobilenet_v1_x0_25", seed=0).requires_grad_(False)
    images = torch.rand(1, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    scaled = torch.nn.functional.interpolate(images, (48, 32), mode="bilinear", antialias=True)
    torch.testing.assert_close(small(images), plain(scaled), rtol=1e-4, atol=1e-5)
    taps = ["separable3"]
    same = [network.features(images, taps)["separable3"] for network in (small, plain)]
    assert torch.equal(*same)  # a picture that is painted is seen as it is


COMPARING = [
    ("mobilenet_v1", {"width": 0.25, "attention": Attention.DANET}),
    ("mobilenet_v2", {"width": 0.1, "attention": Attention.NON_LOCAL, "stn": True}),
    ("ir_se50", {"attention": Attention.SELF}),
]
SIDES = (80, 80)


def _with_attention_everywhere(
    name: str, options: dict[str, Any], folder: Path, patch: pytest.MonkeyPatch
) -> tuple[Backbone, Path]:
    """A network as built before large maps were left out, its attention in effect, and its file."""
    with patch.context() as before:
        before.setattr("backbones.blocks.attention.MOST_PLACES", 10**9)
        network = create(name, **options, input_size=SIDES, seed=3)
    assert list(network.attention) == [tap.name for tap in network.spec.taps[1:]]
    for key, parameter in network.requires_grad_(False).named_parameters():
        if key.startswith("attention.") and key.endswith("gain"):
            parameter.fill_(0.5)
    path = folder / "before.safetensors"
    write_tensors(path, network.state_dict(), weights_metadata(network.spec))
    return network, path


@pytest.mark.parametrize(("name", "options"), COMPARING)
def test_attention_stands_where_a_weights_file_has_it(
    name: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, path = _with_attention_everywhere(name, options, tmp_path, monkeypatch)
    loaded = load_backbone(None, weights=path).backbone
    fresh = create(name, **options, input_size=SIDES, seed=0)
    places = {tap.name: (SIDES[0] // tap.stride) ** 2 for tap in fresh.spec.taps[1:]}
    assert max(places.values()) > 1024
    assert list(fresh.attention) == [tap for tap, count in places.items() if count <= 1024]
    drawn = torch.get_rng_state()
    assert initialise(fresh, path) is True
    assert torch.equal(torch.get_rng_state(), drawn)
    own = before.state_dict()
    # An optimiser's state goes by this order.
    assert [k for k, _ in fresh.named_parameters()] == [k for k, _ in before.named_parameters()]
    for taken in (loaded.state_dict(), fresh.state_dict()):
        assert list(taken) == list(own)
        assert all(torch.equal(value, own[key]) for key, value in taken.items())
    again = tmp_path / "again.safetensors"
    write_tensors(again, fresh.state_dict(), weights_metadata(fresh.spec))
    assert load_backbone(None, weights=again).backbone.spec == loaded.spec == fresh.spec
    if name == "ir_se50":  # at random, its numbers grow until rounding decides
        return
    image = torch.rand(1, 3, *SIDES, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = before(image)
        torch.testing.assert_close(loaded(image), expected, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(fresh(image), expected, rtol=1e-3, atol=1e-3)


def test_attention_is_taken_with_another_head_and_stays_where_the_file_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, options = COMPARING[0]
    before, path = _with_attention_everywhere(name, options, tmp_path, monkeypatch)
    wide = {**options, "input_size": SIDES, "embedding_size": 8}
    if before.spec.embedding_size is None:  # D is the last map's channels: change what lies behind
        wide = {**options, "input_size": SIDES, "head_pooling": HeadPooling.ATTENTION}
    other = create(name, **wide, seed=0)
    assert initialise(other, path) is False
    own = before.state_dict()
    taken = [key for key in other.state_dict() if key.startswith("attention.")]
    assert taken == [key for key in own if key.startswith("attention.")]
    assert all(torch.equal(other.state_dict()[key], own[key]) for key in taken)
    for changed in ({"attention": Attention.SE}, {"attention": Attention.NON_LOCAL}):
        another = create(name, **{**wide, **changed}, seed=0)
        stages = list(another.attention)
        assert initialise(another, path) is False
        assert list(another.attention) == stages


def test_a_file_that_lacks_a_part_of_one_attention_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, path = _with_attention_everywhere(*COMPARING[0], tmp_path, monkeypatch)
    state = network.state_dict()
    del state[next(key for key in state if key.startswith("attention."))]
    write_tensors(path, state, weights_metadata(network.spec))
    with pytest.raises(WeightsError, match="is missing"):
        load_backbone(None, weights=path)


def test_attention_that_is_laid_anew_gets_the_networks_norms(tmp_path: Path) -> None:
    options: dict[str, Any] = {"attention": Attention.SK, "norm": Norm.SWITCHABLE}
    spec = replace(create("resnet18", **options).spec, attention_taps=("layer2", "layer4"))
    network = build(spec)
    path = tmp_path / "few.safetensors"
    write_tensors(path, network.state_dict(), weights_metadata(spec))
    fresh = create("resnet18", **options, seed=0)
    assert list(fresh.attention) == ["layer1", "layer2", "layer3", "layer4"]
    assert initialise(fresh, path) is True
    assert list(fresh.attention) == ["layer2", "layer4"]
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fresh.modules())
    with pytest.raises(ValueError, match="layer9"):
        replace(spec, attention_taps=("layer9",))
