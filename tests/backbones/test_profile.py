import json

import pytest
import torch
from families import lightest
from torch import nn

from backbones.network import Backbone
from backbones.profile import gradients_of, profile
from backbones.registry import create, spec_of
from data.errors import ArgumentError


def test_vggs_costs_are_those_of_its_formulas() -> None:
    found = profile("vgg16", (64, 48))
    side, field, jump, before = (64, 48), 1, 1, 3
    for layer in found.layers:
        block, number = map(int, layer.name.removeprefix("relu").split("_"))
        if number == 1 and block > 1:  # pooled
            side, field, jump = (side[0] // 2, side[1] // 2), field + jump, 2 * jump
        field += 2 * jump
        channels = layer.shape[0]
        assert layer.shape[1:] == side
        assert (layer.receptive_field, layer.stride) == (field, jump)
        assert layer.parameters == (9 * before + 1) * channels
        assert layer.multiply_accumulates == 9 * before * channels * side[0] * side[1]
        before = channels
    assert found.multiply_accumulates == sum(layer.multiply_accumulates for layer in found.layers)


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "zfnet", "lenet5", "shufflenet_v1_g3"])
def test_a_cell_sees_no_pixel_beyond_its_receptive_field_and_some_at_its_edge(name: str) -> None:
    # Of the last tap with a receptive field below 150 px, the cell in the middle.
    layer = [it for it in profile(name, (224, 224)).layers if (it.receptive_field or 999) < 150][-1]
    network = create(name, seed=0)
    for module in network.modules():  # nothing is cut off, so every pixel in view has its part
        if isinstance(module, nn.ReLU):
            module.inplace, module.forward = False, lambda x: x  # type: ignore[method-assign]
        if isinstance(module, nn.MaxPool2d):
            average = nn.AvgPool2d(module.kernel_size, module.stride, module.padding)
            average.ceil_mode = module.ceil_mode
            module.forward = average.forward  # type: ignore[method-assign]
    side = 224
    picture = torch.full((1, 3, side, side), 0.8, requires_grad=True)
    features = network.features(picture, [layer.name])[layer.name]
    middle = features.shape[2] // 2
    features[0, :, middle, middle].square().sum().backward()
    assert picture.grad is not None
    rows = picture.grad[0].abs().sum(dim=(0, 2)).nonzero().flatten()
    assert int(rows.max() - rows.min()) + 1 == layer.receptive_field


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "vit_small_16", "vgg_slim"])
def test_memory_is_what_lives_at_once(name: str) -> None:
    # An independent bound: a layer's input and output live together.
    found = profile(name, (64, 64))
    sizes = [4 * c * h * w for c, h, w in (layer.shape for layer in found.layers)]
    assert max(sizes) <= found.peak_bytes <= 12 * max(sizes)
    assert profile(name, (128, 128)).peak_bytes == pytest.approx(4 * found.peak_bytes, rel=0.08)


def test_squeeze_and_excitation_and_attention_see_the_whole_image() -> None:
    assert profile("mobilenet_v3_small").layers[1].receptive_field is None
    assert [it.receptive_field for it in profile("vit_small_16").layers[:2]] == [16, None]
    assert profile("mobilenet_v2").layers[-1].receptive_field == 491


def test_a_network_without_shortcuts_loses_its_gradient_and_one_with_them_does_not() -> None:
    plain, residual = (gradients_of(name, (64, 64)) for name in ("lenet5", "resnet18"))
    assert list(plain) == [tap.name for tap in spec_of("lenet5").taps]
    assert plain["c1"] < 0.2 * plain["c5"]
    assert 0.1 < residual["conv1"] / residual["layer4"] < 10


def test_gradients_repeat_with_their_seed_and_are_those_of_autograd() -> None:
    found = gradients_of("squeezenet1_1", (48, 48), seed=3)
    torch.rand(5)
    assert gradients_of("squeezenet1_1", (48, 48), seed=3) == found
    assert gradients_of("squeezenet1_1", (48, 48), seed=4) != found
    json.dumps(found)
    # The embedding is the mean of the last tap: its gradient is ± 1 / cells at each place.
    source = torch.Generator().manual_seed(3)
    network = create("squeezenet1_1", seed=3)
    features = network.features(torch.rand(2, 3, 48, 48, generator=source), ["fire9"])["fire9"]
    cells = features.shape[2] * features.shape[3]
    assert found["fire9"] == pytest.approx((features.numel() / cells**2) ** 0.5, rel=1e-5)


@pytest.mark.parametrize("name", lightest())
def test_a_gradient_reaches_the_first_tap_and_the_first_layer(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Backbone] = []

    def keep(*args: object, **kwargs: object) -> Backbone:
        made.append(create(*args, **kwargs))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr("backbones.profile.create", keep)
    size = (96, 96) if spec_of(name).embedding_size is None else None
    for norm in gradients_of(name, size).values():
        assert 0 < norm < float("inf")
    gradients = [p.grad for p in made[0].parameters() if p.requires_grad]
    assert gradients[0] is not None
    assert all(g is None or torch.isfinite(g).all() for g in gradients)
    assert gradients[0].abs().sum() > 0


@pytest.mark.parametrize(("name", "size"), [("vgg19", (8, 8)), ("inception_v3", (64, 64))])
def test_an_image_that_is_too_small_is_refused_in_one_line(
    name: str, size: tuple[int, int]
) -> None:
    for function in (profile, gradients_of):
        with pytest.raises(ArgumentError, match=f"takes no images of {size[0]}x{size[1]} pixels"):
            function(name, size)
