"""A backbone as a painter sees it."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbones.features import FeatureExtractor
from backbones.registry import available, create, spec_of
from backbones.spec import Pooling
from backbones.weights import load_backbone
from data.errors import ArgumentError, StyleError
from style.config import PaintingPrecision, StyleConfig
from style.network import ReceptiveField, StyleNetwork, _detail_taps, measure_views
from style.objective import StyleObjective
from style.regions import Area


def _picture(seed: int, height: int = 40, width: int = 48) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 5, 6, generator=source)
    return F.interpolate(coarse, (height, width), mode="bilinear")


def test_it_has_the_taps_of_the_spec() -> None:
    backbone = create("squeezenet1_0", seed=0)
    network = StyleNetwork.of(backbone)
    spec = backbone.spec
    assert tuple(network.content_taps) == spec.content_taps
    assert tuple(network.style_taps) == spec.style_taps
    assert tuple(network.style_taps.values()) == spec.style_tap_weights
    assert network.stride == 16
    assert set(network.extract(_picture(0, 64))) == {*spec.content_taps, *spec.style_taps}


def test_taps_and_weights_may_be_chosen_and_nothing_behind_is_computed() -> None:
    backbone = create("vgg19_quarter", seed=0)
    config = StyleConfig(
        style_taps=("relu2_2", "relu1_1"),
        style_tap_weights=(2, 1),
        content_taps=("relu2_1", "relu3_1"),
    )
    network = StyleNetwork.of(backbone, config)
    assert network.style_taps == {"relu2_2": 2, "relu1_1": 1}
    assert network.content_taps == {"relu2_1": 1, "relu3_1": 1}
    assert network.stride == 4
    assert not any(name.startswith("layers.20") for name in network.extract.state_dict())  # type: ignore[attr-defined]
    known = StyleNetwork.of(backbone, StyleConfig(style_taps=("relu1_1", "relu3_1")))
    assert known.style_taps["relu1_1"] == pytest.approx(16 * known.style_taps["relu3_1"])
    strange = StyleNetwork.of(backbone, StyleConfig(style_taps=("relu1_1", "relu3_2")))
    assert set(strange.style_taps.values()) == {1.0}


def test_detail_is_the_style_taps_from_the_second_to_the_depth_of_the_content() -> None:
    taps = {
        "vgg19_quarter": ["relu2_1", "relu3_1", "relu4_1"],
        "squeezenet1_0": ["fire2", "fire4", "fire6"],
    }
    for name, expected in taps.items():
        backbone = create(name, seed=0)
        network = StyleNetwork.of(backbone, StyleConfig(content_detail=True))
        assert list(network.content_taps) == expected
        assert len(set(network.content_taps.values())) == 1
        assert network.style_taps == StyleNetwork.of(backbone).style_taps
        (own,) = backbone.spec.content_taps
        named = StyleConfig(content_detail=True, content_taps=(own,))
        assert list(StyleNetwork.of(backbone, named).content_taps) == [own]


@pytest.mark.parametrize("name", [it for it in available() if spec_of(it).style_taps])
def test_every_network_has_detail_no_deeper_than_its_content(name: str) -> None:
    spec = spec_of(name)
    taps = _detail_taps(spec)
    deepest = max(spec.tap(tap).stride for tap in spec.content_taps)
    assert taps
    assert spec.style_taps[0] not in taps or taps == spec.content_taps
    assert all(spec.tap(tap).stride <= deepest for tap in taps)


def test_taps_that_are_not_there_and_weights_too_many_are_refused() -> None:
    backbone = create("vgg19_quarter", seed=0)
    with pytest.raises(ArgumentError, match="no tap 'relu9_1'; choose from"):
        StyleNetwork.of(backbone, StyleConfig(content_taps=("relu9_1",)))
    with pytest.raises(ArgumentError, match=r"style_tap_weights has 2 weights for 5 taps"):
        StyleNetwork.of(backbone, StyleConfig(style_tap_weights=(1, 2)))


# dlib's network pads the sums of its blocks, and Inception v3 its averages, between their layers; a
# Transformer knows where each patch lies.
_FRAMED = {"dlib_resnet", "inception_v3", "vit_small_16"}


@pytest.mark.parametrize(
    "name", [name for name in available() if spec_of(name).style_taps and name not in _FRAMED]
)
def test_a_plain_picture_looks_plain_to_every_tap_of_every_network(name: str) -> None:
    """There is no frame of zeros around the picture, nor around any map."""
    spec = spec_of(name)
    taps = tuple(tap.name for tap in spec.taps)
    config = StyleConfig(precision=PaintingPrecision.FLOAT32, content_taps=taps, style_taps=taps)
    network = StyleNetwork.of(create(name, seed=0), config)
    side = 2 * network.least_side
    for tap, seen in network.extract(torch.full((1, 3, side, side + 8), 0.7)).items():
        spread = seen - seen[..., :1, :1]
        assert spread.abs().max() <= 1e-4 * seen.abs().max(), tap


@pytest.mark.parametrize("seed", range(3))
def test_at_its_borders_a_picture_looks_to_the_bundled_painter_as_it_does_inside(seed: int) -> None:
    """Means of the outermost places of each tap, beside those of the same places further in.

    Padded by zeros, as the network was trained, deep maps are off by more than what varies there.
    """
    backbone = load_backbone("vgg_slim").backbone
    network = StyleNetwork.of(backbone)
    large = _texture(seed, 256, 320)
    found = _shifts(network.extract, large, margin=64)
    by_zeros = _shifts(FeatureExtractor(backbone, tuple(network.style_taps)), large, margin=64)
    for tap in network.style_taps:
        assert found[tap] < 0.2, tap
        assert found[tap] < by_zeros[tap] / 8, tap


def _texture(seed: int, height: int, width: int) -> Tensor:
    """Blots of every size, alike all over."""
    source = torch.Generator().manual_seed(seed)
    sizes = [(height // 2**octave, width // 2**octave) for octave in range(6)]
    blots = [torch.rand(1, 3, *size, generator=source) for size in sizes]
    mixed = torch.stack([F.interpolate(each, (height, width), mode="bicubic") for each in blots])
    return (1.5 * mixed.mean(dim=0) - 0.25).clamp(0, 1)


def _shifts(
    extract: Callable[[Tensor], Mapping[str, Tensor]], large: Tensor, margin: int
) -> dict[str, float]:
    """By tap, squared shift of the outermost places' means, over what varies in the tap."""
    part = extract(large[..., margin:-margin, margin:-margin])
    shifts = {}
    for tap, whole in extract(large).items():
        cut = margin * whole.shape[-1] // large.shape[-1]
        expected = whole[..., cut:-cut, cut:-cut].float()
        errors = part[tap].float() - expected
        ends = (errors[..., 0, :], errors[..., -1, :], errors[..., 0], errors[..., -1])
        shift = torch.cat(ends, dim=-1).mean(dim=-1).square().sum()
        shifts[tap] = float(shift / expected.var(dim=(2, 3)).sum())
    return shifts


