"""Tile by tile, losses and gradients are those of the whole picture."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from backbones.registry import create
from style.config import StyleConfig, StyleLossKind
from style.network import StyleNetwork
from style.objective import Objective
from style.regions import Area
from style.tiled import TiledObjective, Tiling
from style.tiles import Overlap
from style.views import measure_views

Picture = Callable[..., Tensor]


def _tiling(network: StyleNetwork, like: Tensor, strides: int = 2) -> Tiling:
    """Tiles that own so many strides a side."""
    views = measure_views(network.extract, network.stride, like)
    overlap = Overlap.of(views.values(), network.stride)
    side = overlap.least_tile + (strides - 1) * network.stride
    return Tiling(views=views, overlap=overlap, side=side)


def _rough(seed: int, height: int, width: int, dtype: torch.dtype = torch.float64) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, height, width, generator=source, dtype=dtype)


def _whole(objective: Objective, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
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
    losses, gradient = _whole(Objective(network, content, areas, config), image)
    tiling = _tiling(network, content, strides)
    assert len(tiling.cut(content)) > 1
    tiled, pulled = TiledObjective(network, content, areas, config, tiling)(image)
    for name, loss in losses.items():
        torch.testing.assert_close(tiled[name], loss, rtol=within, atol=0)
    assert (pulled - gradient).norm() < within * gradient.norm()


@pytest.mark.parametrize("kind", list(StyleLossKind))
@pytest.mark.parametrize("size", [(211, 157), (67, 390), (301, 48)])
def test_tiles_are_the_whole_in_float64(kind: StyleLossKind, size: tuple[int, int]) -> None:
    network = StyleNetwork.of(create("vgg19_quarter", seed=0).double())
    areas = [Area(styles=(_rough(1, 99, 240), _rough(2, 64, 64)), mix=(1.0, 3.0), strength=0.4)]
    config = StyleConfig(style_loss=kind)
    _assert_equal(network, _rough(0, *size), areas, config, within=1e-10)


@pytest.mark.parametrize("name", ["squeezenet1_0", "resnet18"])
def test_networks_that_pad_and_pool_otherwise_are_the_whole_too(name: str) -> None:
    network = StyleNetwork.of(create(name, seed=0).double())
    areas = [Area(styles=(_rough(1, 120, 90),))]
    for size in [(423, 90), (130, 515)]:
        _assert_equal(network, _rough(0, *size), areas, StyleConfig(), within=1e-10)


def test_areas_and_what_stays_are_the_whole_too() -> None:
    network = StyleNetwork.of(create("vgg19_quarter", seed=0).double())
    shares = torch.softmax(8 * _rough(3, 205, 143), dim=1)  # soft, of three areas
    areas = [
        Area(styles=(_rough(1, 80, 80),), strength=0.2, share=shares[:, :1]),
        Area(styles=(), share=shares[:, 1:2]),
        Area(styles=(_rough(2, 90, 200),), strength=0.9, share=shares[:, 2:]),
    ]
    _assert_equal(network, _rough(0, 205, 143), areas, StyleConfig(), within=1e-10)


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
