"""The places that tiles own are those of the whole picture: each once, and each the same."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from backbones.features import FeatureExtractor
from backbones.registry import create
from data.errors import ArgumentError, StyleError
from style.config import PaintingPrecision, StyleConfig, StyleLossKind
from style.network import ReceptiveField, StyleNetwork, measure_views
from style.objective import StyleObjective
from style.regions import Area
from style.tiling import Cutter, ElasticObjective, Overlap, TiledObjective, Tiling

OVERLAP = Overlap(before=24, after=16, stride=8)


@given(
    length=st.integers(1, 700),
    side=st.integers(48, 300),
    stride=st.sampled_from([1, 2, 4, 8]),
    more=st.integers(-3, 3),
)
@settings(deadline=None, max_examples=200)
def test_every_place_is_owned_once(length: int, side: int, stride: int, more: int) -> None:
    places = list(range(max(1, length // stride + more)))  # margins add places, kernels take some
    spans = OVERLAP.spans(length, side)
    assert [place for span in spans for place in places[span.places(stride)]] == places
    assert spans[0].start == spans[0].first == 0
    assert spans[-1].stop == spans[-1].last == length
    assert [span.last for span in spans[:-1]] == [span.first for span in spans[1:]]


@given(length=st.integers(1, 3000), side=st.integers(48, 500))
@settings(deadline=None, max_examples=200)
def test_tiles_are_aligned_and_no_larger_than_asked(length: int, side: int) -> None:
    for span in OVERLAP.spans(length, side):
        assert span.stop - span.start <= side
        assert span.start % 8 == span.first % 8 == 0
        assert span.start == max(0, span.first - 24)
        assert span.stop >= min(length, span.last + 16)


def test_a_place_of_a_tile_sees_nothing_beyond_its_crop() -> None:
    views = [
        ReceptiveField(stride=1, before=3, after=2),
        ReceptiveField(stride=4, before=9, after=11),
    ]
    overlap = Overlap.of(views, 4)
    assert overlap == Overlap(before=12, after=8, stride=4)
    for span in overlap.spans(301, 64):
        for view in views:
            owned = range(*span.places(view.stride).indices(400 // view.stride))
            for place in owned:
                seen = (place * view.stride - view.before, place * view.stride + view.after)
                assert span.start == 0 or seen[0] >= span.start
                assert span.stop == 301 or seen[1] < span.stop


@pytest.mark.parametrize("size", [(213, 90), (65, 331)])
@pytest.mark.parametrize("name", ["vgg19_quarter", "squeezenet1_0", "resnet18"])
def test_put_together_tiles_are_the_map_of_the_whole(name: str, size: tuple[int, int]) -> None:
    network = StyleNetwork.of(
        create(name, seed=0), StyleConfig(precision=PaintingPrecision.FLOAT32)
    )
    views = measure_views(network.extract, network.stride, torch.zeros(1))
    overlap = Overlap.of(views.values(), network.stride)
    picture = torch.rand(1, 3, *size)
    tiles = overlap.tiles(size, overlap.least_tile + network.stride)
    assert len(tiles) > 1 or max(size) <= overlap.least_tile + network.stride
    with torch.no_grad():
        whole = network.extract(picture)
        found = {tap: torch.full_like(features, torch.nan) for tap, features in whole.items()}
        for tile in tiles:
            crop = network.extract(tile.crop(picture))
            for tap, view in views.items():
                target = tile.of(found[tap], view.stride)
                assert target.isnan().all()  # no place twice
                target.copy_(tile.own(crop[tap], view.stride))
    for tap, features in whole.items():
        torch.testing.assert_close(found[tap], features, rtol=1e-4, atol=1e-5)


def test_too_small_tiles_are_refused_with_the_least_size() -> None:
    with pytest.raises(ArgumentError, match="expected 48 px"):
        OVERLAP.spans(100, 47)
    assert len(OVERLAP.spans(40, 41)) == 1


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


def _scarce(network: StyleNetwork, pixels: int, error: Exception) -> StyleNetwork:
    """The network, on a machine that cannot look at more pixels at once."""

    def extract(image: Tensor) -> Mapping[str, Tensor]:
        if image.shape[2] * image.shape[3] > pixels and torch.is_grad_enabled():
            raise error
        return network.extract(image)

    return replace(network, extract=extract)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_tiles_become_smaller_until_they_fit(
    network: StyleNetwork, picture: Picture, error: Exception
) -> None:
    scarce = _scarce(network, 24 * 24, error)
    told: list[str] = []
    parts = (picture(0), [Area(styles=(picture(1),))], StyleConfig())
    elastic = ElasticObjective(scarce, *parts, cutter=Cutter(network, picture(0)), tell=told.append)
    image = picture(2).requires_grad_(True)
    losses = elastic(image)
    losses["total"].backward()
    assert elastic.tile == 24
    assert len(told) == 2  # 96 px, 48 px, 24 px
    assert told[0].endswith("painting in tiles of 48 px")

    expected = picture(2).requires_grad_(True)
    whole = StyleObjective(network, *parts)(expected)
    whole["total"].backward()
    for name, loss in whole.items():
        torch.testing.assert_close(losses[name], loss, rtol=1e-4, atol=0)
    assert image.grad is not None
    assert expected.grad is not None
    assert (image.grad - expected.grad).norm() < 1e-4 * expected.grad.norm()


def test_without_memory_for_the_smallest_tile_it_ends_with_one_line(
    network: StyleNetwork, picture: Picture
) -> None:
    scarce = _scarce(network, 10, MemoryError())
    parts = (picture(0), [Area(styles=(picture(1),))], StyleConfig())
    elastic = ElasticObjective(scarce, *parts, cutter=Cutter(network, picture(0)))
    with pytest.raises(StyleError, match="not memory enough for a picture of 96×72 px"):
        elastic(picture(2))


def test_other_errors_pass(network: StyleNetwork, picture: Picture) -> None:
    broken = _scarce(network, 10, RuntimeError("of another kind"))
    parts = (picture(0), [Area(styles=(picture(1),))], StyleConfig())
    elastic = ElasticObjective(broken, *parts, cutter=Cutter(network, picture(0)))
    with pytest.raises(RuntimeError, match="of another kind"):
        elastic(picture(2))


def test_a_picture_that_fits_its_tile_is_looked_at_in_one_piece(
    network: StyleNetwork, picture: Picture
) -> None:
    parts = (picture(0), [Area(styles=(picture(1),))], StyleConfig())
    cutter = Cutter(network, picture(0))
    assert ElasticObjective(network, *parts, cutter=cutter, tile=96).tile is None
    assert ElasticObjective(network, *parts, cutter=cutter, tile=95).tile == 95