def test_pooling_is_the_one_asked_for() -> None:
    backbone = create("vgg19_quarter", seed=0)
    pictures = [
        StyleNetwork.of(backbone, StyleConfig(pooling=pooling)).extract(_picture(1))["relu2_1"]
        for pooling in Pooling
    ]
    assert not torch.allclose(pictures[0], pictures[1], rtol=0.01)
    assert not torch.allclose(pictures[0], pictures[2], rtol=0.01)


def test_in_bfloat16_losses_and_gradient_are_close_to_those_of_float32() -> None:
    """Statistics are float32 in any case; the gradient's noise is what a step can bear."""
    backbone = create("vgg19_quarter", seed=0)
    image = _picture(2).requires_grad_(True)
    losses, gradients = [], []
    for precision in (PaintingPrecision.FLOAT32, PaintingPrecision.BFLOAT16):
        config = StyleConfig(precision=precision)
        network = StyleNetwork.of(backbone, config)
        areas = [Area(styles=(_picture(3),))]
        found = StyleObjective(network, _picture(4), areas, config)(image)
        assert all(loss.dtype == torch.float32 for loss in found.values())
        losses.append(found["total"].item())
        gradients.append(torch.autograd.grad(found["total"], image)[0].flatten())
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert F.cosine_similarity(gradients[0], gradients[1], dim=0) > 0.9


LIKE = torch.zeros(1)


def test_a_chain_of_convolutions_is_measured_to_within_a_stride() -> None:
    fine = nn.Conv2d(3, 4, 5, padding=1)  # place i sees i−1 … i+3
    pool = nn.MaxPool2d(2)  # i: 2i−1 … 2i+4
    coarse = nn.Conv2d(4, 4, 3, stride=2, padding=2)  # i: 4i−5 … 4i+4

    def extract(image: Tensor) -> dict[str, Tensor]:
        first = fine(image).relu()
        return {"fine": first, "coarse": coarse(pool(first))}

    views = measure_views(extract, 4, LIKE)
    assert views["fine"] == ReceptiveField(stride=1, before=1, after=3)
    coarse_view = views["coarse"]
    assert coarse_view.stride == 4
    assert 5 <= coarse_view.before < 9
    assert 4 <= coarse_view.after < 8


def test_what_sees_farther_one_way_counts_both_ways() -> None:
    wide = nn.Conv2d(3, 2, (1, 9), padding=(0, 4))
    assert measure_views(lambda image: {"wide": wide(image)}, 1, LIKE) == {
        "wide": ReceptiveField(1, 4, 4)
    }


@pytest.mark.parametrize("name", ["vgg19_quarter", "squeezenet1_0"])
def test_no_pixel_outside_of_a_view_has_a_gradient(name: str) -> None:
    network = StyleNetwork.of(
        create(name, seed=0), StyleConfig(precision=PaintingPrecision.FLOAT32)
    )
    image = torch.rand(1, 3, 40 * network.stride, 4 * network.stride, requires_grad=True)
    seen = network.extract(image)
    for tap, view in measure_views(network.extract, network.stride, LIKE).items():
        place = seen[tap].shape[2] // 2
        (gradient,) = torch.autograd.grad(seen[tap][:, :, place].sum(), image, retain_graph=True)
        rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
        assert rows.min() >= place * view.stride - view.before
        assert rows.max() <= place * view.stride + view.after


def test_a_network_that_looks_everywhere_is_refused() -> None:
    with pytest.raises(StyleError, match="sees the whole picture"):
        measure_views(lambda image: {"all": image - image.mean(dim=(2, 3), keepdim=True)}, 1, LIKE)
