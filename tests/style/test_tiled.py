"""Tile by tile, losses and gradients are those of the whole picture."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from backbones.features import FeatureExtractor
from backbones.registry import create
from style.config import StyleConfig, StyleLossKind
from style.network import StyleNetwork, measure_views
from style.objective import StyleObjective
from style.regions import Area
from style.tiling import Overlap, TiledObjective, Tiling

Picture = Callable[..., Tensor]


def _tiling(network: StyleNetwork, like: Tensor, strides: int = 2) -> Tiling:
    """Tiles that own so many strides a side."""
    views = measure_views(network.extract, network.stride, like)
    overlap = Overlap.of(views.values(), network.stride)
    side = overlap.least_tile + (strides - 1) * network.stride
    return Tiling(views=views, overlap=overlap, side=side)


@pytest.fixture(scope="module")
def exact() -> StyleNetwork:
    """Three random convolutions in float64, of every padding, with two poolings that drop rows."""
    source = torch.Generator().manual_seed(0)
    layers = [
        nn.Conv2d(3, 6, 3, padding=1, padding_mode="replicate"),
        nn.Conv2d(6, 8, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(8, 10, 5, padding=2),
    ]
    for layer in layers:
        layer.double().requires_grad_(False)
        layer.weight.normal_(std=0.3, generator=source)
        layer.bias.zero_()

    def extract(image: Tensor) -> dict[str, Tensor]:
        fine = layers[0](image).relu()
        middle = layers[1](nn.functional.max_pool2d(fine, 2)).relu()
        coarse = layers[2](nn.functional.max_pool2d(middle, 2)).relu()
        return {"fine": fine, "middle": middle, "coarse": coarse}

    return StyleNetwork(
        extract=extract,
        content_taps={"middle": 1, "coarse": 2},
        style_taps={"fine": 4, "middle": 2, "coarse": 1},
        stride=4,
    )


def _exact(name: str) -> StyleNetwork:
    """A network of random weights that computes in float64."""
    backbone = create(name, seed=0).double()
    network = StyleNetwork.of(backbone)
    taps = tuple(dict.fromkeys((*network.content_taps, *network.style_taps)))
    extract = FeatureExtractor(backbone, taps, continued=True, dtype=torch.float64)
    return replace(network, extract=extract)


def _rough(seed: int, height: int, width: int, dtype: torch.dtype = torch.float64) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, height, width, generator=source, dtype=dtype)


def _whole(objective: StyleObjective, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    image = image.clone().requires_grad_(True)
    losses = objective(image)
    (gradient,) = torch.autograd.grad(losses["total"], image)
    return losses, gradient


def _assert_equal(
    network: StyleNetwork,
    content: Tensor,
    areas: list[Area],
    config: StyleConfig,
    *,
    within: float,
    strides: int = 2,
) -> None:
    image = (content + 0.2 * _rough(99, *content.shape[2:], dtype=content.dtype)).clamp(0, 1)
    losses, gradient = _whole(StyleObjective(network, content, areas, config), image)
    tiling = _tiling(network, content, strides)
    assert len(tiling.cut(content)) > 1
    tiled, pulled = TiledObjective(network, content, areas, config, tiling)(image)
    for name, loss in losses.items():
        torch.testing.assert_close(tiled[name], loss, rtol=within, atol=0)
    assert (pulled - gradient).norm() < within * gradient.norm()


@pytest.mark.parametrize("kind", list(StyleLossKind))
@pytest.mark.parametrize("size", [(71, 83), (41, 290), (207, 9)])
def test_tiles_are_the_whole_in_float64(
    exact: StyleNetwork, kind: StyleLossKind, size: tuple[int, int]
) -> None:
    areas = [Area(styles=(_rough(1, 99, 140), _rough(2, 16, 24)), mix=(1.0, 3.0), strength=0.4)]
    config = StyleConfig(style_loss=kind)
    _assert_equal(exact, _rough(0, *size), areas, config, within=1e-10)


@pytest.mark.parametrize("name", ["vgg19_quarter", "squeezenet1_0"])
def test_networks_as_they_are_come_out_whole_too(name: str) -> None:
    network = _exact(name)
    areas = [Area(styles=(_rough(1, 70, 64),))]
    _assert_equal(network, _rough(0, 323, 50), areas, StyleConfig(), within=1e-10)


def test_areas_and_what_stays_are_the_whole_too(exact: StyleNetwork) -> None:
    shares = torch.softmax(8 * _rough(3, 205, 97), dim=1)  # soft, of three areas
    areas = [
        Area(styles=(_rough(1, 80, 80),), strength=0.2, share=shares[:, :1]),
        Area(styles=(), share=shares[:, 1:2]),
        Area(styles=(_rough(2, 90, 200),), strength=0.9, share=shares[:, 2:]),
    ]
    _assert_equal(exact, _rough(0, 205, 97), areas, StyleConfig(), within=1e-10)


def test_a_small_network_in_many_tiles(network: StyleNetwork, picture: Picture) -> None:
    areas = [Area(styles=(picture(1),))]
    _assert_equal(network, picture(0), areas, StyleConfig(), within=1e-5, strides=1)


def test_no_look_is_larger_than_a_tile(
    network: StyleNetwork, picture: Picture, seen: list[tuple[int, int]]
) -> None:
    tiling = _tiling(network, picture(0))
    seen.clear()
    areas = [Area(styles=(picture(1, 300, 200),))]
    objective = TiledObjective(network, picture(0), areas, StyleConfig(), tiling)
    objective(picture(2))
    assert max(map(max, seen)) <= tiling.side
